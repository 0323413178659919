"""The standardised logistic head: scikit-learn's solution for each decay, its search, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from clipkit.adapt.logistic import LogisticHead
from clipkit.adapt.selection import ALPHAS, equal_spread
from clipkit.errors import ClipkitError


def task(classes=4, shots=8, d=6, dtype=torch.float64):
    g = torch.Generator().manual_seed(classes)
    w = normalize(torch.randn(classes, d, generator=g, dtype=torch.float64), dim=1)
    y = torch.arange(classes).repeat(shots)
    x = normalize(w[y] + 0.5 * torch.randn(len(y), d, generator=g, dtype=torch.float64), dim=1)
    return x.to(dtype), y, w.to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-3), (torch.float64, 1e-4)])
def test_each_decay_is_scikit_learns_solution(dtype, tolerance):
    x, y, w = task(dtype=dtype)
    head = LogisticHead(20.0, decays=(0.01, 0.3), max_iter=300).fit(x, y, w)
    z = ((x - x.mean(0)) / x.std(0, unbiased=False)).double().numpy()
    for decay, weight in zip((0.3, 0.01), head.weights_, strict=True):
        theirs = LogisticRegression(C=1 / (decay * len(y)), tol=1e-10, max_iter=5000).fit(z, y.numpy())
        np.testing.assert_allclose(weight.double().numpy(), theirs.coef_, atol=tolerance)


def test_fixed_setting_and_search_written_out():
    x, y, w = task()
    test, truth, _ = task(shots=30)
    head = LogisticHead(20.0).fit(x, y, w)
    z = (x - x.mean(0)) / x.std(0, unbiased=False)
    own = z @ head.weights_[2].T + head.biases_[2]
    assert head.chosen_ == {"decay": 0.01, "alpha": pytest.approx(2 * equal_spread(20 * x @ w.T, own))}  # 8 shots / 4
    torch.testing.assert_close(head.predict_logits(x), 20 * x @ w.T + head.chosen_["alpha"] * own)
    best = -1.0
    zt = (test - x.mean(0)) / x.std(0, unbiased=False)
    for i, decay in enumerate(head.decays):
        for alpha in ALPHAS:
            right = ((20 * test @ w.T + alpha * (zt @ head.weights_[i].T + head.biases_[i])).argmax(1) == truth).sum()
            if right > best:
                best, expected = right, {"decay": decay, "alpha": alpha}
    assert head.search(test, truth).chosen_ == expected


@pytest.mark.parametrize(("classes", "shots"), [(1, 1), (3, 1), (200, 1)])
def test_edges(classes, shots):
    x, y, w = task(classes, shots, dtype=torch.float32)
    logits = LogisticHead(20.0, max_iter=5).fit(x, y, w).predict_logits(x)
    assert logits.shape == (classes * shots, classes) and torch.isfinite(logits).all()
    constant = torch.cat([x, torch.ones(len(x), 1)], 1)
    text = torch.cat([w, torch.zeros(classes, 1)], 1)
    assert torch.isfinite(LogisticHead(20.0, max_iter=5).fit(constant, y, text).predict_logits(constant)).all()
    few = LogisticHead(20.0, max_iter=5).fit(x[:1], y[:1], w)
    assert torch.isfinite(few.predict_logits(x)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y, w: LogisticHead(0), "positive"),
        (lambda x, y, w: LogisticHead(decays=()), "at least one decay"),
        (lambda x, y, w: LogisticHead().fit(x, y + 1, w), "labels must lie"),
        (lambda x, y, w: LogisticHead().fit(x, y, w[:, :2]), "dimensions"),
        (lambda x, y, w: LogisticHead().predict_logits(x), "not fitted"),
        (lambda x, y, w: LogisticHead().search(x, y), "not fitted"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call(*task())
