"""Five corruptions: each changes the caption, keeps to its vocabulary, and does what its name says."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipkit import ClipkitError
from clipkit.language.word_noise import CORRUPTION_KINDS, corrupt_caption

EXTRA = ["zebra", "violin"]
captions = st.lists(st.sampled_from(["a", "red", "cat", "and", "two", "dogs", "snow"]), min_size=1, max_size=9).map(" ".join)


def inside(short, long):
    """Whether `short` is a subsequence of `long`."""
    rest = iter(long)
    return all(word in rest for word in short)


@given(captions, st.sampled_from(CORRUPTION_KINDS), st.integers(0, 10_000))
def test_each_kind_changes_the_caption_as_its_name_says(text, kind, seed):
    words = text.split()
    if (kind == "remove" and len(words) < 2) or (kind == "shuffle" and len(set(words)) < 2):
        with pytest.raises(ClipkitError, match="cannot change"):
            corrupt_caption(text, EXTRA, kind, seed)
        return
    spoilt = corrupt_caption(text, EXTRA, kind, seed).split()
    assert spoilt != words
    if kind == "repeat":
        assert 1 <= len(spoilt) - len(words) <= 9 and inside(words, spoilt) and set(spoilt) == set(words)
    if kind == "remove":
        assert 1 <= len(words) - len(spoilt) <= 3 and inside(spoilt, words) and spoilt
    if kind == "insert":
        assert 1 <= len(spoilt) - len(words) <= 3 and inside(words, spoilt) and spoilt[-1] == words[-1]
        assert set(spoilt) <= set(words) | set(EXTRA)
    if kind == "swap":
        assert len(spoilt) == len(words) and 1 <= sum(a != b for a, b in zip(spoilt, words, strict=True)) <= 3
        assert set(spoilt) <= set(words) | set(EXTRA)
    if kind == "shuffle":
        assert Counter(spoilt) == Counter(words)


def test_without_a_kind_all_five_come_equally_often():
    rng = np.random.default_rng(0)
    lengths = Counter()
    for _ in range(2000):
        spoilt = corrupt_caption("one two three four five six seven eight", EXTRA, None, rng).split()
        same = Counter(spoilt) == Counter(["one", "two", "three", "four", "five", "six", "seven", "eight"])
        lengths["shuffle" if same else "remove" if len(spoilt) < 8 else "swap" if len(spoilt) == 8 else "longer"] += 1
    for kind, wanted in (("shuffle", 400), ("remove", 400), ("swap", 400), ("longer", 800)):
        assert abs(lengths[kind] - wanted) < 4 * np.sqrt(wanted)


def test_a_shuffle_that_changes_nothing_is_drawn_again():
    assert all(corrupt_caption("cat dog", EXTRA, "shuffle", seed) == "dog cat" for seed in range(20))
    assert all(corrupt_caption("cat", EXTRA, None, seed) != "cat" for seed in range(20))  # one word: another kind is taken


def test_a_seed_decides_and_a_generator_moves_on():
    text = "two red cats in the snow"
    assert corrupt_caption(text, EXTRA, None, 5) == corrupt_caption(text, EXTRA, None, 5)
    rng = np.random.default_rng(0)
    assert len({corrupt_caption(text, EXTRA, None, rng) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", EXTRA), "empty caption"),
        (("a cat", []), "at least one word"),
        (("a cat", EXTRA, "reverse"), "unknown kind of corruption"),
        (("cat", ["cat"], "swap"), "cannot change"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, message):
    with pytest.raises(ClipkitError, match=message):
        corrupt_caption(*arguments)
