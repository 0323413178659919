"""Counting 2,000 phrases in captions with one automaton, against looking for each phrase in turn.

Run with: pytest tests/benchmarks/test_bench_phrases.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it counted the same.
"""

from __future__ import annotations

import pytest

from clipkit.pretrain import PhraseCounter, plain_words
from clipkit.world import NAMES, WorldSpec, crawl, name_shares, sample_scenes, spellings

pytest.importorskip("pytest_benchmark")
KNOWN = [form for names in NAMES.values() for name in names for form in spellings(name)]
PHRASES = KNOWN + [f"{KNOWN[i % len(KNOWN)]} number {i}" for i in range(2000 - len(KNOWN))]


@pytest.fixture(scope="module")
def captions():
    return crawl(sample_scenes(WorldSpec(max_objects=1), 4000, 0), name_shares(0), 0).captions


def one_by_one(captions):
    spaced = [plain_words(phrase) for phrase in PHRASES]
    texts = [plain_words(caption) for caption in captions]
    return [sum(phrase in text for text in texts) for phrase in spaced]


@pytest.mark.parametrize("n", [500, 4000])
@pytest.mark.parametrize("way", ["automaton", "one by one"])
def test_count(benchmark, captions, way, n):
    benchmark.group = f"{n} captions, {len(PHRASES)} phrases"
    counter = PhraseCounter(PHRASES)
    some = captions[:n]
    wanted = counter.count(some)
    got = benchmark.pedantic(counter.count if way == "automaton" else one_by_one, args=(some,), rounds=3)
    assert list(got) == wanted.tolist()
