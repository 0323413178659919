"""Geometry of the joint space: hand-worked values and invariants."""

import math

import pytest
import torch
from torch.nn import functional as F

from clipkit import ClipkitError
from clipkit.pretrain import alignment, effective_dimension, modality_gap, uniformity


def test_gap_and_alignment_by_hand():
    x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    assert modality_gap(x, y).item() == pytest.approx(1.0)  # centres (1, 0) and (0, 0)
    assert alignment(x, y).item() == pytest.approx(2.0)
    assert modality_gap(x, x).item() == 0


def test_uniformity_by_hand_and_order():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # one pair at distance 2: log exp(-2 * 4)
    assert uniformity(x).item() == pytest.approx(-8)
    g = torch.Generator().manual_seed(0)
    spread = F.normalize(torch.randn(200, 8, generator=g), dim=-1)
    cone = F.normalize(spread + 3 * torch.eye(8)[0], dim=-1)
    assert uniformity(spread) < uniformity(cone)
    with pytest.raises(ClipkitError, match="two"):
        uniformity(x[:1])


def test_effective_dimension_counts_equal_directions():
    x = torch.cat([torch.eye(6, dtype=torch.float64)[:3], -torch.eye(6, dtype=torch.float64)[:3]])
    assert effective_dimension(x).item() == pytest.approx(3)
    assert effective_dimension(x * 10 + 5).item() == pytest.approx(3)  # scale and shift do not matter
    line = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    assert effective_dimension(line).item() == pytest.approx(1)


def test_bad_shapes():
    with pytest.raises(ClipkitError, match="features must be"):
        modality_gap(torch.ones(3, 2), torch.ones(3, 5))
    assert math.isfinite(effective_dimension(torch.zeros(4, 3)).item())
