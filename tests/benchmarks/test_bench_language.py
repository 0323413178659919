"""Writing and scoring with small sequence-to-sequence models, and agreement over many pairs; against plain peers.

Run with: pytest tests/benchmarks/test_bench_language.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it computed the same. The peers: decoding that reads the whole text again at
each word; the loop of BARTScore's released code (batches of four in the order given, every source read anew); and a comparison
of every ε with every pair.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.language import Seq2Seq, Seq2SeqScorer, caption_vocabulary
from clipkit.score.agreement import pairwise_accuracy
from clipkit.studies.bartscore_hypotheses import judged_texts

pytest.importorskip("pytest_benchmark")
BENCH = {"rounds": 3, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def writer():
    torch.manual_seed(0)
    return Seq2Seq(caption_vocabulary()).eval()


@pytest.fixture(scope="module")
def data():
    return judged_texts(40, 3)


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


@pytest.mark.benchmark(group="write 48 words, 64 texts")
def test_with_the_cache(benchmark, writer, data):
    sources = writer.tokens([data.sources[i % 40] for i in range(64)])
    memory, mask = writer.encode(sources)
    never = len(writer.vocabulary)  # no word ends the text: all are as long as they may be
    got = benchmark.pedantic(lambda: writer.decoder.generate(memory, 1, never, 48, memory_mask=mask), **BENCH)
    assert torch.equal(got, again_and_again(writer, sources, 48))


@pytest.mark.benchmark(group="write 48 words, 64 texts")
def test_without_the_cache(benchmark, writer, data):
    sources = writer.tokens([data.sources[i % 40] for i in range(64)])
    got = benchmark.pedantic(lambda: again_and_again(writer, sources, 48), **BENCH)
    assert got.shape == (64, 48)


@pytest.mark.benchmark(group="score 320 texts of 40 sources")
def test_scorer(benchmark, writer, data):
    scorer = Seq2SeqScorer(writer)
    got = benchmark.pedantic(lambda: scorer.logprob(data.source_of, data.texts), **BENCH)
    np.testing.assert_allclose(got, as_released(writer, data.source_of, data.texts), atol=1e-4)


@pytest.mark.benchmark(group="score 320 texts of 40 sources")
def test_scoring_as_released(benchmark, writer, data):
    got = benchmark.pedantic(lambda: as_released(writer, data.source_of, data.texts), **BENCH)
    assert got.shape == (320,)


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


@pytest.mark.benchmark(group="pairwise accuracy, ties calibrated, 120 items")
def test_pairwise_accuracy(benchmark):
    found = benchmark.pedantic(lambda: pairwise_accuracy(*graded(120)), **BENCH)
    assert found.accuracy == pytest.approx(every_eps(*graded(120)))


@pytest.mark.benchmark(group="pairwise accuracy, ties calibrated, 120 items")
def test_every_eps(benchmark):
    assert benchmark.pedantic(lambda: every_eps(*graded(120)), **BENCH) > 0.5


@pytest.mark.benchmark(group="pairwise accuracy, ties calibrated, 3,000 items")
def test_pairwise_accuracy_of_many(benchmark):
    assert benchmark.pedantic(lambda: pairwise_accuracy(*graded(3000)), **BENCH).pairs == 4_498_500
