"""GDA: scikit-learn's LDA given the same covariance, Bayes' rule on known Gaussians, invariances, and what is refused."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from clipkit.adapt import GDA, ks_precision
from clipkit.adapt.gda import SHRINKAGES, covariance_spread
from clipkit.errors import ClipkitError

DTYPES = {torch.float32: 2e-3, torch.float64: 1e-8}


def cloud(classes, shots, d, seed=0, dtype=torch.float64, spread=1.0):
    """Gaussian classes with one covariance: features (N, d), labels (N,), means (C, d), square root of the covariance."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(d, d, generator=g, dtype=torch.float64) / math.sqrt(d) + 0.3 * torch.eye(d, dtype=torch.float64)
    means = spread * torch.randn(classes, d, generator=g, dtype=torch.float64) / math.sqrt(d)
    labels = torch.arange(classes).repeat(shots)
    x = means[labels] + torch.randn(len(labels), d, generator=g, dtype=torch.float64) @ root
    return x.to(dtype), labels, means.to(dtype), root.to(dtype)


@pytest.mark.parametrize("name", ["adapt.gda", "adapt.selection", "adapt.prototypes", "datasets.suite", "datasets.world"])
def test_examples_in_docstrings(name):
    found = doctest.testmod(importlib.import_module(f"clipkit.{name}"))
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 7, 500])
def test_ks_precision_solves_its_defining_equation(dtype, n):
    x, y, _, _ = cloud(3, 4, 9, dtype=dtype)
    S = torch.cov(x.T)
    P = ks_precision(S, n)
    assert P.dtype == dtype
    torch.testing.assert_close(
        P @ ((n - 1) * S + S.trace() * torch.eye(9, dtype=dtype)), 9 * torch.eye(9, dtype=dtype), atol=DTYPES[dtype], rtol=0
    )


def test_ks_precision_by_hand():
    # S = diag(1, 3), n = 3: 2 S + 4 I = diag(6, 10), so P = diag(2/6, 2/10)
    P = ks_precision(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), 3)
    torch.testing.assert_close(P, torch.diag(torch.tensor([1 / 3, 0.2])))
    assert torch.equal(ks_precision(torch.zeros(3, 3), 5), torch.eye(3))


@pytest.mark.parametrize("classes", [2, 5])
def test_equals_scikit_learns_lda_with_the_same_covariance(classes):
    x, y, _, _ = cloud(classes, 40, 6)
    ours = GDA("none", prior="empirical").fit(x, y)

    class Same:  # their estimator is asked for each class; ours is one matrix for all
        def fit(self, _):
            self.covariance_ = ours.covariance_.numpy()
            return self

    theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Same()).fit(x.numpy(), y.numpy())
    logits = ours.predict_logits(x).numpy()
    if classes == 2:
        np.testing.assert_allclose(theirs.decision_function(x.numpy()), logits[:, 1] - logits[:, 0], rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_allclose(theirs.decision_function(x.numpy()), logits, rtol=1e-6, atol=1e-6)


def test_no_shrinkage_equals_lda_up_to_the_divisor():
    x, y, _, _ = cloud(4, 30, 5)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.25] * 4).fit(x.numpy(), y.numpy())  # divides by N
    ours = GDA("none").fit(x, y)
    np.testing.assert_allclose(ours.weight_.numpy() * len(x) / (len(x) - 1), theirs.coef_, rtol=1e-8, atol=1e-10)
    assert (ours.predict_logits(x).argmax(1).numpy() == theirs.predict(x.numpy())).all()


def test_ledoit_wolf_is_scikit_learns_on_the_deviations():
    x, y, _, _ = cloud(4, 5, 12)
    ours = GDA("ledoit_wolf").fit(x, y)
    theirs = LedoitWolf(assume_centered=True).fit((x - ours.means_[y]).numpy())
    # their S divides by N, ours by N - 1
    share = theirs.shrinkage_
    S, eye = ours.covariance_, torch.eye(12, dtype=x.dtype)
    expected = torch.linalg.inv((1 - share) * S + share * S.trace() / 12 * eye)
    torch.testing.assert_close(ours.precision_, expected)


@pytest.mark.parametrize("shrinkage", ["ks", "ledoit_wolf", "oas", "none"])
def test_tends_to_the_bayes_rule(shrinkage):
    x, y, means, root = cloud(4, 5000, 6, seed=3, spread=1.5)
    fresh, truth, _, _ = x[10000:], y[10000:], None, None
    P = torch.linalg.inv(root.T @ root)
    bayes = (fresh @ P @ means.T - ((means @ P) * means).sum(1) / 2).argmax(1)
    ours = GDA(shrinkage).fit(x[:10000], y[:10000]).predict_logits(fresh).argmax(1)
    assert (ours == bayes).double().mean() > 0.98
    assert abs((ours == truth).double().mean() - (bayes == truth).double().mean()) < 0.01


