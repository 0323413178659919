"""Writing and scoring with small sequence-to-sequence models, and agreement over many pairs; against plain peers.

The peers: decoding that reads the whole text again at each word; the loop of BARTScore's released code (batches of four in the order
given, every source read anew); and a comparison of every ε with every pair.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from builder.recipes.corpora import caption_pairs, caption_vocabulary
from clipkit.language import Seq2Seq, Seq2SeqScorer
from clipkit.score.agreement import pairwise_accuracy


@pytest.fixture(scope="module")
def writer():
    torch.manual_seed(0)
    return Seq2Seq(caption_vocabulary()).eval()


@pytest.fixture(scope="module")
def sources(size):
    return caption_pairs("summarise", size(40, 4), 3)[0]


@pytest.fixture(scope="module")
def texts(sources):
    """Eight for each source, short captions of eight scenes."""
    return caption_pairs("summarise", 8 * len(sources), 4)[1]


def again_and_again(writer, sources, length):
    """Greedy decoding without a cache."""
    with torch.no_grad():
        memory, mask = writer.encode(sources)
        tokens = torch.full((len(sources), 1), 1)
        while tokens.shape[1] < length:
            scores = writer.decoder.logits(tokens, memory, mask)[:, -1]
            scores[:, :2] = -torch.inf
            tokens = torch.cat([tokens, scores.argmax(-1, keepdim=True)], 1)
    return tokens


def as_released(writer, sources, texts):
    """Batches of four, as they come."""
    out = []
    with torch.no_grad():
        for i in range(0, len(texts), 4):
            target = writer.tokens(texts[i : i + 4])
            rows = writer.logprobs(writer.tokens(sources[i : i + 4]), target).sum(1) / ((target != 0).sum(1) - 1)
            out += [value.item() for value in rows]
    return np.array(out)


def equal(ours, theirs):
    assert torch.equal(ours, theirs)


def test_writing(pair, size, writer, sources):
    sources, length = writer.tokens((sources * 16)[: size(32, 4)]), size(48, 12)
    never = len(writer.vocabulary)  # no word ends the text: all are as long as they may be

    def with_the_cache():
        memory, mask = writer.encode(sources)
        return writer.decoder.generate(memory, 1, never, length, memory_mask=mask)

    pair("write 32 texts of 48 words", with_the_cache, lambda: again_and_again(writer, sources, length), "without a cache", equal)


def test_scoring(pair, writer, sources, texts):
    scorer, given = Seq2SeqScorer(writer), ([s for s in sources for _ in range(8)], texts)
    same = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
    name = "score 320 texts of 40 sources"
    pair(name, lambda: scorer.logprob(*given), lambda: as_released(writer, *given), "BARTScore's released loop", same)


def graded(n):
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, n).astype(float)
    return truth, truth + rng.normal(size=n)


def every_eps(truth, metric):
    i, j = np.triu_indices(len(truth), 1)
    human, gap = truth[i] - truth[j], metric[i] - metric[j]
    best = 0.0
    for eps in np.unique(np.abs(gap)):
        tie = np.abs(gap) <= eps
        best = max(best, float(np.where(tie, human == 0, np.sign(human) == np.sign(gap)).mean()))
    return best


def test_pairwise_accuracy(pair, size):
    given = graded(size(120, 40))

    def same(ours, accuracy):
        assert ours.accuracy == pytest.approx(accuracy) and accuracy > 0.5

    name = "pairwise accuracy, 120 items, ties calibrated"
    pair(name, lambda: pairwise_accuracy(*given), lambda: every_eps(*given), "every ε with every pair", same)


def test_pairwise_accuracy_grows_with_the_pairs(pair, size):
    n = size(200, 30)
    few, many = graded(n), graded(10 * n)

    def all_pairs(ours, theirs):
        assert (ours.pairs, theirs.pairs) == (n * (n - 1) // 2, 10 * n * (10 * n - 1) // 2)

    name = f"pairwise accuracy, {n} items, ties calibrated"
    pair(name, lambda: pairwise_accuracy(*few), lambda: pairwise_accuracy(*many), f"{10 * n:,} items, 100 × the pairs", all_pairs)
