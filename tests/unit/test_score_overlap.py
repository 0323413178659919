"""Overlap scores: golden values by hand, the libraries' own numbers, several references, and what is refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.score import overlap
from clipkit.score.overlap import chrf, embedding_match, greedy_match, rouge

WORDS = ["a", "red", "blue", "cat", "dog", "snow"]
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join)


def test_examples_in_docstrings():
    found = doctest.testmod(overlap)
    assert found.attempted > 0 and found.failed == 0


def test_rouge_by_hand():
    # "a red cat" / "a blue cat in snow": one-grams shared a, cat; two-grams none; longest common subsequence a cat
    got = rouge([["a red cat"]], ["a blue cat in snow"])
    want = {"rouge1_p": 2 / 5, "rouge1_r": 2 / 3, "rouge1_f": 1 / 2, "rouge2_f": 0, "rougeL_p": 2 / 5, "rougeL_r": 2 / 3}
    assert {k: float(got[k][0]) for k in want} == pytest.approx(want)


@settings(max_examples=25, deadline=None)
@given(TEXT, TEXT)
def test_a_text_matches_itself_best_and_swapping_swaps_precision_and_recall(a, b):
    same = rouge([[a]], [a])
    assert same["rouge1_f"][0] == same["rougeL_f"][0] == 1 and chrf([[a]], [a])[0] == pytest.approx(1)
    ab, ba = rouge([[a]], [b], ["rouge1"]), rouge([[b]], [a], ["rouge1"])
    assert ab["rouge1_p"][0] == pytest.approx(ba["rouge1_r"][0]) and ab["rouge1_f"][0] == pytest.approx(ba["rouge1_f"][0])


def test_several_references():
    one, two = rouge([["a red cat"]], ["a red dog"])["rouge1_f"][0], rouge([["snow"]], ["a red dog"])["rouge1_f"][0]
    both = [["a red cat", "snow"], ["snow"]]
    assert rouge(both, ["a red dog"] * 2)["rouge1_f"] == pytest.approx([(one + two) / 2, two])
    assert rouge(both, ["a red dog"] * 2, agg="max")["rouge1_f"] == pytest.approx([max(one, two), two])
    assert chrf([["snow", "a red dog"]], ["a red dog"])[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "precision", "recall"),
    [
        ("Кошка спит, и собака", "кошка СПИТ", 1, 2 / 4),  # cased letters
        ("一只猫", "一只狗在", 2 / 4, 2 / 3),  # no spaces: a character is a word
        ("一只猫cat", "cat 猫", 1, 2 / 4),
        ("แมวนั่ง", "แมว", 1, 3 / 5),  # a mark stays with its letter
        ("बिल्ली सो रही है", "बिल्ली है", 1, 2 / 4),  # vowel signs are no separators
        ("naïve Ärger", "nai\u0308ve arger", 1 / 2, 1 / 2),  # composed and decomposed are one, an accent is not nothing
        ("قطة تنام", "قطة", 1, 1 / 2),
        ("2 cats", "２ cats", 1, 1),  # full-width digits
    ],
)
def test_rouge_counts_the_words_of_every_script(reference, hypothesis, precision, recall):
    got = rouge([[reference]], [hypothesis], ["rouge1"])
    assert (got["rouge1_p"][0], got["rouge1_r"][0]) == (pytest.approx(precision), pytest.approx(recall))
    assert rouge([[reference]], [reference])["rougeL_f"][0] == 1


@pytest.mark.parametrize("stem", [False, True])
def test_rouge_of_ascii_is_rouge_score_itself(stem):
    from rouge_score.rouge_scorer import RougeScorer

    pairs = [("The cat's running, a_b 3-4!", "a cat runs; b 4"), ("", "x"), ("!!!", "!!!"), ("Dogs  barked\tloudly", "dog barking loud")]
    theirs = [RougeScorer(["rouge1", "rougeL"], use_stemmer=stem).score(*pair) for pair in pairs]
    ours = rouge([[r] for r, _ in pairs], [h for _, h in pairs], ["rouge1", "rougeL"], stem=stem)
    for kind in ("rouge1", "rougeL"):
        np.testing.assert_array_equal(ours[f"{kind}_f"], [t[kind].fmeasure for t in theirs])


def one_hot(texts):
    """Each word its own direction."""
    rows = [[WORDS.index(w) for w in t.split()] for t in texts]
    longest = max(map(len, rows))
    vectors, mask = torch.zeros(len(rows), longest, len(WORDS)), torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        vectors[i, range(len(row)), row] = 1
        mask[i, : len(row)] = True
    return vectors, mask


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_with_one_direction_a_word_embedding_match_counts_words_that_occur(pairs):
    got = embedding_match(one_hot, [[b] for _, b in pairs], [a for a, _ in pairs], batch=2)
    for i, (a, b) in enumerate(pairs):
        p = np.mean([w in b.split() for w in a.split()])
        r = np.mean([w in a.split() for w in b.split()])
        assert got["embedding_p"][i] == pytest.approx(p) and got["embedding_r"][i] == pytest.approx(r)
        assert got["embedding_f"][i] == pytest.approx(2 * p * r / (p + r) if p + r else 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_greedy_match_equals_a_loop(dtype):
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 5, 4, generator=g, dtype=dtype), torch.randn(3, 2, 4, generator=g, dtype=dtype)
    am, bm = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool(), torch.ones(3, 2).bool()
    got = greedy_match(a, b, am, bm)
    for i in range(2):
        c = torch.nn.functional.cosine_similarity(a[i][am[i]][:, None], b[i][None], dim=-1)
        p, r = c.max(1).values.mean(), c.max(0).values.mean()
        f = 2 * p * r / (p + r) if p + r > 0 else 0.0
        torch.testing.assert_close(got[i], torch.tensor([p, r, f], dtype=dtype))
    assert (got[2] == 0).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rouge(["a cat"], ["a cat"]), "needs a list"),
        (lambda: rouge([["a"]], ["a", "b"]), "one list for each"),
        (lambda: chrf([[]], ["a"]), "one or more references"),
        (lambda: rouge([["a"]], ["a"], agg="min"), "unknown aggregate"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
