"""The zero-shot-initialised probe: its start, its steps against a plain loop, its penalty, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from clipkit.adapt import ZeroShotProbe
from clipkit.errors import ClipkitError


def task(classes=4, shots=6, d=8, dtype=torch.float64, noise=0.6):
    g = torch.Generator().manual_seed(0)
    w = normalize(torch.randn(classes, d, generator=g, dtype=dtype), dim=1)
    y = torch.arange(classes).repeat(shots)
    return normalize(w.roll(1, 0)[y] + noise * torch.randn(len(y), d, generator=g, dtype=dtype), dim=1), y, w


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("penalty", ["none", "clap"])
def test_no_epochs_is_zero_shot(dtype, penalty):
    x, y, w = task(dtype=dtype)
    torch.testing.assert_close(ZeroShotProbe(20.0, epochs=0, penalty=penalty).fit(x, y, w).predict_logits(x), 20 * x @ w.T)


@pytest.mark.parametrize("penalty", ["none", "clap"])
def test_equals_momentum_written_out(penalty):
    x, y, w = task()
    head = ZeroShotProbe(20.0, lr=0.3, epochs=5, penalty=penalty).fit(x, y, w)  # one batch: the order does not matter
    multipliers = torch.zeros(4, dtype=x.dtype)
    if penalty == "clap":
        p = (20 * x @ w.T).softmax(1)
        multipliers = torch.stack([p[y == c, c].mean() for c in range(4)])
    torch.testing.assert_close(head.multipliers_, multipliers)
    v, speed = w.clone(), torch.zeros_like(w)
    for epoch in range(5):
        v.requires_grad_()
        loss = cross_entropy(20 * x @ normalize(v, dim=1).T, y) + (multipliers * (v - w).square().sum(1)).mean()
        (slope,) = torch.autograd.grad(loss, v)
        speed = 0.9 * speed + slope
        v = v.detach() - (1e-5 if epoch == 0 else 0.15 * (1 + math.cos(math.pi * epoch / 5))) * speed
    torch.testing.assert_close(head.weight_, normalize(v, dim=1))


def test_it_learns_and_the_penalty_keeps_it_near():
    x, y, w = task(noise=0.2)
    free, held = (ZeroShotProbe(20.0, lr=1.0, epochs=60, penalty=p).fit(x, y, w) for p in ("none", "clap"))
    assert (20 * x @ w.T).argmax(1).eq(y).double().mean() < 0.5  # every text is that of another class
    assert free.predict_logits(x).argmax(1).eq(y).double().mean() > 0.85
    known, y2 = w.repeat(3, 1) + 0.01, torch.arange(4).repeat(3)  # zero-shot knows these: multipliers near one
    moved = [(ZeroShotProbe(20.0, lr=0.5, epochs=100, penalty=p).fit(known, y2, w).weight_ - w).norm() for p in ("none", "clap")]
    assert moved[1] < moved[0]
    assert (held.multipliers_ >= 0).all() and (held.multipliers_ <= 1).all()


def test_same_seed_same_weights_and_batches():
    x, y, w = task(shots=20)
    one, again, other = (ZeroShotProbe(20.0, epochs=5, batch=16, seed=s).fit(x, y, w).weight_ for s in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize(("classes", "shots"), [(1, 1), (3, 1), (1000, 1)])
def test_edge_sizes(classes, shots):
    x, y, w = task(classes, shots, dtype=torch.float32)
    head = ZeroShotProbe(20.0, epochs=3).fit(x, y, w)
    assert head.predict_logits(x).shape == (classes * shots, classes) and torch.isfinite(head.weight_).all()


def test_a_missing_class_has_multiplier_one():
    x, y, w = task()
    head = ZeroShotProbe(20.0, epochs=2, penalty="clap").fit(x[y != 2], y[y != 2], w)
    assert head.multipliers_[2] == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y, w: ZeroShotProbe(penalty="l2"), "unknown penalty"),
        (lambda x, y, w: ZeroShotProbe(scale=0), "must be positive"),
        (lambda x, y, w: ZeroShotProbe(lr=-1), "must be positive"),
        (lambda x, y, w: ZeroShotProbe().fit(x, y, w[:2]), "labels must lie"),
        (lambda x, y, w: ZeroShotProbe().fit(x, y, w[:, :2]), "dimensions"),
        (lambda x, y, w: ZeroShotProbe().predict_logits(x), "not fitted"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call(*task())
