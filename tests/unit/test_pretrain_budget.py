"""The fixed-budget trainer: what it must learn, what must not matter, and the bookkeeping of frequent and rare classes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.pretrain import (
    balanced_rows,
    bound_pairs,
    budget_clip,
    by_thirds,
    frequency_thirds,
    frequent_words,
    info_nce,
    metadata_list,
    rarity_weights,
    weighted_info_nce,
)
from clipkit.pretrain.frozen_clip import ProjectionHeads, class_weights
from clipkit.pretrain.tiny_clip import small_clip


def task(n=600, classes=6, seed=0, noise=0.3):
    """Features around class centres, and captions of one class token and one filler."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=rng)
    centres = F.normalize(torch.randn(classes, 16, generator=torch.Generator().manual_seed(9)), dim=1)
    features = F.normalize(centres[labels] + noise * torch.randn(n, 16, generator=rng) / 4, dim=1)
    tokens = torch.stack([labels + 1, torch.randint(20, 30, (n,), generator=rng)], 1)
    return features, tokens, labels


def heads(seed=0):
    return ProjectionHeads(16, 32, seed, learnt=True)


def accuracy(trained, classes=6):
    features, _, labels = task(seed=1)
    w = class_weights(trained, lambda words: torch.tensor([[int(word), 0] for word in words]), [str(c + 1) for c in range(classes)], ["{}"])
    return (trained.encode_image(features) @ w.T).argmax(1).eq(labels).float().mean().item()


def test_it_learns_and_repeats_itself():
    features, tokens, _ = task()
    first, again = (budget_clip(features, tokens, heads(), steps=60, batch=64, lr=1e-2) for _ in range(2))
    assert accuracy(first) > 0.95 and not first.training
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = budget_clip(features, tokens, heads(), steps=60, batch=64, lr=1e-2, seed=1)  # another order
    assert not torch.equal(other.words.weight, first.words.weight)
    assert first.logit_scale.item() != pytest.approx(1 / 0.07)


def test_new_heads_of_its_own():
    features, tokens, _ = task(100)
    made = budget_clip(features, tokens, steps=2, batch=16)
    assert made.words.num_embeddings == int(tokens.max()) + 1
    assert budget_clip(features, tokens, steps=1, batch=16, vocabulary=77).words.num_embeddings == 77


def test_several_texts_a_picture():
    features, tokens, _ = task()
    rubbish = torch.full_like(tokens, 31)
    both = torch.stack([tokens, rubbish], 1)  # (N, 2, L)
    assert accuracy(budget_clip(features, both, heads(), steps=60, batch=64, lr=1e-2, mix=[1.0, 0.0])) > 0.95
    assert accuracy(budget_clip(features, both, heads(), steps=120, batch=64, lr=1e-2)) > 0.95  # half of the visits teach nothing
    assert accuracy(budget_clip(features, both, heads(), steps=60, batch=64, lr=1e-2, mix=[0.0, 1.0])) < 0.6


def test_draws_and_weights_choose_what_is_learnt():
    features, tokens, labels = task()
    wrong = tokens.clone()
    bad = torch.arange(len(wrong)) % 2 == 0
    wrong[bad, 0] = (labels[bad] + 1) % 6 + 1  # half of the pairs name the next class
    good = (~bad).float()
    assert accuracy(budget_clip(features, wrong, heads(), steps=60, batch=64, lr=1e-2, draws=good)) > 0.95
    few = budget_clip(features[:40], tokens[:40], heads(), steps=60, batch=64, lr=1e-2, draws=torch.ones(40))  # fewer pairs than a batch
    assert accuracy(few) > 0.8
    seen = []

    def spy(v, t, s):
        seen.append(len(v))
        return info_nce(v, t, s)

    budget_clip(features, tokens, heads(), steps=3, batch=50, loss=spy)
    assert seen == [50] * 3


def test_weighted_info_nce():
    v, t = F.normalize(torch.randn(2, 12, 8, dtype=torch.float64), dim=-1)
    assert torch.allclose(weighted_info_nce(v, t, 7.0, torch.ones(12)), info_nce(v, t, 7.0))
    w = torch.rand(12, dtype=torch.float64)
    logits = 7 * v @ t.T
    by_hand = sum(w[i] * (logits[i].logsumexp(0) + logits[:, i].logsumexp(0) - 2 * logits[i, i]) for i in range(12)) / 24
    assert torch.allclose(weighted_info_nce(v, t, 7.0, w), by_hand)
    one = torch.zeros(12)
    one[3] = 1.0
    x = v.clone().requires_grad_()
    weighted_info_nce(x, t, 7.0, one).backward()
    assert x.grad[3].norm() > x.grad[4].norm() > 0  # another pair is a negative still


