"""Tip-X: the divergence against scipy and by hand, its small-feature limit, the summed form against the plain one, search."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from clipkit.adapt import TipAdapter, TipX, tip_x
from clipkit.adapt.tip_x import kl_divergence, log_signatures
from clipkit.errors import ClipkitError


def unit(n, d, seed, dtype=torch.float64):
    return F.normalize(torch.tensor(np.random.default_rng(seed).normal(size=(n, d)), dtype=dtype), dim=1)


@pytest.mark.parametrize("signature", ["class", "feature"])
@pytest.mark.parametrize("classes", [1, 2, 9])
def test_divergence_is_scipys(signature, classes):
    x, k, w = unit(5, 6, 0), unit(4, 6, 1), unit(classes, 6, 2)
    log_p, log_q = (log_signatures(a, w, 0.5, signature) for a in (x, k))
    got = kl_divergence(log_p, log_q).numpy()
    for i, j in product(range(5), range(4)):
        assert got[i, j] == pytest.approx(scipy.stats.entropy(log_p[i].exp(), log_q[j].exp()), abs=1e-12)
    assert (got >= 0).all()
    np.testing.assert_allclose(kl_divergence(log_p, log_p).diagonal(), 0, atol=1e-12)


def test_divergence_of_nearly_uniform_signatures_in_float32():
    x, k, w = unit(20, 64, 0), unit(30, 64, 1), unit(1000, 64, 2)  # a thousand classes: every entry is near 1/1000
    exact = kl_divergence(log_signatures(x, w), log_signatures(k, w))
    single = kl_divergence(*(log_signatures(a.float(), w.float()) for a in (x, k)))
    np.testing.assert_allclose(single, exact, rtol=2e-3, atol=1e-6)


def test_feature_signature_is_a_distance_when_features_are_small():
    # KL(softmax(a/T) || softmax(b/T)) = |a - b|^2 / (2 d T^2) + higher orders, for a, b with the same sum.
    d, t = 512, 0.5
    x, k = (0.1 * (u - u.mean(1, keepdim=True)) for u in (unit(6, d, 0), unit(7, d, 1)))
    got = kl_divergence(log_signatures(x, x, t, "feature"), log_signatures(k, x, t, "feature"))
    np.testing.assert_allclose(got, torch.cdist(x, k) ** 2 / (2 * d * t**2), rtol=5e-3)


def kl_affinity(features, keys, weights, temperature=0.5, rescale="support", signature="class"):
    """psi(-KL(signature of f || signature of k)) of all pairs at once, brought to the range of the cosines."""
    log_p, log_q = (log_signatures(x, weights, temperature, signature) for x in (features, keys))
    divergence = kl_divergence(log_p, log_q)
    given, cosines = (kl_divergence(log_q, log_q), keys @ keys.T) if rescale == "support" else (divergence, features @ keys.T)
    spread = given.max() - given.min()
    return cosines.max() - (divergence - given.min()) * ((cosines.max() - cosines.min()) / spread if spread > 0 else 0.0)


def test_affinity_has_the_range_of_the_cosines():
    x, k, w = unit(8, 6, 0), unit(5, 6, 1), unit(4, 6, 2)
    got, cosines = kl_affinity(x, k, w, rescale="batch"), x @ k.T
    assert got.max().item() == pytest.approx(cosines.max().item()) and got.min().item() == pytest.approx(cosines.min().item())
    divergence = kl_divergence(log_signatures(x, w), log_signatures(k, w))
    assert (got.flatten().argsort() == divergence.flatten().argsort(descending=True)).all()  # near in words: high
    itself = kl_affinity(k, k, w, rescale="support")
    np.testing.assert_allclose(itself.diagonal(), 1, atol=1e-9)
    assert itself.min().item() == pytest.approx((k @ k.T).min().item())


@pytest.mark.parametrize("signature", ["class", "feature"])
@pytest.mark.parametrize("rescale", ["support", "batch"])
@pytest.mark.parametrize(("m", "c"), [(1, 1), (7, 3), (12, 12), (5, 6)])  # one key; uneven; one shot; a class without a key
def test_summed_form_equals_the_plain_one(signature, rescale, m, c):
    x, k, w, y = unit(6, 5, 0), unit(m, 5, 1), unit(c, 5, 2), torch.arange(m) * 5 % c
    labels = F.one_hot(y, c).double()
    near = torch.exp(-3 * (1 - x @ k.T)) @ labels
    kl = kl_affinity(x, k, w, 0.4, rescale, signature) @ labels
    model = TipX(2.0, 3.0, 1.5, 20.0, 0.4, signature, rescale).fit(k, y, w)
    torch.testing.assert_close(model.predict_logits(x), 20 * x @ w.T + 2 * near + 1.5 * kl, rtol=1e-9, atol=1e-9)
    single = TipX(2.0, 3.0, 1.5, 20.0, 0.4, signature, rescale).fit(k.float(), y, w.float()).predict_logits(x.float())
    torch.testing.assert_close(single.double(), 20 * x @ w.T + 2 * near + 1.5 * kl, rtol=2e-3, atol=2e-3)


def test_gamma_zero_is_tip_adapter_and_all_zero_is_zero_shot():
    x, k, w, y = unit(6, 5, 0), unit(9, 5, 1), unit(3, 5, 2), torch.arange(9) % 3
    tip = TipAdapter(2.0, 3.0, 20.0).fit(k, y, w).predict_logits(x)
    torch.testing.assert_close(TipX(2.0, 3.0, 0.0, 20.0).fit(k, y, w).predict_logits(x), tip)
    torch.testing.assert_close(TipX(0.0, 3.0, 0.0, 20.0).fit(k, y, w).predict_logits(x), 20 * x @ w.T)


def test_permutations():
    x, k, w, y = unit(6, 5, 0), unit(9, 5, 1), unit(3, 5, 2), torch.arange(9) % 3
    logits = TipX().fit(k, y, w).predict_logits(x)
    order = torch.tensor([4, 2, 8, 0, 1, 3, 7, 5, 6])
    torch.testing.assert_close(TipX().fit(k[order], y[order], w).predict_logits(x), logits)
    rename = torch.tensor([2, 0, 1])  # class c is called rename[c]
    back = torch.empty(3, 5, dtype=torch.float64)
    back[rename] = w
    torch.testing.assert_close(TipX().fit(k, rename[y], back).predict_logits(x)[:, rename], logits)


def test_company_matters_only_when_rescaled_by_the_batch():
    x, k, w, y = unit(6, 5, 0), unit(9, 5, 1), unit(3, 5, 2), torch.arange(9) % 3
    for rescale, same in (("support", True), ("batch", False)):
        model = TipX(rescale=rescale).fit(k, y, w)
        assert torch.allclose(model.predict_logits(x)[:1], model.predict_logits(x[:1]), atol=1e-9) is same


def test_chunks_do_not_show(monkeypatch):
    x, k, w, y = unit(11, 5, 0), unit(9, 5, 1), unit(3, 5, 2), torch.arange(9) % 3
    for rescale in ("support", "batch"):
        whole = TipX(rescale=rescale).fit(k, y, w).predict_logits(x)
        with monkeypatch.context() as patch:
            patch.setattr(tip_x, "CHUNK", 10)
            torch.testing.assert_close(TipX(rescale=rescale).fit(k, y, w).predict_logits(x), whole)


def test_a_thousand_classes():
    w, y = unit(1000, 32, 0, torch.float32), torch.arange(2000) % 1000
    k = F.normalize(w[y] + 0.5 * unit(2000, 32, 1, torch.float32), dim=1)
    logits = TipX(scale=1.0).fit(k, y, w).predict_logits(k[:50])
    assert logits.shape == (50, 1000) and (logits.argmax(1) == y[:50]).all()


def clusters(n, seed, c=4, d=8):
    """Features round class centres, and text weights that see only half of the classes rightly."""
    y, centres = torch.arange(n) % c, unit(c, d, 0)
    return F.normalize(centres[y] + 0.6 * unit(n, d, seed), dim=1), y, torch.cat([centres[:2], unit(c - 2, d, 99)])


def test_search_equals_the_loops_written_out():
    (x, y, w), (val, val_y, _) = clusters(16, 1), clusters(60, 2)
    grid = {"alphas": (0.0, 0.5, 20.0), "gammas": (0.0, 2.0), "betas": (1.0, 5.0)}
    model = TipX(scale=10.0).fit(x, y, w).search(val, val_y, **grid)
    best = (-1.0,)
    for alpha, gamma, beta in product(grid["alphas"], grid["gammas"], grid["betas"]):  # strictly better only
        logits = TipX(alpha, beta, gamma, 10.0).fit(x, y, w).predict_logits(val)
        best = max(best, (100 * (logits.argmax(1) == val_y).double().mean().item(), alpha, gamma, beta), key=lambda row: row[0])
    assert model.chosen_ == {"alpha": best[1], "gamma": best[2], "beta": best[3], "validation": pytest.approx(best[0])}
    assert (model.alpha, model.gamma, model.beta) == best[1:]


def test_search_finds_a_planted_optimum():
    # Zero-shot is wrong everywhere by 1; the votes of the right class beat it from alpha = 5 on, and not at 2.
    x = torch.eye(3, dtype=torch.float64)
    model = TipX(scale=1.0).fit(x, torch.arange(3), x.roll(1, 0))
    found = model.search(x, torch.arange(3), alphas=(0.0, 0.2, 5.0, 50.0), betas=(1.0, 9.0), gammas=(0.0,))
    assert found.chosen_ == {"alpha": 5.0, "gamma": 0.0, "beta": 1.0, "validation": 100.0}


def test_search_keeps_zero_shot_where_nothing_helps_and_scales_its_grid():
    x, y, w = clusters(16, 1)
    found = TipX().fit(x, y, w).search(w, torch.arange(4))
    assert found.alpha == found.gamma == 0
    one = TipX(scale=10.0).fit(x, y, w).search(*clusters(60, 2)[:2])
    assert one.alpha in [a * 10 / 100 for a in tip_x.ALPHAS] and one.gamma in [g * 10 / 100 for g in tip_x.GAMMAS]


X, Y, W = unit(4, 5, 0), torch.tensor([0, 1, 2, 0]), unit(3, 5, 1)
NAN = X.clone()
NAN[2, 1] = math.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TipX(-1.0), "at least 0"),
        (lambda: TipX(gamma=math.nan), "at least 0"),
        (lambda: TipX(rescale="bath"), "did you mean 'batch'"),
        (lambda: TipX(signature="clas").fit(X, Y, W), "did you mean 'class'"),
        (lambda: TipX(temperature=0).fit(X, Y, W), "temperature must be positive"),
        (lambda: TipX().fit(X, Y, W[:, :4]), "text weights: 4 dimensions"),
        (lambda: TipX().fit(X, Y, W[:2]), "between 0 and 1"),
        (lambda: TipX().fit(NAN, Y, W), "NaN"),
        (lambda: TipX().fit(X, torch.eye(4)[:, :3], W), "want 4 integers"),
        (lambda: TipX().predict_logits(X), "not fitted"),
        (lambda: TipX().fit(X, Y, W).predict_logits(X[:, :3]), "features: 3 dimensions"),
        (lambda: TipX().fit(X, Y, W).search(X, Y, gammas=[]), "at least one value"),
    ],
)
def test_bad_input_is_said(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
