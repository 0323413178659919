"""Cache logits and Tip-Adapter: the formula by hand, limits, invariants, selection, fine-tuning, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipkit.adapt import TipAdapter, cache, cache_logits
from clipkit.errors import ClipkitError


def unit(n, d, seed, dtype=torch.float64):
    return F.normalize(torch.tensor(np.random.default_rng(seed).normal(size=(n, d)), dtype=dtype), dim=1)


def by_hand(queries, keys, labels, beta, n_classes):
    """The sum written out, one query and one key at a time."""
    votes = np.zeros((len(queries), n_classes))
    for i, q in enumerate(queries.tolist()):
        for k, y in zip(keys.tolist(), labels.tolist(), strict=True):
            votes[i, y] += math.exp(-beta * (1 - sum(a * b for a, b in zip(q, k, strict=True))))
    return votes


@pytest.mark.parametrize(("n", "m", "c"), [(1, 1, 1), (3, 1, 2), (5, 12, 4), (4, 9, 9)])
@pytest.mark.parametrize("beta", [0.0, 1.0, 5.5, 80.0])
def test_equals_the_formula(n, m, c, beta):
    queries, keys, labels = unit(n, 6, 0), unit(m, 6, 1), torch.arange(m) * 7 % c
    want = by_hand(queries, keys, labels, beta, c)
    np.testing.assert_allclose(cache_logits(queries, keys, labels, beta, n_classes=c), want, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(cache_logits(queries.float(), keys, labels, beta, n_classes=c), want, rtol=2e-4, atol=1e-6)
    soft = F.one_hot(labels, c).double()
    np.testing.assert_allclose(cache_logits(queries, keys, soft, beta), want, rtol=1e-12, atol=1e-15)


def test_soft_values_mix_and_normalise():
    queries, keys = unit(3, 4, 0), unit(5, 4, 1)
    soft = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near = torch.exp(-2 * (1 - queries @ keys.T))
    torch.testing.assert_close(cache_logits(queries, keys, soft, 2.0), near @ soft)
    torch.testing.assert_close(cache_logits(queries, keys, soft, 2.0, normalise_by_shots=True), near @ soft / soft.sum(0))


def test_normalise_by_shots_is_the_class_mean():
    queries, keys, labels = unit(4, 5, 0), unit(6, 5, 1), torch.tensor([0, 0, 0, 2, 2, 3])
    votes = cache_logits(queries, keys, labels, 3.0, n_classes=5, normalise_by_shots=True)
    near = torch.exp(3.0 * (queries @ keys.T - 1))
    torch.testing.assert_close(votes[:, 0], near[:, :3].mean(1))
    torch.testing.assert_close(votes[:, 3], near[:, 5])
    assert (votes[:, [1, 4]] == 0).all()  # classes without a key


@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_chunks_do_not_show(monkeypatch, chunk):
    queries, keys, labels = unit(11, 5, 0), unit(7, 5, 1), torch.arange(7) % 3
    whole = cache_logits(queries, keys, labels, 2.0)
    monkeypatch.setattr(cache, "CHUNK", chunk)
    torch.testing.assert_close(cache_logits(queries, keys, labels, 2.0), whole, rtol=1e-12, atol=0)


def test_a_thousand_classes_without_the_big_matrix(monkeypatch):
    c, shots, n = 1000, 4, 300
    keys, labels, queries = unit(c * shots, 16, 0), torch.arange(c).repeat(shots), unit(n, 16, 1)
    largest = []
    exp = torch.Tensor.exp
    monkeypatch.setattr(torch.Tensor, "exp", lambda x: largest.append(x.numel()) or exp(x))
    monkeypatch.setattr(cache, "CHUNK", 2**17)
    votes = cache_logits(queries, keys, labels, 5.5)
    assert votes.shape == (n, c) and max(largest) <= 2**17 < n * len(keys)
    near = torch.exp(5.5 * (queries[:5] @ keys.T - 1))
    torch.testing.assert_close(votes[:5], near.view(5, shots, c).sum(1), rtol=1e-10, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), m=st.integers(1, 20), c=st.integers(1, 6), beta=st.floats(0, 30))
def test_order_of_the_support_and_names_of_the_classes(seed, m, c, beta):
    rng = np.random.default_rng(seed)
    queries, keys, labels = unit(4, 5, seed), unit(m, 5, seed + 1), torch.tensor(rng.integers(c, size=m))
    votes = cache_logits(queries, keys, labels, beta, n_classes=c)
    order, rename = torch.tensor(rng.permutation(m)), torch.tensor(rng.permutation(c))
    torch.testing.assert_close(cache_logits(queries, keys[order], labels[order], beta, n_classes=c), votes)
    torch.testing.assert_close(cache_logits(queries, keys, rename[labels], beta, n_classes=c)[:, rename], votes)
    assert (votes >= 0).all() and (votes.sum(1) <= m + 1e-9).all()


def test_large_beta_returns_the_label_of_the_equal_key():
    keys, labels = unit(20, 8, 0), torch.arange(20) % 6
    votes = cache_logits(keys, keys, labels, 1e6)
    torch.testing.assert_close(votes, F.one_hot(labels, 6).double(), rtol=0, atol=1e-6)
    votes = cache_logits(keys.float(), keys.float(), labels, 1e4)  # float32: 1 - cos is off by some 1e-7
    assert (votes.argmax(1) == labels).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adapter_is_zero_shot_plus_votes(dtype):
    x, y, w, test = unit(12, 6, 0, dtype), torch.arange(12) % 4, unit(4, 6, 1, dtype), unit(9, 6, 2, dtype)
    got = TipAdapter(2.0, 3.0, scale=50.0).fit(x, y, w).predict_logits(test)
    want = 50 * test.double() @ w.double().T + 2 * torch.tensor(by_hand(test, x, y, 3.0, 4))
    torch.testing.assert_close(got.double(), want, rtol=1e-5 if dtype is torch.float32 else 1e-12, atol=1e-5)
    assert got.dtype == dtype
    torch.testing.assert_close(TipAdapter(0.0, 3.0, scale=50.0).fit(x, y, w).predict_logits(test), 50 * test @ w.T)


def test_one_class_one_shot_and_a_missing_class():
    x, w, test = unit(1, 5, 0), unit(3, 5, 1), unit(4, 5, 2)
    one = TipAdapter(1.0, 1.0).fit(x, torch.tensor([0]), w[:1])
    assert one.predict_logits(test).shape == (4, 1)
    some = TipAdapter(5.0, 1.0, normalise_by_shots=True).fit(x, torch.tensor([1]), w).predict_logits(test)
    torch.testing.assert_close(some[:, [0, 2]], (100 * test @ w.T)[:, [0, 2]])
    assert torch.isfinite(some).all()


def clusters(n, seed, c=4, d=8):
    """Features round class centres, and text weights that see only half of the classes rightly."""
    y = torch.arange(n) % c
    centres = unit(c, d, 0)
    return F.normalize(centres[y] + 0.6 * unit(n, d, seed), dim=1), y, torch.cat([centres[:2], unit(c - 2, d, 99)])


def test_search_equals_the_loops_written_out():
    (x, y, w), (val, val_y, _) = clusters(16, 1), clusters(60, 2)
    alphas, betas = (0.0, 0.5, 20.0), (1.0, 5.0, 40.0)
    tip = TipAdapter(scale=10.0).fit(x, y, w).search(val, val_y, alphas, betas)
    best = (-1.0, 0, 0)
    for alpha in alphas:  # smallest alpha first, then smallest beta; strictly better only
        for beta in betas:
            right = 100 * float((TipAdapter(alpha, beta, 10.0).fit(x, y, w).predict_logits(val).argmax(1) == val_y).double().mean())
            best = max(best, (right, alpha, beta), key=lambda row: row[0])
    assert tip.chosen_ == {"alpha": best[1], "beta": best[2], "validation": pytest.approx(best[0])}
    assert (tip.alpha, tip.beta) == (best[1], best[2]) and best[1] > 0


def test_search_keeps_zero_shot_where_votes_do_not_help_and_scales_its_grid():
    x, y, w = clusters(16, 1)
    val = w[torch.arange(8) % 4]
    assert TipAdapter().fit(x, y, w).search(val, torch.arange(8) % 4).alpha == 0
    tip = TipAdapter(scale=10.0, normalise_by_shots=True).fit(x, y, w).search(*clusters(60, 2)[:2])
    assert tip.alpha in [a * 0.1 * 4 for a in cache.ALPHAS]


def test_finetune_is_adamw_on_the_keys_alone_and_keeps_the_last_epoch():
    x, y, w = clusters(16, 1)
    tip = TipAdapter(2.0, 3.0, scale=10.0).fit(x, y, w).finetune(x, y, epochs=3, lr=0.05, batch=16)
    keys = x.clone().requires_grad_()
    optimiser = torch.optim.AdamW([keys], lr=0.05, eps=1e-4)
    for step in range(3):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / 3)) / 2
        logits = 10 * x @ w.T + 2 * torch.exp(-3 * (1 - x @ keys.T)) @ F.one_hot(y, 4).double()
        optimiser.zero_grad()
        F.cross_entropy(logits, y).backward()
        optimiser.step()
    torch.testing.assert_close(tip.keys_, keys.detach(), rtol=1e-9, atol=1e-12)
    assert not tip.keys_.requires_grad and torch.equal(tip.text_weights_, w) and not torch.equal(tip.keys_, x)


def test_finetune_learns_and_repeats():
    (x, y, w), (test, test_y, _) = clusters(16, 1), clusters(200, 2)
    plain = TipAdapter(1.0, 3.0, scale=10.0).fit(x, y, w)
    before = F.cross_entropy(plain.predict_logits(x), y)
    tuned = [TipAdapter(1.0, 3.0, scale=10.0).fit(x, y, w).finetune(x, y, epochs=30, lr=0.02, batch=5, seed=s) for s in (0, 0, 1)]
    assert F.cross_entropy(tuned[0].predict_logits(x), y) < before / 2
    assert torch.equal(tuned[0].keys_, tuned[1].keys_) and not torch.equal(tuned[0].keys_, tuned[2].keys_)
    accuracy = [float((t.predict_logits(test).argmax(1) == test_y).double().mean()) for t in (plain, tuned[0])]
    assert accuracy[1] > accuracy[0]


X, Y, W = unit(4, 5, 0), torch.tensor([0, 1, 2, 0]), unit(3, 5, 1)
NAN = X.clone()
NAN[2, 1] = math.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cache_logits(NAN, X, Y, 1.0), "features: 1 rows hold NaN.*row 2"),
        (lambda: cache_logits(X, NAN, Y, 1.0), "keys: 1 rows hold NaN"),
        (lambda: cache_logits(X[:, :3], X, Y, 1.0), "3 dimensions where 5"),
        (lambda: cache_logits(X[:0], X, Y, 1.0), "N at least 1"),
        (lambda: cache_logits(X, X, Y[:3], 1.0), "want 4 integers"),
        (lambda: cache_logits(X, X, Y.double(), 1.0), "integers"),
        (lambda: cache_logits(X, X, Y > 0, 1.0), "integers"),
        (lambda: cache_logits(X, X, Y, 1.0, n_classes=2), "between 0 and 1, got 0 to 2"),
        (lambda: cache_logits(X, X, Y - 1, 1.0), "got -1 to 1"),
        (lambda: cache_logits(X, X, W[:, :3], 1.0), r"soft labels: want \(4, C\)"),
        (lambda: cache_logits(X, X, Y, -1.0), "beta"),
        (lambda: cache_logits(X, X, Y, math.nan), "beta"),
        (lambda: TipAdapter(-1.0), "at least 0"),
        (lambda: TipAdapter(scale=0), "positive"),
        (lambda: cache_logits(30 * X, X, Y, 5.5), r"features must be of unit length, row \d has length 30; use F.normalize"),
        (lambda: cache_logits(X, 300 * X, Y, 5.5), "votes are infinite: the keys are too long"),
        (lambda: cache_logits(0 * X, X, Y, 5.5), "has length 0"),
        (lambda: TipAdapter().fit(3 * X, Y, W), "unit length"),
        (lambda: TipAdapter().fit(X, Y, W).predict_logits(30 * X), "unit length"),
        (lambda: TipAdapter().fit(X, Y, W).search(30 * X, Y), "unit length"),
        (lambda: TipAdapter().fit(X, Y, W).finetune(30 * X, Y), "unit length"),
        (lambda: TipAdapter().fit(X, Y, W[:, :4]), "text weights: 4 dimensions"),
        (lambda: TipAdapter().fit(X, Y, W[:2]), "between 0 and 1"),
        (lambda: TipAdapter().predict_logits(X), "not fitted"),
        (lambda: TipAdapter().fit(X, Y, W).search(X, Y, alphas=[]), "at least one alpha"),
        (lambda: TipAdapter().fit(X, Y, W).search(X, Y + 1), "labels must lie"),
        (lambda: TipAdapter().fit(X, Y, W).finetune(X, Y, epochs=0), "at least 1"),
        (lambda: TipAdapter().fit(X, Y, W).finetune(NAN, Y), "NaN"),
    ],
)
def test_bad_input_is_said(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