def test_weights_of_one_are_no_weights():
    features, tokens, _ = task(200)
    plain = budget_clip(features, tokens, heads(), steps=5, batch=32)
    same = budget_clip(features, tokens, heads(), steps=5, batch=32, weights=torch.full((200,), 3.0))
    assert torch.allclose(plain.words.weight, same.words.weight, atol=1e-6)


def test_pixels_and_a_whole_model():
    clip = small_clip(0)
    pixels, tokens = torch.rand(12, 3, clip.image_size, clip.image_size), clip.tokenize(["a cat", "a dog", "a red car"] * 4)
    before = clip.encode_image(pixels).detach()
    assert budget_clip(pixels, tokens, clip, steps=2, batch=6) is clip
    assert not torch.equal(before, clip.encode_image(pixels).detach())


def test_rarity_weights():
    matches, counts = [np.array([0, 1]), np.array([1]), np.array([], int)], np.array([4, 16], np.uint64)
    w = rarity_weights(matches, counts)
    assert w.tolist() == pytest.approx([2.4, 0.6, 0.0]) and w.dtype == torch.float32
    assert rarity_weights(matches, counts, 0.5).tolist() == pytest.approx([2.0, 1.0, 0.0])
    with pytest.raises(ClipkitError, match="no text"):
        rarity_weights([np.array([], int)], counts)


def test_thirds():
    frequency = np.array([3, 100, 7, 50, 1, 2, 9])
    assert frequency_thirds(frequency).tolist() == [1, 0, 1, 0, 2, 2, 0]
    assert np.bincount(frequency_thirds(np.arange(1000))).tolist() == [334, 333, 333]
    found = by_thirds(np.array([10.0, 90, 20, 80, np.nan, 0, 70]), frequency)
    assert found == pytest.approx({"mean": 45.0, "head": 80.0, "middle": 15.0, "tail": 0.0})
    for call in (
        lambda: frequency_thirds(np.array([1, 2])),
        lambda: by_thirds(np.ones(4), frequency),
        lambda: by_thirds(np.array([1, 1, 1, 1, np.nan, np.nan, 1.0]), frequency),
    ):
        with pytest.raises(ClipkitError):
            call()


def test_balanced_rows():
    labels = np.repeat([0, 1, 2, -1], [50, 6, 3, 40])
    rows = balanced_rows(labels, 21, 0)
    assert np.bincount(labels[rows]).tolist() == [12, 6, 3]  # the short ones leave their share to the long one
    assert len(set(rows.tolist())) == 21 and (balanced_rows(labels, 21, 0) == rows).all()
    assert np.bincount(labels[balanced_rows(labels, 9, 1)]).tolist() == [3, 3, 3]
    with pytest.raises(ClipkitError, match="59 have a class"):
        balanced_rows(labels, 60, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": torch.ones(5, 2, dtype=torch.long)}, "N pictures"),
        ({"images": torch.full((40, 16), float("nan"))}, "NaN"),
        ({"images": torch.ones(40, 3, 4, 4), "module": None}, "no features"),
        ({"weights": torch.zeros(40)}, "weights"),
        ({"draws": torch.full((40,), -1.0)}, "draws"),
        ({"weights": torch.ones(40), "loss": info_nce}, "loss of your own"),
        ({"mix": [1.0]}, "mix"),
        ({"batch": 64}, "do not fill a batch"),
    ],
)
def test_refusals(change, message):
    features, tokens, _ = task(40)
    given = {"images": features, "tokens": tokens, "module": heads(), "steps": 1, "batch": 8} | change
    with pytest.raises(ClipkitError, match=message):
        budget_clip(given.pop("images"), given.pop("tokens"), given.pop("module"), **given)


# ---- metadata ----


def test_metadata_by_hand():
    texts = ["new york is big, new york is far", "is it far?"]
    assert frequent_words(texts, 2) == ["far", "is", "new", "york"]
    assert bound_pairs(texts, 2.4, least=2) == ["new york"]  # 2 * 11 / (2 * 2) = 2.46 bits; "york is": 2 * 11 / (2 * 3) = 1.87
    assert "york is" in bound_pairs(texts, 1.8, least=2)
    assert metadata_list(["a", " ", "b"], ("b", "?", "c d")) == ["a", "b", "c d"]
    for call in (lambda: frequent_words(texts, 0), lambda: bound_pairs(["?"], 1.0), lambda: metadata_list(["!"])):
        with pytest.raises(ClipkitError):
            call()
