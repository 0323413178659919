"""MetaCLIP's matching and balancing against plain search, hand-made counts, and the frequencies of many coins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from clipkit.errors import ClipkitError
from clipkit.pretrain import (
    SubstringMatcher,
    count_matches,
    entry_probability,
    expected_size,
    gini,
    hash_sample,
    hash_uniform,
    keep_probability,
    merge_counts,
    spaced,
    tail_share,
    threshold_for_size,
    threshold_for_tail,
)
from clipkit.world import NAMES, WorldSpec, crawl, name_shares, sample_scenes


def plain_spaced(text):
    """Character by character, written apart from the code under test."""
    return " " + "".join(f" {c} " if c in ",.;:?!`" else " " if c in "\t\n\r" else c for c in text) + " "


def plain_match(entries, text):
    return [p for p, entry in enumerate(entries) if f" {entry} " in plain_spaced(text)]


def coins(matches, probability, rng):
    """The procedure itself: a coin for each matched entry, keep if one says so."""
    return np.array([(rng.random(len(ids)) < probability[ids]).any() for ids in matches], dtype=bool)


# ---- matching ----


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "  "),
        ("cat", " cat "),
        ("a\tcat\r\nhere", " a cat  here "),
        ("Cat, 3:15! `x`? y; z.", " Cat ,  3 : 15 !   ` x `  ?  y ;  z .  "),
        ('"cat" (dog) red-cat #cat ’', ' "cat" (dog) red-cat #cat ’ '),
    ],
)
def test_spaced(text, wanted):
    assert spaced(text) == plain_spaced(text) == wanted


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.text("abA ,.-(", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=10),
    st.lists(st.text("abA ,.!\t-(`", max_size=20), max_size=8),
)
def test_match_against_plain_search(entries, texts):
    found = SubstringMatcher(entries).match(texts)
    assert [ids.tolist() for ids in found] == [plain_match(entries, text) for text in texts]
    assert all(ids.dtype == np.int32 for ids in found)


def test_match_by_hand():
    matcher = SubstringMatcher(["cat", "Cat", "cat dog", "dog", "dog house", "new york city", "york", "cat", "D.C."])
    texts = ["cat dog house", "cat, dog", '(cat) "dog" cat-dog #cat', "Cat.", "CAT", "new york city!", "Washington, D.C.", "category"]
    assert [ids.tolist() for ids in matcher.match(texts)] == [[0, 2, 3, 4, 7], [0, 3, 7], [], [1], [], [5, 6], [], []]
    assert matcher.matches(texts).toarray().sum(1).tolist() == [5, 3, 0, 1, 0, 2, 0, 0]
    assert matcher.entries[6] == "york"


def test_match_on_ten_thousand_captions_of_the_world():
    texts = crawl(sample_scenes(WorldSpec(max_objects=1, zipf=1.2), 10_000, 3), name_shares(0), 3).captions
    entries = [name for names in NAMES.values() for name in names] + ["a", "of", "photo", "a photo", "photo of", "12", "never seen"]
    matcher, padded = SubstringMatcher(entries), [f" {entry} " for entry in entries]
    found = matcher.match(texts)
    for text, ids in zip(texts, found, strict=True):
        searched = plain_spaced(text)
        assert ids.tolist() == [p for p, entry in enumerate(padded) if entry in searched]
    assert (count_matches(found, len(entries)) == matcher.count(texts)).all()


def test_matcher_refuses():
    for entries in ([], "cat", [" "], ["cat", ""]):
        with pytest.raises(ClipkitError):
            SubstringMatcher(entries)
    with pytest.raises(ClipkitError, match="list of texts"):
        SubstringMatcher(["cat"]).match("a cat")


# ---- counts ----

MATCHES = [np.array(ids, dtype=np.int32) for ids in ([0, 1], [1], [], [1, 2], [1, 3], [3])]


def test_counts_by_hand():
    counts = count_matches(MATCHES, 5)
    assert counts.tolist() == [1, 4, 1, 2, 0] and counts.dtype == np.uint64
    assert count_matches([np.array([2, 0, 2])], 3).tolist() == [1, 0, 1]  # a text counts once, in whatever order
    assert count_matches([], 2).tolist() == [0, 0]
    assert merge_counts(count_matches(MATCHES[:2], 5), count_matches(MATCHES[2:], 5)).tolist() == counts.tolist()
    assert merge_counts(np.array([2**62], np.uint64), np.array([2**62], np.uint64)).tolist() == [2**63]


@given(st.permutations(range(6)), st.lists(st.integers(0, 6), max_size=3))
def test_counts_and_sample_do_not_know_partitions(order, cuts):
    whole = count_matches(MATCHES, 5)
    sampled = set(np.flatnonzero(hash_sample(range(6), keep_probability(MATCHES, whole, 1), 3)).tolist())
    parts = [order[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 6], strict=True)]
    counts = merge_counts(*(count_matches([MATCHES[i] for i in part], 5) for part in parts))
    assert counts.tolist() == whole.tolist()
    kept = set()
    for part in parts:
        keep = hash_sample(np.array(part, dtype=np.int64), keep_probability([MATCHES[i] for i in part], counts, 1), 3)
        kept |= {uid for uid, said in zip(part, keep, strict=True) if said}
    assert kept == sampled


def test_sparse_and_lists_agree():
    texts = ["cat dog", "dog", "bird", "dog cat dog"]
    matcher = SubstringMatcher(["dog", "cat", "fox"])
    lists, sparse = matcher.match(texts), matcher.matches(texts)
    counts = count_matches(lists, 3)
    assert counts.tolist() == count_matches(sparse, 3).tolist() == [3, 2, 0]
    assert (keep_probability(lists, counts, 1) == keep_probability(sparse, counts, 1)).all()


# ---- the threshold ----


def test_tail_by_hand():
    counts = np.array([5, 1, 4, 0, 10])
    assert [tail_share(counts, t) for t in (1, 4, 5, 6, 11)] == [0.0, 0.05, 0.25, 0.5, 1.0]
    assert [threshold_for_tail(counts, s) for s in (0.0, 0.05, 0.24, 0.5, 0.9, 1.0)] == [1, 4, 5, 10, 11, 11]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(sum), st.integers(1, 60))
def test_there_and_back(counts, t):
    counts = np.array(counts)
    share = tail_share(counts, t)
    again = threshold_for_tail(counts, share)
    assert tail_share(counts, again) == pytest.approx(share)
    assert set(counts[counts < again]) - {0} == set(counts[counts < t]) - {0}  # the same entries are tail: t up to ties


def test_threshold_for_size():
    rng = np.random.default_rng(0)
    matches = [np.unique(rng.zipf(1.5, rng.integers(0, 5)) % 200) for _ in range(2000)]
    counts = count_matches(matches, 200)
    for size in (1, 100, 555.5, 1000):
        t = threshold_for_size(matches, counts, size)
        assert keep_probability(matches, counts, t).sum() == pytest.approx(size, rel=1e-6)
    matched = sum(len(ids) > 0 for ids in matches)
    assert keep_probability(matches, counts, threshold_for_size(matches, counts, matched)).sum() == pytest.approx(matched)
    for size in (0, matched + 1):
        with pytest.raises(ClipkitError, match="can be kept"):
            threshold_for_size(matches, counts, size)


# ---- the coins ----


def test_keep_by_hand():
    counts = np.array([10, 40, 40, 0])
    assert entry_probability(counts, 20).tolist() == [1.0, 0.5, 0.5, 1.0]
    keep = keep_probability([np.array([1]), np.array([1, 2]), np.array([0, 1]), np.array([], int)], counts, 20)
    assert keep == pytest.approx([0.5, 0.75, 1.0, 0.0]) and keep[2] == 1.0
    assert expected_size(np.array([0.5, 0.75, 1.0, 0.0])) == pytest.approx((2.25, np.sqrt(0.25 + 0.1875)))


def test_keep_against_the_product_and_at_the_ends():
    rng = np.random.default_rng(1)
    matches = [np.unique(rng.integers(0, 50, 4)) for _ in range(300)]
    counts = count_matches(matches, 50) + np.uint64(1)
    p = entry_probability(counts, 9.5)
    assert np.allclose(keep_probability(matches, counts, 9.5), [1 - np.prod(1 - p[ids]) for ids in matches], rtol=1e-12)
    assert (keep_probability(matches, counts, counts.max()) == 1).all()  # t at the largest count keeps all that matched
    tail = counts <= 20
    assert (keep_probability(matches, counts, 20)[[tail[ids].any() for ids in matches]] == 1).all()
    tiny = keep_probability([np.array([0])], np.array([10**18], np.uint64), 1)  # does not vanish beside 1
    assert tiny[0] == pytest.approx(1e-18, rel=1e-9)
    grow = [keep_probability(matches, counts, t).sum() for t in (1, 2, 5, 10, 100)]
    assert grow == sorted(grow)


def test_many_coins_land_on_the_closed_form():
    rng = np.random.default_rng(2)
    matches = [np.unique(rng.integers(0, 12, 3)) for _ in range(40)]
    counts = np.array([3, 500, 40, 8, 90, 7, 20, 1000, 11, 60, 5, 30], np.uint64)
    keep, n = keep_probability(matches, counts, 10), 4000
    by_coins = np.mean([coins(matches, entry_probability(counts, 10), rng) for _ in range(n)], axis=0)
    by_hash = np.mean([hash_sample(range(40), keep, seed) for seed in range(n)], axis=0)
    spread = np.sqrt(keep * (1 - keep) / n) + 1e-12
    assert (np.abs(by_coins - keep) < 4.5 * spread).all() and (np.abs(by_hash - keep) < 4.5 * spread).all()


# ---- the hash ----


def test_hash_is_uniform_and_seeds_are_independent():
    for uids in (np.arange(20_000), [f"pair-{i}" for i in range(20_000)]):
        one, two, other = hash_uniform(uids, 0), hash_uniform(uids, 1), hash_uniform(uids, 0, "text")
        for u in (one, two, other):
            assert (u >= 0).all() and (u < 1).all() and kstest(u, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.03 and abs(np.corrcoef(one, other)[0, 1]) < 0.03
        assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.03  # neighbours


def test_hash_golden():
    """Fixed for ever: another value here would change every curated set."""
    assert hash_uniform([0, 1, 2**63], 0).tolist() == hash_uniform(np.array([0, 1, 2**63], np.uint64), 0).tolist()
    assert hash_uniform(np.array([-1]), 5).tolist() == hash_uniform([2**64 - 1], 5).tolist()
    assert hash_uniform(["a", "b"], 7).tolist() == hash_uniform(np.array(["a", "b"]), 7).tolist()
    assert np.round(hash_uniform([0, 1, 2], 0), 6).tolist() == GOLDEN_INTEGERS
    assert np.round(hash_uniform(["a", "b", "ü"], 7), 6).tolist() == GOLDEN_STRINGS


GOLDEN_INTEGERS = [0.465772, 0.344487, 0.243932]
GOLDEN_STRINGS = [0.369594, 0.093178, 0.33645]


def test_sample_at_the_ends_and_refusals():
    uids = np.arange(1000)
    assert hash_sample(uids, np.ones(1000), 0).all() and not hash_sample(uids, np.zeros(1000), 0).any()
    low, high = hash_sample(uids, np.full(1000, 0.2), 0), hash_sample(uids, np.full(1000, 0.6), 0)
    assert (high | ~low).all()  # a larger t keeps what a smaller one has kept
    for bad in (np.full(1000, np.nan), np.full(1000, 1.1), np.ones(3)):
        with pytest.raises(ClipkitError, match="probability"):
            hash_sample(uids, bad, 0)
    for bad in ([1.5], [None], [2**70]):
        with pytest.raises(ClipkitError, match="uids"):
            hash_uniform(bad, 0)
    with pytest.raises(ClipkitError, match="negative"):
        hash_uniform([1], -1)


# ---- measures and refusals ----


def test_gini():
    assert gini(np.array([2, 2])) == 0 and gini(np.array([1, 3])) == pytest.approx(0.25)
    x = np.random.default_rng(0).integers(0, 100, 60)
    assert gini(x) == pytest.approx(np.abs(x[:, None] - x[None]).sum() / (2 * 60 * x.sum()))
    for bad in ([0, 0], [], [-1, 2]):
        with pytest.raises(ClipkitError):
            gini(np.array(bad))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: count_matches([np.array([5])], 3), "entries 5 to 5"),
        (lambda: count_matches([np.array([-1])], 3), "entries -1"),
        (lambda: count_matches([], 0), "at least one entry"),
        (lambda: merge_counts(), "one length"),
        (lambda: merge_counts(np.ones(2, int), np.ones(3, int)), "one length"),
        (lambda: merge_counts(np.array([-1])), "none negative"),
        (lambda: tail_share(np.zeros(3, int), 1), "no entry matched"),
        (lambda: tail_share(np.ones(3), 1), "whole number"),
        (lambda: threshold_for_tail(np.array([1, 2]), 1.5), r"\[0, 1\]"),
        (lambda: threshold_for_tail(np.array([0]), 0.5), "no threshold"),
        (lambda: entry_probability(np.array([1]), 0), "above 0"),
        (lambda: entry_probability(np.array([1]), float("nan")), "above 0"),
        (lambda: keep_probability([np.array([1])], np.array([3, 0]), 1), "count 0"),
        (lambda: keep_probability([np.array([2])], np.array([3, 1]), 1), "entries 2 to 2"),
    ],
)
def test_curation_refuses(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