def test_two_classes_reach_the_analytic_accuracy():
    g = torch.Generator().manual_seed(5)
    delta = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)
    y = torch.arange(40000) % 2
    x = delta * y[:, None] + torch.randn(40000, 3, generator=g, dtype=torch.float64)
    accuracy = (GDA().fit(x[:20000], y[:20000]).predict_logits(x[20000:]).argmax(1) == y[20000:]).double().mean().item()
    phi = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # Φ(Δ/2), Δ = 2
    assert abs(accuracy - phi) < 3 * math.sqrt(phi * (1 - phi) / 20000) + 1e-3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rotations_do_not_matter_and_without_shrinkage_no_linear_map_does(seed):
    x, y, _, _ = cloud(3, 12, 5, seed)
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(5, 5, generator=g, dtype=torch.float64) + 3 * torch.eye(5, dtype=torch.float64)
    Q = torch.linalg.qr(A)[0]
    for shrinkage, M in (("ks", Q), ("ledoit_wolf", Q), ("none", A)):
        plain, mapped = (GDA(shrinkage).fit(z, y).predict_logits(z) for z in (x, x @ M))
        torch.testing.assert_close(plain - plain[:, :1], mapped - mapped[:, :1], rtol=1e-6, atol=1e-6)


def test_order_and_copies_of_the_support():
    x, y, _, _ = cloud(3, 6, 8)
    head, order = GDA().fit(x, y), torch.randperm(18, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(GDA().fit(x[order], y[order]).predict_logits(x), head.predict_logits(x))
    twice = GDA().fit(torch.cat([x, x]), torch.cat([y, y]))
    torch.testing.assert_close(twice.means_, head.means_)
    S = head.covariance_ * 2 * 17 / 35  # the same deviations twice, over 2N - 1
    torch.testing.assert_close(twice.precision_, ks_precision(S, 36))


def test_identity_is_the_nearest_mean_rule():
    x, y, _, _ = cloud(5, 6, 7)
    head = GDA("identity").fit(x, y)
    assert torch.equal(head.predict_logits(x).argmax(1), torch.cdist(x, head.means_).argmin(1))


def test_class_means_of_covariances():
    x, y, _, _ = cloud(3, 5, 4)
    keep = torch.tensor([True] * 14 + [False])  # one class has four
    x, y = x[keep], y[keep]
    expected = torch.stack([torch.cov(x[y == c].T) for c in range(3)]).mean(0)
    torch.testing.assert_close(GDA(cov="class_mean").fit(x, y).covariance_, expected)


def test_priors():
    x, y, _, _ = cloud(2, 8, 4)
    few = torch.cat([torch.arange(16), torch.arange(0, 16, 2), torch.arange(0, 16, 2)])  # class 0 three times as often
    uniform, empirical = (GDA(prior=p).fit(x[few], y[few]) for p in ("uniform", "empirical"))
    gap = (empirical.bias_ - uniform.bias_).diff()
    torch.testing.assert_close(gap, torch.tensor([math.log(0.25 / 0.75)], dtype=x.dtype))


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_shot_falls_back_to_nearest_mean(shrinkage, dtype):
    x, y, _, _ = cloud(6, 1, 5, dtype=dtype)
    head = GDA(shrinkage).fit(x, y)
    assert torch.equal(head.predict_logits(x).argmax(1), y)
    assert torch.equal(head.predict_logits(x + 0.01).argmax(1), torch.cdist(x + 0.01, x).argmin(1))
    expected = (x - x.mean(0)).square().mean()
    torch.testing.assert_close(head.precision_, torch.eye(5, dtype=dtype) / expected)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_edges(shrinkage):
    x, y, _, _ = cloud(1, 4, 3)
    one = GDA(shrinkage).fit(x, y)
    assert one.predict_logits(x).shape == (4, 1) and torch.isfinite(one.predict_logits(x)).all()
    single = GDA(shrinkage).fit(x[:1], y[:1])
    assert torch.equal(single.precision_, torch.eye(3, dtype=x.dtype)) and torch.isfinite(single.predict_logits(x)).all()
    same = GDA(shrinkage).fit(x[:1].repeat(4, 1), torch.tensor([0, 0, 1, 1]))
    assert torch.isfinite(same.predict_logits(x)).all()


def test_half_precision_is_widened():
    x, y, _, _ = cloud(3, 4, 5)
    head = GDA().fit(x.half(), y)
    assert head.weight_.dtype == torch.float32 and head.predict_logits(x.half()).dtype == torch.float32


def test_extend_stays_in_the_hull_and_repeats_a_known_class():
    x, y, _, _ = cloud(3, 30, 6)
    x = torch.nn.functional.normalize(x, dim=1)
    head = GDA().fit(x, y)
    t = torch.nn.functional.normalize(head.means_[:2], dim=1)
    new = head.extend(t, k=20, text_copies=4)
    assert new.predict_logits(x).shape == (90, 2) and new.means_.shape == (2, 6)
    for c in range(2):
        near = x[(x @ t[c]).topk(20).indices]
        torch.testing.assert_close(new.means_[c], torch.cat([near, t[c].repeat(4, 1)]).mean(0))
    per_class = [x[(x @ c).topk(20).indices] - c for c in t]
    P = torch.stack([ks_precision(r.T @ r / 19, 20) for r in per_class]).mean(0)
    torch.testing.assert_close(new.precision_, P)
    shared = head.extend(t, k=20, precision="shared")
    assert torch.equal(shared.precision_, head.precision_) and not torch.equal(shared.means_, new.means_)
    assert head.extend(t, k=10**6).means_.shape == (2, 6)  # no more than there are


def test_a_class_without_features_is_synthesised_from_its_text():
    x, y, _, _ = cloud(3, 5, 6)
    x = torch.nn.functional.normalize(x, dim=1)
    w = torch.nn.functional.normalize(torch.randn(4, 6, dtype=x.dtype, generator=torch.Generator().manual_seed(1)), dim=1)
    head, three = GDA().fit(x, y, w), GDA().fit(x, y)
    torch.testing.assert_close(head.means_[3], three.extend(w[3:], precision="shared").means_[0])
    torch.testing.assert_close(head.weight_[:3], three.weight_)
    with pytest.raises(ClipkitError, match="class 3 has no features"):
        GDA().fit(x, y, n_classes=4)


def test_spread_of_covariances():
    x, y, _, _ = cloud(30, 60, 12)
    own, chance = covariance_spread(x, y)
    assert chance == pytest.approx(math.sqrt(2 / 59)) and own == pytest.approx(chance, rel=0.15)
    factor = torch.linspace(0.5, 2, 30, dtype=x.dtype)[y, None]
    means = torch.stack([x[y == c].mean(0) for c in range(30)])[y]
    assert covariance_spread(means + factor * (x - means), y)[0] > 2 * chance
    for wrong in ({"axes": 0}, {"axes": 13}):
        with pytest.raises(ClipkitError, match="1 to 12 axes"):
            covariance_spread(x, y, **wrong)
    with pytest.raises(ClipkitError, match="class with two features"):
        covariance_spread(x[:30], y[:30])


def test_a_thousand_classes():
    g = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(16000, 512, generator=g), dim=1)
    head = GDA().fit(x, torch.arange(1000).repeat(16))
    assert head.weight_.shape == (1000, 512) and torch.isfinite(head.weight_).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: GDA("shrunk"), "unknown shrinkage"),
        (lambda x, y: GDA(prior="flat"), "unknown prior"),
        (lambda x, y: GDA(cov="own"), "unknown covariance"),
        (lambda x, y: GDA(ridge=0), "ridge must be positive"),
        (lambda x, y: GDA().fit(x[0], y), "want floating-point numbers"),
        (lambda x, y: GDA().fit(x, y[:-1]), "labels: want"),
        (lambda x, y: GDA().fit(x, y - 1), "labels must be 0 or more"),
        (lambda x, y: GDA().fit(x, y, n_classes=2), "labels must lie between"),
        (lambda x, y: GDA().fit(x.where(x != x[3, 1], math.nan), y), "NaN"),
        (lambda x, y: GDA().fit(x, y, x[:3, :2]), "dimensions"),
        (lambda x, y: GDA().predict_logits(x), "not fitted"),
        (lambda x, y: GDA().fit(x, y).predict_logits(x[:, :2]), "where 4 are wanted"),
        (lambda x, y: GDA().fit(x, y).extend(x[:2], k=0), "at least 1"),
        (lambda x, y: GDA().fit(x, y).extend(x[:2], precision="old"), "unknown precision"),
        (lambda x, y: ks_precision(x, 3), "covariance of n"),
        (lambda x, y: ks_precision(-torch.eye(3), 3), "covariance of n"),
    ],
)
def test_what_cannot_be_fitted_is_said(call, message):
    x, y, _, _ = cloud(3, 4, 4)
    with pytest.raises(ClipkitError, match=message):
        call(x, y)
