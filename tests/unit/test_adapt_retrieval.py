"""Balanced retrieval, logit adjustment and the cross-modal head: against loops and by hand."""

import pytest
import torch
from torch.nn import functional as F

from clipkit.adapt import CrossModalProbe, adjusted_logits, retrieve_balanced, wise
from clipkit.errors import ClipkitError


def unit(*shape, seed=0, dtype=torch.float64):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "c", "k"), [(1, 1, 1), (30, 4, 3), (30, 4, 100), (200, 1000, 2)])
def test_retrieval_against_a_loop(n, c, k, dtype):
    captions, prompts = unit(n, 8, dtype=dtype), unit(c, 8, seed=1, dtype=dtype)
    matched = torch.rand(n, c, generator=torch.Generator().manual_seed(2)) < 0.4
    matched[0, 0] = True
    captions[0] = prompts[0]  # something is always fetched
    rows, labels = retrieve_balanced(captions, matched, prompts, k)
    wanted = []
    for j in range(c):
        found = [(-float(captions[i] @ prompts[j]), i) for i in range(n) if matched[i, j] and captions[i] @ prompts[j] >= 0]
        wanted += [(i, j) for _, i in sorted(found)[:k]]
    assert list(zip(rows.tolist(), labels.tolist(), strict=True)) == wanted
    assert torch.bincount(labels).max() <= k


def test_retrieval_refuses():
    captions, prompts, matched = unit(4, 3), unit(2, 3, seed=1), torch.ones(4, 2, dtype=torch.bool)
    with pytest.raises(ClipkitError, match="of one shape"):
        retrieve_balanced(captions, matched[:3], prompts, 1)
    with pytest.raises(ClipkitError, match="k must be at least 1"):
        retrieve_balanced(captions, matched, prompts, 0)
    with pytest.raises(ClipkitError, match="no picture"):
        retrieve_balanced(captions, ~matched, prompts, 1)


def test_adjustment():
    logits = unit(5, 4)
    assert torch.allclose(adjusted_logits(logits, torch.full((4,), 7.0)), logits)
    assert torch.allclose(adjusted_logits(logits, torch.tensor([1.0, 2, 3, 4]), tau=0.0), logits)
    f = torch.tensor([1.0, 10.0, 100.0, 0.0])
    moved = logits - adjusted_logits(logits, f)
    assert torch.allclose(moved[:, 1] - moved[:, 0], torch.full((5,), 10.0).log().double())
    assert torch.allclose(moved[0, 3], moved[0, 0] + torch.tensor(0.5).double().log())
    for bad in (f[:3], -f, torch.zeros(4)):
        with pytest.raises(ClipkitError):
            adjusted_logits(logits, bad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("c", "shots"), [(1, 1), (5, 1), (5, 8), (1000, 1)])
def test_no_steps_is_zero_shot(c, shots, dtype):
    w, x = unit(c, 8, dtype=dtype), unit(c * shots, 8, seed=1, dtype=dtype)
    head = CrossModalProbe(scale=20.0, steps=0).fit(x, torch.arange(c).repeat(shots), w)
    assert torch.equal(head.weight_, w) and head.predict_logits(x).dtype == dtype
    assert torch.allclose(head.predict_logits(x), 20 * x @ w.T)


def test_head_against_a_plain_loop():
    """One batch that holds everything, so that the order does not matter; torch's AdamW written out."""
    w, x, y = unit(3, 5), unit(12, 5, seed=1), torch.arange(12) % 3
    t, ty = unit(6, 5, seed=2), torch.arange(6) % 3
    head = CrossModalProbe(scale=30.0, steps=60, lr=1e-2, warmup=10, warm_lr=1e-3, weight_decay=0.1).fit(x, y, w, t, ty)
    W, m, v = w.clone(), torch.zeros_like(w), torch.zeros_like(w)
    features, labels = torch.cat([x, t]), torch.cat([y, ty])
    for step in range(60):
        rate = 1e-3 if step == 0 else 1e-2 * step / 10 if step < 10 else 5e-3 * (1 + torch.cos(torch.tensor(torch.pi * (step - 10) / 60)))
        p = (30 * features @ W.T).softmax(1)
        gradient = 30 / 18 * (p - F.one_hot(labels, 3)).T @ features
        W = W * (1 - rate * 0.1)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        W = W - rate * (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
    assert torch.allclose(head.trained_, W, atol=1e-6)
    assert torch.allclose(head.weight_, (w + W) / 2, atol=1e-6)


def test_training_helps_and_is_repeatable():
    centres, y = unit(6, 16), torch.arange(120) % 6
    x = F.normalize(centres[y] + 0.25 * unit(120, 16, seed=3), dim=1)
    start = F.normalize(centres + 1.2 * unit(6, 16, seed=4), dim=1)
    heads = [CrossModalProbe(scale=20.0, steps=200, lr=3e-3, share=1.0).fit(x, y, start) for _ in range(2)]
    assert torch.equal(heads[0].weight_, heads[1].weight_)
    right = [(logits.argmax(1) == y).double().mean() for logits in (20 * x @ start.T, heads[0].predict_logits(x))]
    assert right[1] > right[0]
    assert CrossModalProbe(batch=32).fit(x, y, start).trained_ is not None


def test_wise():
    a, b = unit(3, 2), unit(3, 2, seed=1)
    assert torch.equal(wise(a, b, 0.0), a) and torch.equal(wise(a, b, 1.0), b)
    assert torch.allclose(wise(a, b, 0.25), 0.75 * a + 0.25 * b)
    for bad in ((a, b[:2], 0.5), (a, b, 1.5)):
        with pytest.raises(ClipkitError):
            wise(*bad)


def test_head_refuses():
    w, x, y = unit(3, 4), unit(6, 4, seed=1), torch.arange(6) % 3
    probe = CrossModalProbe(steps=1)
    for change, message in (
        ((x[:, :2], y), "where 2 are wanted"), ((x, y[:2]), "want"), ((x[:0], y[:0]), "want"), ((x * torch.nan, y), "NaN"),
        ((x, y + 1), "labels must lie"),
    ):  # fmt: skip
        with pytest.raises(ClipkitError, match=message):
            probe.fit(*change, w)
    with pytest.raises(ClipkitError, match="want"):
        probe.fit(x, y, w, x)
    with pytest.raises(ClipkitError, match="not fitted"):
        CrossModalProbe().predict_logits(x)
    for bad in ({"scale": 0}, {"lr": 0}, {"batch": 0}, {"steps": -1}, {"share": 2}):
        with pytest.raises(ClipkitError, match=f"{[*bad][0]} must"):
            CrossModalProbe(**bad)
