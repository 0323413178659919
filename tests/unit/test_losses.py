"""InfoNCE against the paper's plain form, open_clip and values worked by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipkit import ClipkitError
from clipkit.compat import import_open_clip
from clipkit.pretrain import info_nce, info_nce_reference


def pair(seed: int, B: int, D: int, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(B, D, generator=g, dtype=dtype), dim=-1) for _ in range(2)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), B=st.integers(1, 7), scale=st.floats(0.1, 50))
def test_equals_the_plain_form(seed, B, scale):
    x, y = pair(seed, B, 5)
    torch.testing.assert_close(info_nce(x, y, scale), info_nce_reference(x, y, scale))


@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_open_clip(dtype, tolerance):
    x, y = pair(1, 16, 8, dtype)
    theirs = import_open_clip().ClipLoss()(x, y, torch.tensor(20.0, dtype=dtype))
    assert abs(info_nce(x, y, 20.0) - theirs) < tolerance


def test_hand_worked():
    # Two pairs on the axes: own logit 1, other 0; each softmax gives -log(e / (e + 1)).
    x = torch.eye(2)
    assert info_nce(x, x, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_ignorance_costs_log_batch():
    x = torch.ones(6, 3) / math.sqrt(3)
    assert info_nce(x, x, 7.0).item() == pytest.approx(math.log(6))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999))
def test_symmetries(seed):
    x, y = pair(seed, 6, 4)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))[0]
    value = info_nce(x, y, 3.0)
    torch.testing.assert_close(info_nce(y, x, 3.0), value)
    torch.testing.assert_close(info_nce(x[order], y[order], 3.0), value)
    torch.testing.assert_close(info_nce(x @ rotation, y @ rotation, 3.0), value)


def test_gradient():
    x, y = (t.requires_grad_() for t in pair(3, 4, 3))
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(info_nce, (x, y, scale))


def test_shapes_must_agree():
    with pytest.raises(ClipkitError, match="one shape"):
        info_nce(torch.ones(3, 2), torch.ones(2, 2), 1.0)
