"""Words to numbers and back: round trips, cutting, unknown words, files, and what is refused."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.language import WordVocabulary, vocabulary
from clipkit.world import REGISTERS, WorldSpec, caption_batch, sample_scenes


def test_examples_in_docstrings():
    found = doctest.testmod(vocabulary)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("register", [r for r in REGISTERS if r != "alt_text"])
def test_every_text_of_the_world_comes_back_as_it_was(register):
    texts = caption_batch(sample_scenes(WorldSpec(max_objects=4), 60, seed=1), register)
    words = WordVocabulary.from_texts(texts)
    assert words.decode(words.encode(texts)) == texts


def test_special_tokens_have_fixed_numbers_and_length():
    words = WordVocabulary(["b", "a"])
    assert (words.pad, words.bos, words.eos, words.unk, words.mask) == (0, 1, 2, 3, 4)
    assert len(words) == 7 and words.id("b") == 5 and words.id("zebra") == words.unk
    assert words.encode(["<mask> a"]).tolist() == [[1, 4, 6, 2]]
    assert words.encode([]).shape == (0, 2) and words.encode("a").shape == (1, 3) and words.encode([""]).tolist() == [[1, 2]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "red", "cat", "zzz"]), max_size=9), min_size=1, max_size=5), st.integers(2, 12))
def test_encoding_invariants(rows, length):
    words = WordVocabulary(["a", "red", "cat"])
    texts = [" ".join(r) for r in rows]
    tokens = words.encode(texts, length)
    assert tokens.shape == (len(rows), length) and tokens.dtype == torch.int64
    for row, ids in zip(rows, tokens.tolist(), strict=True):
        real = [i for i in ids if i != words.pad]
        assert real[0] == words.bos and real[-1] == words.eos and ids[len(real) :] == [0] * (length - len(real))
        assert len(real) == min(len(row) + 2, length)
    free = words.encode(texts)
    assert free.shape[1] == max(map(len, rows)) + 2


def test_words_of_texts_are_sorted_and_rare_ones_left_out():
    words = WordVocabulary.from_texts(["red cat", "a red dog"], min_count=2)
    assert words.words == ["red"]
    assert WordVocabulary.from_texts(["b a", "c"]).words == ["a", "b", "c"]


def test_what_is_refused():
    with pytest.raises(ClipkitError, match="'a' twice"):
        WordVocabulary(["a", "b", "a"])
    words = WordVocabulary(["a"])
    with pytest.raises(ClipkitError, match="2 or more"):
        words.encode(["a"], length=1)
    with pytest.raises(ClipkitError, match="token 99"):
        words.decode([[1, 99, 2]])
