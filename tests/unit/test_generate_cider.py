"""CIDEr-D by arrays equals pycocoevalcap's, word by word; golden values by hand; what the reward needs besides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit import ClipkitError
from clipkit.generate import CiderD
from clipkit.language import split_words

cider = pytest.importorskip("pycocoevalcap.cider.cider")
WORDS = ["a", "red", "cat", "dog", "in", "snow"]
texts = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
told = st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join)


def official(references, candidates):
    spaced = lambda rows: [" ".join(split_words(t)) for t in rows]  # noqa: E731
    return cider.Cider().compute_score(dict(enumerate(map(spaced, references))), {i: spaced([t]) for i, t in enumerate(candidates)})[1]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.lists(told, min_size=1, max_size=4), texts), min_size=1, max_size=6))
def test_equal_to_pycocoevalcap(rows):
    references, candidates = zip(*rows, strict=True)
    try:
        score = CiderD(references)
    except ClipkitError:  # refused where the references themselves would score 0, and nowhere else
        assert not official(references, [r[0] for r in references]).any()
        return
    np.testing.assert_allclose(score(candidates), official(references, candidates), atol=1e-9)


def test_equal_at_the_size_of_a_split():
    rng = np.random.default_rng(0)
    make = lambda: " ".join(rng.choice(WORDS + ["two", "cats", ",", "and"], rng.integers(1, 14)))  # noqa: E731
    references = [[make() for _ in range(5)] for _ in range(200)]
    candidates = [make() + (" zebra violin zebra" if i % 3 == 0 else "") for i in range(200)]
    np.testing.assert_allclose(CiderD(references)(candidates), official(references, candidates), atol=1e-9)


def test_by_hand():
    # Two pictures, all n-grams in one of them: idf = log 2 each. "a red cat" against itself: n = 1, 2, 3 give 1, there is no 4-gram.
    score = CiderD([["a red cat"], ["two dogs"]])
    np.testing.assert_allclose(score(["a red cat", "two dogs"]), [10 * 3 / 4, 10 * 2 / 4])
    # Half the words, one bigram fewer: cosine sqrt(2/3) for n = 1, sqrt(1/2) for n = 2; lengths in bigrams 1 and 2.
    wanted = 10 / 4 * (np.sqrt(2 / 3) + np.sqrt(1 / 2)) * np.exp(-1 / 72)
    np.testing.assert_allclose(score(["a red"], [0]), [wanted])
    # Saying a word again is clipped in the numerator and counts in the norm.
    assert score(["a red red red cat"], [0]) < score(["a red cat"], [0])


def test_rows_choose_the_picture_and_order_does_not_matter():
    references = [["a red cat", "a cat in snow"], ["a dog"], ["two dogs in snow"]]
    score = CiderD(references)
    rows, said = [2, 0, 0, 1, 2], ["two dogs", "a cat", "a red cat", "a cat", "a zebra"]
    one_by_one = [score([t], [r])[0] for t, r in zip(said, rows, strict=True)]
    np.testing.assert_allclose(score(said, rows), one_by_one)
    assert len(score) == 3 and score([]).shape == (0,)


def test_two_unknown_words_are_not_one():
    score = CiderD([["a cat"], ["a dog"]])
    assert score(["zebra cat"], [0]) == score(["violin cat"], [0]) and score(["zebra zebra cat"], [0]) != score(["zebra violin cat"], [0])


def test_frequencies_of_the_training_references_can_be_frozen():
    train = [["a red cat"], ["a red dog"], ["a blue bird"]]
    same = CiderD(train, like=CiderD(train))
    np.testing.assert_allclose(same(["a red cat"] * 3), CiderD(train)(["a red cat"] * 3))
    one = CiderD([["a red bird"]], like=CiderD(train))  # a single picture of its own would make every idf log 1 = 0
    assert one(["a red bird"])[0] > 2


def test_the_end_counted_as_a_word_punishes_a_broken_off_caption():
    references = [["a cat", "a cat and a dog"], ["a dog", "a bird and a dog"], ["two birds", "a bird"]]
    with_end, without = CiderD(references, end=True), CiderD(references)
    gap = {name: score(["a cat", "a cat and a"], [0, 0]) for name, score in (("with", with_end), ("without", without))}
    assert gap["without"][1] / gap["without"][0] > gap["with"][1] / gap["with"][0]


@pytest.mark.parametrize("references", [[], [[]], [["a cat"], []], ["a cat"], [["", " "]], [["a cat"]], [["a cat"]] * 3])
def test_references_are_needed_for_every_picture(references):
    with pytest.raises(ClipkitError):
        CiderD(references)


def test_bad_rows_are_refused():
    score = CiderD([["a cat"]], like=CiderD([["a cat"], ["a dog"]]))
    for arguments in ((["a", "b"],), (["a"], [1]), (["a"], [-1])):
        with pytest.raises(ClipkitError):
            score(*arguments)
