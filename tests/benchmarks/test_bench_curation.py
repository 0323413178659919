"""Curation against what one writes first in Python: a loop over entries for each text, coins one by one.

Pairs of two sizes of our own show that time grows with the number of texts.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from clipkit.pretrain import SubstringMatcher, count_matches, entry_probability, frequent_words, hash_sample, keep_probability, spaced
from clipkit.world import WorldSpec, caption_batch, crawl, name_shares, sample_scenes


@pytest.fixture(scope="module")
def entries(size):
    known = frequent_words(caption_batch(sample_scenes(WorldSpec(), 500, 1), "detailed"), 2)
    return known + [f"{known[i % len(known)]} number {i}" for i in range(size(20_000, 2_000) - len(known))]


@pytest.fixture(scope="module")
def captions(size):
    scenes = sample_scenes(WorldSpec(max_objects=1, zipf=1.2), size(32_000, 800), 0)
    return crawl(scenes, name_shares(0), 0).captions


def naive(entries, texts):
    padded = [f" {entry} " for entry in entries]
    found = []
    for text in texts:
        text = spaced(text)
        found.append([p for p, entry in enumerate(padded) if entry in text])
    return found


@pytest.mark.parametrize("share", [1, 40])
def test_match(pair, size, entries, captions, share):
    some, texts = entries[: len(entries) // share], captions[: size(200, 20)]
    matcher = SubstringMatcher(some)  # its automaton is built by the first call, once a process

    def same(ours, theirs):
        assert [ids.tolist() for ids in ours] == theirs

    pair(f"match {len(some):,} entries", lambda: matcher.match(texts), lambda: naive(some, texts), "a loop over entries", same)


@pytest.mark.parametrize("n", [2_000, 8_000])
def test_both_passes_are_linear_in_texts(pair, size, entries, captions, n):
    matcher = SubstringMatcher(entries)

    def passes(n):
        matches = matcher.match(captions[:n])
        counts = count_matches(matches, len(entries))
        return hash_sample(np.arange(n), keep_probability(matches, counts, 50), 0)

    def some_are_kept(*kept):
        assert [len(k) for k in kept] == [few, 4 * few] and all(0 < k.sum() < len(k) for k in kept)

    few = size(n, n // 40)
    pair(f"curate {few:,} texts", partial(passes, few), partial(passes, 4 * few), f"{4 * few:,} texts, 4 × as many", some_are_kept)


def test_balance(pair, entries, captions):
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

    pair("counts and keep probabilities", vectors, loop, "a loop over matches", np.testing.assert_allclose)
