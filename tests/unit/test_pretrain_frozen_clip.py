"""Two heads on frozen features: where they end, how they start, their batches and their classifier."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from clipkit import ClipkitError
from clipkit.pretrain.frozen_clip import EMBED_DIM, ProjectionHeads, VectorHeads, class_weights, feature_batches, tokenize_each


def test_heads_end_on_the_sphere_and_ignore_padding():
    heads = ProjectionHeads(10, 30)
    tokens = torch.tensor([[3, 4, 0, 0], [4, 3, 0, 0], [3, 4, 5, 0]])
    x, y = heads(torch.randn(3, 10), tokens)
    assert x.shape == y.shape == (3, EMBED_DIM)
    torch.testing.assert_close(torch.cat([x, y]).norm(dim=1), torch.ones(6))
    torch.testing.assert_close(y[0], y[1])  # a bag of words
    torch.testing.assert_close(heads.encode_text(tokens[:, :3])[0], y[0])
    assert not torch.allclose(y[0], y[2])


def test_the_seed_alone_decides_the_start():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one, again, other = (
        ProjectionHeads(4, 9, seed=1),
        ProjectionHeads(4, 9, seed=1, logit_scale=50.0, learnt=True),
        ProjectionHeads(4, 9, seed=2),
    )
    assert torch.equal(torch.rand(2), expected), "the caller's random numbers are left alone"
    assert torch.equal(one.image[0].weight, again.image[0].weight) and not torch.equal(one.image[0].weight, other.image[0].weight)
    assert again.log_scale.requires_grad and not one.log_scale.requires_grad
    assert again.logit_scale.item() == pytest.approx(50) and ProjectionHeads(4, 9, logit_scale=500.0).logit_scale.item() == pytest.approx(
        100
    )


def test_batches_keep_pairs_and_show_each_once_a_pass():
    features, tokens = torch.arange(12.0)[:, None], torch.arange(12)[:, None]
    seen = list(islice(feature_batches(features, tokens, 4, 3), 6))
    assert all(torch.equal(x, y.float()) for x, y in seen)
    passes = torch.cat([y for _, y in seen]).view(2, 12)
    assert all(sorted(row.tolist()) == list(range(12)) for row in passes) and not torch.equal(*passes)
    assert torch.equal(next(feature_batches(features, tokens, 4, 3))[1], seen[0][1])


def test_class_weights_are_the_mean_prompt():
    heads, table = ProjectionHeads(4, 9), {"a cat": [1, 2], "cat": [2, 0], "a dog": [1, 3], "dog": [3, 0]}
    weights = class_weights(heads, lambda texts: torch.tensor([table[t] for t in texts]), ["cat", "dog"], ["a {}", "{}"])
    rows = heads.encode_text(torch.tensor([[1, 3], [3, 0]])).mean(0)
    torch.testing.assert_close(weights[1], rows / rows.norm())


def test_clear_words():
    with pytest.raises(ClipkitError, match="logit_scale must"):
        ProjectionHeads(4, 9, logit_scale=0.0)
    with pytest.raises(ClipkitError, match="no pairs"):
        next(feature_batches(torch.ones(3, 2), torch.ones(4, 2, dtype=torch.int64), 2, 0))
    with pytest.raises(ClipkitError, match="do not fill"):
        next(feature_batches(torch.ones(3, 2), torch.ones(3, 2, dtype=torch.int64), 4, 0))


def test_heads_for_texts_that_are_vectors():
    one, again, words = VectorHeads(10, 7, seed=3, learnt=True), VectorHeads(10, 7, seed=3), ProjectionHeads(10, 30, seed=3)
    texts = torch.randn(5, 7)
    x, y = one(torch.randn(5, 10), texts)
    assert x.shape == y.shape == (5, EMBED_DIM) and torch.equal(again.encode_text(texts), y)
    assert torch.equal(one.image[0].weight, words.image[0].weight) and one.log_scale.requires_grad
    torch.testing.assert_close(y, torch.nn.functional.normalize(one.text(texts @ one.words.weight.T + one.words.bias), dim=1))


def test_equal_texts_are_tokenized_once():
    asked = []

    def tokenize(texts):
        asked.extend(texts)
        return torch.tensor([[len(text), ord(text[0])] for text in texts])

    texts = ["bird", "a", "bird", "cat", "a"]
    assert tokenize_each(tokenize, texts).tolist() == [[len(x), ord(x[0])] for x in texts]
    assert sorted(asked) == ["a", "bird", "cat"]
