"""AMU-Tuning: its loss and gradient, its limits, its start, what it says of bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipkit.adapt.amu import AMU, amu_loss
from clipkit.adapt.cache import cache_logits
from clipkit.adapt.fusion import uncertainty_statistic, zscore
from clipkit.errors import ClipkitError


def unit(n, d, seed, dtype=torch.float64):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


def task(C, shots, dtype=torch.float64, d=16, e=10, seed=0):
    """CLIP features near their text weights, auxiliary features near class centres of their own."""
    y = torch.arange(C).repeat(shots)
    clouds = [
        F.normalize(unit(C, dim, seed + i, dtype)[y] + 0.6 * unit(C * shots, dim, seed + 10 + i, dtype), dim=1)
        for i, dim in enumerate((d, e))
    ]
    return *clouds, y, unit(C, d, seed, dtype)


SIZES = [(2, 1), (5, 4), (48, 1), (1000, 1)]


@pytest.mark.parametrize(("C", "shots"), SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_alpha_zero_is_zero_shot(C, shots, dtype, tolerance):
    x, a, y, w = task(C, shots, dtype)
    found = AMU(alpha=0.0, scale=25.0, steps=2).fit(x, a, y, w).predict_logits(x, a)
    assert found.dtype == dtype and found.shape == (C * shots, C)
    np.testing.assert_allclose(found, 25 * x @ w.T, atol=tolerance)


def plain(x, a, y, w, scale, lam, alpha, rho, steps, lr):
    """The same method in numpy: gradients by hand, AdamW by hand."""
    x, a, w, y = (np.asarray(t) for t in (x, a, w, y))
    C, N = len(w), len(x)
    theta = np.stack([a[y == c].mean(0) for c in range(C)])
    s0 = scale * x @ w.T

    def softmax(s):
        e = np.exp(s - s.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    p = softmax(s0)
    m4 = (((p - p.mean(1, keepdims=True)) / p.std(1, ddof=1, keepdims=True)) ** 4).mean(1, keepdims=True)
    kappa = (m4 / np.sort(m4, axis=0)[(N - 1) // 2]) ** -rho
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for t in range(steps):
        raw = a @ theta.T
        sd = raw.std(1, ddof=1, keepdims=True)
        z = (raw - raw.mean(1, keepdims=True)) / sd
        hot = np.eye(C)[y]
        g = (lam * alpha * kappa * (softmax(s0 + alpha * kappa * z) - hot) + (1 - lam) * (softmax(z) - hot)) / N  # dL/dz
        # z-score backwards: take out what lies along 1 and along z
        g = (g - g.mean(1, keepdims=True) - z * (g * z).sum(1, keepdims=True) / (C - 1)) / sd
        grad = g.T @ a
        rate = lr * (1 + np.cos(np.pi * t / steps)) / 2
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
        step = (first / (1 - 0.9 ** (t + 1))) / (np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-4)
        theta = theta * (1 - rate * 0.01) - rate * step
    return theta


@pytest.mark.parametrize(("C", "shots"), [(3, 1), (5, 4), (48, 2)])
def test_training_equals_the_method_written_out(C, shots):
    x, a, y, w = task(C, shots)
    found = AMU(lam=0.35, alpha=0.7, rho=0.4, scale=20.0, steps=30, lr=1e-2).fit(x, a, y, w)
    np.testing.assert_allclose(found.theta_, plain(x, a, y, w, 20.0, 0.35, 0.7, 0.4, 30, 1e-2), atol=1e-8)


@pytest.mark.parametrize("lam", [0.0, 0.35, 1.0])
def test_gradient_in_float64(lam):
    x, a, y, w = task(4, 2)
    theta, kappa = unit(4, 10, 5).requires_grad_(), torch.linspace(0.5, 2, 8, dtype=torch.float64)[:, None]
    assert torch.autograd.gradcheck(lambda t: amu_loss(t, a, 10 * x @ w.T, kappa, y, lam, 0.5), theta)


def test_lambda_one_drops_the_auxiliary_term():
    """By finite differences of the fused cross-entropy alone."""
    x, a, y, w = task(4, 2)
    s0, kappa, theta = 10 * x @ w.T, torch.ones(8, 1, dtype=torch.float64), unit(4, 10, 5).requires_grad_()
    gradient = torch.autograd.grad(amu_loss(theta, a, s0, kappa, y, 1.0, 0.5), theta)[0]
    step = 1e-6
    for i, j in ((0, 0), (1, 7), (3, 9)):
        shift = torch.zeros_like(theta)
        shift[i, j] = step
        fused = [F.cross_entropy(s0 + 0.5 * zscore(a @ (theta + s * shift).T), y).item() for s in (1, -1)]
        assert gradient[i, j].item() == pytest.approx((fused[0] - fused[1]) / (2 * step), abs=1e-8)
    alone = torch.autograd.grad(amu_loss(theta, a, s0, kappa, y, 0.0, 0.5), theta)[0]
    other = torch.autograd.grad(amu_loss(theta, a, -3 * s0, 9 * kappa, y, 0.0, 0.5), theta)[0]
    np.testing.assert_array_equal(alone, other)  # and lambda = 0 sees nothing of CLIP


@pytest.mark.parametrize("beta", [0.5, 5.5])
def test_one_shot_mean_start_ranks_like_tips_cache(beta):
    _, a, y, w = task(9, 1)
    new = unit(40, 10, 77)
    head = AMU(steps=0).fit(unit(9, 16, 3), a, y, w)
    np.testing.assert_array_equal(head.theta_, a)
    ranks = head.own_logits(new).argsort(1)
    np.testing.assert_array_equal(ranks, cache_logits(new, a, y, beta, n_classes=9).argsort(1))


def test_mean_start_is_not_normalised_again_and_takes_unequal_classes():
    _, a, _, w = task(3, 4)
    y = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    head = AMU(steps=0).fit(unit(12, 16, 3), a, y, w)
    np.testing.assert_allclose(head.theta_[1], a[6:8].mean(0), atol=1e-12)
    assert (head.theta_.norm(dim=1) < 0.999).all()


def test_the_reference_is_the_supports_median_and_other_references():
    x, a, y, w = task(6, 3)
    head = AMU(steps=0, scale=10.0).fit(x, a, y, w)
    statistic = uncertainty_statistic((10 * x @ w.T).softmax(1))
    assert head.reference_ == pytest.approx(statistic.median().item())
    assert head.kappa(x)[statistic == statistic.median()].item() == pytest.approx(1)
    paper = AMU(steps=0, scale=10.0, reference="paper").fit(x, a, y, w)
    np.testing.assert_allclose(paper.kappa(x) / head.kappa(x), (250 / head.reference_) ** 0.4, rtol=1e-9)
    assert AMU(steps=0, reference=7.0).fit(x, a, y, w).reference_ == 7.0
    np.testing.assert_array_equal(AMU(steps=0, uncertainty="none").fit(x, a, y, w).kappa(x), np.ones((18, 1)))
    for kind in ("entropy", "margin"):
        assert (AMU(steps=0, uncertainty=kind).fit(x, a, y, w).kappa(x) > 0).all()


def test_parts_add_up():
    x, a, y, w = task(5, 4)
    head = AMU(scale=12.0, alpha=0.8, steps=5).fit(x, a, y, w)
    np.testing.assert_allclose(head.bias(x, a), head.kappa(x) * head.own_logits(a), atol=1e-12)
    np.testing.assert_allclose(head.predict_logits(x, a), 12 * x @ w.T + 0.8 * head.bias(x, a), atol=1e-12)
    np.testing.assert_allclose(head.own_logits(a).std(1), 1, atol=1e-9)


def test_centring_takes_out_what_all_features_share():
    x, a, y, w = task(5, 4)
    common = F.normalize(a + 30 * unit(1, 10, 99), dim=1)  # all nearly the same direction
    head = AMU(steps=0, centre=True).fit(x, common, y, w)
    np.testing.assert_allclose(head.centre_, common.mean(0), atol=1e-12)
    moved = F.normalize(common - common.mean(0), dim=1)
    np.testing.assert_allclose(head.own_logits(common), AMU(steps=0).fit(x, moved, y, w).own_logits(moved), atol=1e-9)
    accuracy = [
        (AMU(steps=200, lr=1e-2, centre=c).fit(x, common, y, w).own_logits(common).argmax(1) == y).double().mean() for c in (False, True)
    ]
    assert accuracy[1] == 1.0 and accuracy[1] >= accuracy[0]


@pytest.mark.parametrize("batch", [None, 7])
def test_training_lowers_the_loss_and_repeats(batch):
    x, a, y, w = task(6, 5)
    settings = {"scale": 10.0, "steps": 80, "lr": 1e-2, "batch": batch, "start": "random"}
    head, again = (AMU(**settings).fit(x, a, y, w) for _ in range(2))
    assert head.losses_[-10:].mean() < 0.8 * head.losses_[:10].mean()
    np.testing.assert_array_equal(head.theta_, again.theta_)
    assert not torch.equal(head.theta_, AMU(**settings, seed=1).fit(x, a, y, w).theta_)
    assert not head.theta_.requires_grad


def test_the_order_of_the_pictures_does_not_matter():
    x, a, y, w = task(6, 3)
    order = torch.randperm(18, generator=torch.Generator().manual_seed(0))
    first, second = AMU(steps=20).fit(x, a, y, w), AMU(steps=20).fit(x[order], a[order], y[order], w)
    np.testing.assert_allclose(first.theta_, second.theta_, atol=1e-9)


def test_no_gradient_mode_of_the_caller_does_not_stop_training():
    x, a, y, w = task(4, 2)
    with torch.no_grad():
        inside = AMU(steps=5).fit(x, a, y, w).theta_
    np.testing.assert_array_equal(inside, AMU(steps=5).fit(x, a, y, w).theta_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": 1.2}, "lam"),
        ({"alpha": -1.0}, "alpha"),
        ({"rho": -0.1}, "rho"),
        ({"lr": 0.0}, "lr"),
        ({"batch": 0}, "batch"),
        ({"uncertainty": "energy"}, "uncertainty"),
        ({"start": "zero"}, "start"),
        ({"reference": "test"}, "reference"),
    ],
)
def test_bad_settings_are_said(options, message):
    with pytest.raises(ClipkitError, match=message):
        AMU(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, a, y, w: (x, a * float("nan"), y, w), "auxiliary features.*NaN"),
        (lambda x, a, y, w: (x, a[:-1], y, w), "same pictures"),
        (lambda x, a, y, w: (x[:, :3], a, y, w), "dimensions"),
        (lambda x, a, y, w: (x, a, y + 1, w), "labels must lie"),
        (lambda x, a, y, w: (x, a, y.double(), w), "integers"),
        (lambda x, a, y, w: (x, a, torch.zeros_like(y), w), "class 1 has no labelled picture"),
        (lambda x, a, y, w: (x, a, torch.zeros_like(y), w[:1]), "two classes"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, message):
    with pytest.raises(ClipkitError, match=message):
        AMU(steps=1).fit(*change(*task(3, 2)))


def test_unfitted_and_other_pictures():
    x, a, y, w = task(3, 2)
    with pytest.raises(ClipkitError, match="not fitted"):
        AMU().predict_logits(x, a)
    head = AMU(steps=1).fit(x, a, y, w)
    with pytest.raises(ClipkitError, match="same pictures"):
        head.predict_logits(x, a[:2])
    with pytest.raises(ClipkitError, match="dimensions"):
        head.own_logits(x)
    assert AMU(steps=1, start="random").fit(x, a, torch.zeros_like(y), w).theta_.shape == (3, 10)
