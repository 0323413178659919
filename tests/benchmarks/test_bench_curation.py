"""Curation against what one writes first in Python: a loop over entries for each text, coins one by one.

Run with: pytest tests/benchmarks/test_bench_curation.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that both ways say the same. The texts of one group are the same for both
ways; the groups of three sizes show that time grows with the number of texts.
"""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.pretrain import SubstringMatcher, count_matches, entry_probability, hash_sample, keep_probability, spaced
from clipkit.studies.metaclip_web_pool import web_pool, world_metadata

pytest.importorskip("pytest_benchmark")


@pytest.fixture(scope="module")
def entries():
    known = world_metadata(500)
    return known + [f"{known[i % len(known)]} number {i}" for i in range(20_000 - len(known))]


@pytest.fixture(scope="module")
def captions():
    return web_pool(32_000, 0).captions


def naive(entries, texts):
    padded = [f" {entry} " for entry in entries]
    found = []
    for text in texts:
        text = spaced(text)
        found.append([p for p, entry in enumerate(padded) if entry in text])
    return found


@pytest.mark.parametrize("n_entries", [500, 20_000])
@pytest.mark.parametrize("way", ["automaton", "naive"])
def test_match(benchmark, entries, captions, way, n_entries):
    benchmark.group = f"match 200 texts, {n_entries} entries"
    some, texts = entries[:n_entries], captions[:200]
    matcher = SubstringMatcher(some)
    wanted = [ids.tolist() for ids in matcher.match(texts)]  # builds the automaton, once a process
    got = benchmark.pedantic(matcher.match if way == "automaton" else lambda t: naive(some, t), args=(texts,), rounds=3)
    assert [list(ids) for ids in got] == wanted


@pytest.mark.parametrize("n", [2_000, 8_000, 32_000])
def test_both_passes_are_linear_in_texts(benchmark, entries, captions, n):
    benchmark.group = f"both passes, {n} texts, 20000 entries"
    matcher = SubstringMatcher(entries)
    matcher.found("")

    def passes():
        matches = matcher.match(captions[:n])
        counts = count_matches(matches, len(entries))
        return hash_sample(np.arange(n), keep_probability(matches, counts, 50), 0)

    assert 0 < benchmark.pedantic(passes, rounds=3).sum() < n


@pytest.mark.parametrize("way", ["vectors", "naive"])
def test_balance(benchmark, entries, captions, way):
    benchmark.group = "count and keep probabilities, 32000 texts"
    matches = SubstringMatcher(entries).match(captions)

    def loop():
        counts = [0] * len(entries)
        for ids in matches:
            for p in ids.tolist():
                counts[p] += 1
        chance = entry_probability(np.array(counts), 50).tolist()
        kept = []
        for ids in matches:
            missed = 1.0
            for p in ids.tolist():
                missed *= 1 - chance[p]
            kept.append(1 - missed)
        return kept

    def vectors():
        return keep_probability(matches, count_matches(matches, len(entries)), 50)

    got = benchmark.pedantic(vectors if way == "vectors" else loop, rounds=3)
    assert np.allclose(got, vectors())
