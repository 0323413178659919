"""Counting 2,000 phrases in captions with one automaton, against looking for each phrase in turn."""

from __future__ import annotations

import pytest

from clipkit.pretrain import PhraseCounter, plain_words
from clipkit.world import NAMES, WorldSpec, crawl, name_shares, sample_scenes, spellings


@pytest.fixture(scope="module")
def phrases(size):
    known = [form for names in NAMES.values() for name in names for form in spellings(name)]
    return known + [f"{known[i % len(known)]} number {i}" for i in range(size(2000, 400) - len(known))]


@pytest.fixture(scope="module")
def captions(size):
    return crawl(sample_scenes(WorldSpec(max_objects=1), size(4000, 200), 0), name_shares(0), 0).captions


def one_by_one(phrases, captions):
    spaced = [plain_words(phrase) for phrase in phrases]
    texts = [plain_words(caption) for caption in captions]
    return [sum(phrase in text for text in texts) for phrase in spaced]


@pytest.mark.parametrize("share", [1, 8])
def test_count(pair, phrases, captions, share):
    counter, some = PhraseCounter(phrases), captions[: len(captions) // share]

    def same(ours, theirs):
        assert ours.tolist() == theirs and ours.any()

    name = f"count phrases in {len(some):,} captions"
    pair(name, lambda: counter.count(some), lambda: one_by_one(phrases, some), "each phrase in turn", same)
