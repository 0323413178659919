"""CLIP-Adapter: its formula, its edges, its gradient, what it says of bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clipkit.adapt.clip_adapter import CLIPAdapter, adapt_features, uniform_weights
from clipkit.errors import ClipkitError


def unit(n, d, seed, dtype=torch.float64):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


def task(C, shots, d=12, dtype=torch.float64):
    w, y = unit(C, d, 1, dtype), torch.arange(C).repeat(shots)
    noise = torch.randn(C * shots, d, generator=torch.Generator().manual_seed(2), dtype=dtype)
    return F.normalize(w[y] + 0.3 * noise, dim=1), y, w


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchs_own_layers(dtype):
    x, down, up = unit(5, 12, 0, dtype), unit(3, 12, 1, dtype), unit(12, 3, 2, dtype)
    net = nn.Sequential(nn.Linear(12, 3, bias=False), nn.ReLU(), nn.Linear(3, 12, bias=False), nn.ReLU()).to(dtype)
    net.load_state_dict({"0.weight": down, "2.weight": up})
    mixed = 0.2 * net(x) + 0.8 * x
    np.testing.assert_allclose(adapt_features(x, down, up, 0.2), (mixed / mixed.norm(dim=1, keepdim=True)).detach(), atol=1e-6)


@pytest.mark.parametrize("length", [0.01, 3.0, 100.0])
def test_the_length_of_a_feature_does_not_matter(length):
    x, down, up = unit(5, 12, 0), unit(3, 12, 1), unit(12, 3, 2)
    np.testing.assert_allclose(adapt_features(length * x, down, up, 0.2), adapt_features(x, down, up, 0.2), atol=1e-12)


def test_the_correction_is_never_negative():
    x, down, up = unit(50, 12, 0), unit(3, 12, 1), unit(12, 3, 2)
    assert (adapt_features(x, down, up, 1.0) >= 0).all()


@pytest.mark.parametrize(("C", "shots"), [(1, 1), (2, 1), (5, 3), (1000, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ratio_zero_is_zero_shot(C, shots, dtype):
    x, y, w = task(C, shots, dtype=dtype)
    found = CLIPAdapter(ratio=0.0, scale=30.0, steps=2).fit(x, y, w).predict_logits(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, 30 * x @ w.T, atol=1e-4 if dtype == torch.float32 else 1e-10)


def test_gradient_in_float64():
    x, y, w = task(4, 2, 8)
    down, up = unit(2, 8, 3).requires_grad_(), unit(8, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda d, u: F.cross_entropy(10 * adapt_features(x, d, u, 0.3) @ w.T, y), (down, up))


def test_training_lowers_the_loss_and_repeats():
    x, y, w = task(6, 4)
    w = F.normalize(w + 0.5 * unit(6, 12, 9), dim=1)  # text weights that miss the clouds
    first = CLIPAdapter(ratio=0.5, scale=20.0, steps=60, lr=1e-2).fit(x, y, w)
    assert first.losses_[-1] < 0.7 * first.losses_[0]
    again = CLIPAdapter(ratio=0.5, scale=20.0, steps=60, lr=1e-2).fit(x, y, w)
    np.testing.assert_array_equal(first.up_, again.up_)
    other = CLIPAdapter(ratio=0.5, scale=20.0, steps=60, lr=1e-2, seed=1).fit(x, y, w)
    assert not torch.equal(first.up_, other.up_)


def test_first_weights_are_a_new_linear_layers():
    weights = uniform_weights(400, 25, torch.Generator().manual_seed(0))
    layer = nn.Linear(25, 400, bias=False).weight
    assert weights.abs().max() <= 1 / 5 and layer.abs().max() <= 1 / 5
    assert weights.std().item() == pytest.approx(layer.std().item(), rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ratio": 1.5}, "ratio"), ({"reduction": 0}, "reduction"), ({"lr": 0.0}, "lr"), ({"batch": 0}, "batch"), ({"scale": -1.0}, "scale")],
)
def test_bad_settings_are_said(options, message):
    with pytest.raises(ClipkitError, match=message):
        CLIPAdapter(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, w: (x * float("nan"), y, w), "NaN"),
        (lambda x, y, w: (x, y[:-1], w), "labels"),
        (lambda x, y, w: (x, y + 1, w), "labels must lie"),
        (lambda x, y, w: (x[:, :5], y, w), "dimensions"),
        (lambda x, y, w: (x[:, :3], y, w[:, :3]), "hidden unit"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, message):
    with pytest.raises(ClipkitError, match=message):
        CLIPAdapter().fit(*change(*task(3, 2)))


def test_unfitted_and_other_dimensions():
    x, y, w = task(3, 2)
    with pytest.raises(ClipkitError, match="not fitted"):
        CLIPAdapter().predict_logits(x)
    with pytest.raises(ClipkitError, match="dimensions"):
        CLIPAdapter(steps=1).fit(x, y, w).features(x[:, :4])
