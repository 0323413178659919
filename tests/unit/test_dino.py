"""Self-distillation: the loss by hand, views that stay pictures, a tower that does not collapse."""

import math

import pytest
import torch

from builder.recipes.dino import dino_loss
from clipkit.studies.nola import random_views


def test_loss_by_hand():
    # Two global views, no local: the teacher's second view teaches the student's first, and the other way round.
    student = torch.zeros(2, 1, 2)  # uniform: log 1/2 for each prototype
    teacher = torch.tensor([[[5.0, 0.0]], [[0.0, 5.0]]])
    assert dino_loss(student, teacher, torch.zeros(2)).item() == pytest.approx(math.log(2))


def test_loss_equals_a_plain_loop():
    g = torch.Generator().manual_seed(0)
    student, teacher, centre = torch.randn(4, 3, 5, generator=g), torch.randn(2, 3, 5, generator=g), torch.randn(5, generator=g)
    total, terms = 0.0, 0
    for t in range(2):
        for s in range(4):
            if s == t:
                continue
            for b in range(3):
                p = ((teacher[t, b] - centre) / 0.05).softmax(0)
                total -= (p * (student[s, b] / 0.1).log_softmax(0)).sum().item() / 3
            terms += 1
    assert dino_loss(student, teacher, centre).item() == pytest.approx(total / terms, rel=1e-5)


def test_teacher_gets_no_gradient():
    student, teacher = torch.randn(2, 2, 3, requires_grad=True), torch.randn(2, 2, 3, requires_grad=True)
    dino_loss(student, teacher, torch.zeros(3)).backward()
    assert student.grad is not None and teacher.grad is None


def test_views_keep_shape_and_repeat():
    x = torch.randn(4, 3, 8, 8)
    a = random_views(x, torch.Generator().manual_seed(1), (0.4, 1.0))
    assert a.shape == x.shape and torch.isfinite(a).all()
    assert torch.equal(a, random_views(x, torch.Generator().manual_seed(1), (0.4, 1.0)))
    assert not torch.equal(a, random_views(x, torch.Generator().manual_seed(2), (0.4, 1.0)))
