"""Phrase counting against plain search, concept frequency against known truth, the world's crawl."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.pretrain import PhraseCounter, concept_frequency, judged_matches, log_errors, plain_words, tail_classes
from clipkit.world import CATEGORIES, NAMES, WorldSpec, crawl, name_shares, other_meanings, sample_scenes, spellings
from clipkit.world.corpus import rename


def plain_matches(phrases, captions):
    """Token by token, without any automaton."""
    out = np.zeros((len(captions), len(phrases)), dtype=bool)
    for n, caption in enumerate(captions):
        words = plain_words(caption).split()
        for p, phrase in enumerate(phrases):
            wanted = plain_words(phrase).split()
            out[n, p] = any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
    return out


# ---- the counter ----


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Red-Cat_023.jpg", " red cat 023 jpg "),
        ("the CAT'S “toy”!", " the cats toy "),
        ("Straße ÉTÉ", " strasse été "),
        ("---", "  "),
        ("", "  "),
    ],
)
def test_plain_words(text, wanted):
    assert plain_words(text) == wanted


def test_counter_by_hand():
    counter = PhraseCounter(["cat", "CAT", "hot dog", "dog", "new york city", "york"])
    captions = ["a cat, a cat!", "category", "hot-dog_stand", "New York City", "hotdog", "", "york"]
    assert counter.count(captions).tolist() == [1, 1, 1, 1, 1, 2]
    assert counter.found("New York City dog") == [3, 4, 5]
    matches = counter.matches(captions)
    assert matches.shape == (7, 6) and matches.dtype == bool
    assert matches.toarray().sum(0).tolist() == counter.count(captions).tolist()
    assert counter.count(iter(captions)).tolist() == counter.count(captions).tolist()
    assert PhraseCounter(["cat"]).matches([]).shape == (0, 1)


def test_neighbouring_and_overlapping_phrases_share_a_space():
    assert PhraseCounter(["a b", "b c", "b", "c a", "a b c a"]).count(["a b c a b"]).tolist() == [1, 1, 1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab -_'C", min_size=1, max_size=6).filter(lambda t: plain_words(t).strip()), min_size=1, max_size=8),
    st.lists(st.text("ab -_'C.", max_size=24), max_size=8),
)
def test_counter_against_plain_search(phrases, captions):
    counter = PhraseCounter(phrases)
    wanted = plain_matches(phrases, captions)
    assert (counter.matches(captions).toarray() == wanted).all()
    assert counter.count(captions).tolist() == wanted.sum(0).tolist()


def test_counter_on_a_thousand_captions_of_the_world():
    captions = crawl(sample_scenes(WorldSpec(max_objects=1, zipf=1.0), 1000, 3), name_shares(0), 3).captions
    phrases = [form for names in NAMES.values() for name in names for form in spellings(name)]
    assert (PhraseCounter(phrases).matches(captions).toarray() == plain_matches(phrases, captions)).all()


def test_counter_takes_another_normalisation():
    counter = PhraseCounter(["Cat"], normalise=lambda text: f" {text} ")
    assert counter.count(["a Cat here", "a cat", "Cat, here"]).tolist() == [1]


@pytest.mark.parametrize(("phrases", "message"), [([], "at least one"), ("cat", "list"), (["cat", "!?"], "'!\\?'"), ([""], "no letter")])
def test_counter_refuses(phrases, message):
    with pytest.raises(ClipkitError, match=message):
        PhraseCounter(phrases)


# ---- concept frequency ----

CAPTIONS = ["a cat", "a kitten and a cat", "a puppy", "dogs", "cat scan", "nothing"]
SYNONYMS = {"cat": ["cat", "kitten"], "dog": ["dog", "puppy"]}


def spell(name):
    return [name, name + "s"]


def test_frequency_by_hand():
    found = concept_frequency(CAPTIONS, SYNONYMS, spell=spell)
    assert found.counts == [{"cat": 3, "kitten": 1}, {"dog": 1, "puppy": 1}]
    assert found.union.tolist() == [3, 2] and found.frequency.tolist() == [3.0, 2.0]
    assert found.frequent_names() == ["cat", "dog"]
    judged = concept_frequency(CAPTIONS, SYNONYMS, lambda rows, _: ["scan" not in row for row in rows], spell=spell)
    assert judged.relevance.tolist() == [pytest.approx(2 / 3), 1.0] and judged.frequency.tolist() == [pytest.approx(2), 2.0]
    meant = judged_matches(CAPTIONS, judged, lambda rows, _: np.array(["scan" not in row for row in rows]))
    assert meant.astype(int).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert judged_matches(CAPTIONS, judged, None).sum() == 5


def test_no_yes_is_no_frequency_and_a_class_without_matches_is_not_judged():
    found = concept_frequency(CAPTIONS, {"cat": ["cat"], "fox": ["fox"]}, lambda rows, _: np.zeros(len(rows)), spell=spell)
    assert found.frequency.tolist() == [0.0, 0.0] and found.relevance.tolist() == [0.0, 1.0]


def test_sample_is_a_sample():
    asked = []
    concept_frequency(["cat"] * 50, {"cat": ["cat"]}, lambda rows, _: asked.append(len(rows)) or np.ones(len(rows)), sample=7)
    assert asked == [7]


def test_perfect_judge_and_all_names_give_the_truth_exactly():
    made = crawl(sample_scenes(WorldSpec(max_objects=1, zipf=1.0), 3000, 1), name_shares(2), 1)
    truth = dict(zip(made.captions, made.spoken, strict=True))
    # the same text may be said with and without the meaning only if it is junk, which holds no name
    found = concept_frequency(
        made.captions,
        NAMES,
        lambda rows, name: np.array([truth[row] == CATEGORIES.index(name) for row in rows]),
        sample=10**6,
        spell=spellings,
    )
    assert np.allclose(found.frequency, made.frequency())
    assert np.median(log_errors(found.frequency, made.frequency())) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], SYNONYMS), "at least one caption"),
        ((CAPTIONS, {}), "one class"),
        ((CAPTIONS, {"cat": []}), "'cat' has no names"),
        ((CAPTIONS, {"cat": "cat"}), "'cat' has no names"),
        ((CAPTIONS, SYNONYMS, lambda rows, _: np.ones(1)), "shape"),
        ((CAPTIONS, SYNONYMS, None, 0), "sample = 0"),
    ],
)
def test_frequency_refuses(arguments, message):
    with pytest.raises(ClipkitError, match=message):
        concept_frequency(*arguments)


def test_tail_and_errors_by_hand():
    assert tail_classes(np.arange(10), 0.2).sum() == 2
    assert tail_classes(np.array([3.0]), 0.2).tolist() == [True]
    assert tail_classes(np.ones(1000)).sum() == 200
    assert log_errors(np.array([0, 7.5, 3]), np.array([0, 3.5, 3])).tolist() == [0.0, pytest.approx(np.log(2)), 0.0]
    for bad in ((np.array([]), 0.2), (np.ones(3), 0.0)):
        with pytest.raises(ClipkitError):
            tail_classes(*bad)
    with pytest.raises(ClipkitError):
        log_errors(np.ones(2), np.ones(3))


# ---- the world's crawl ----


@pytest.mark.parametrize(
    ("caption", "category", "name", "wanted"),
    [
        ("an orange apple and an apple", "apple", "russet", "an orange russet and a russet"),
        ("A Photo Of A Car", "car", "automobile", "A Photo Of An Automobile"),
        ("two CATS", "cat", "feline", "two FELINES"),
        ("red-cat-012.jpg", "cat", "kitten", "red-kitten-012.jpg"),
        ("#leaf #wow", "leaf", "frond", "#frond #wow"),
        ("a lightning bolt", "lightning", "flash", "a flash"),
        ("a carrot by a car", "car", "sedan", "a carrot by a sedan"),
        ("a cat", "cat", "cat", "a cat"),
    ],
)
def test_rename(caption, category, name, wanted):
    assert rename(caption, category, name) == wanted


def test_crawl_says_what_it_speaks_of():
    scenes = sample_scenes(WorldSpec(max_objects=1), 2000, 5)
    usage = name_shares(1, (1.0, 0.0, 0.0))
    made = crawl(scenes, usage, 5)
    again = crawl(scenes, usage, 5)
    assert made.captions == again.captions and (made.spoken == again.spoken).all()
    assert ((made.spoken == -1) | (made.spoken == scenes.category[:, 0])).all()
    assert 0.12 < made.sense.mean() < 0.18 and 0.2 < (made.spoken < 0).mean() < 0.3
    for caption, c in zip(made.captions, made.spoken, strict=True):
        if c >= 0:
            name = max(usage[CATEGORIES[c]], key=usage[CATEGORIES[c]].get)
            assert any(f" {form} " in plain_words(caption) for form in spellings(name)), (caption, name)
    assert made.frequency().sum() == (made.spoken >= 0).sum()
    assert (crawl(scenes, usage, 5, other=0.0, noise=0.0).spoken >= 0).all()


def test_half_of_the_sentences():
    for word, rows in other_meanings().items():
        assert len(set(rows)) == len(rows) >= 4
        assert all(re.search(rf"\b{word}\b", row) for row in rows)
    scenes = sample_scenes(WorldSpec(max_objects=1), 800, 6)
    said = [
        {c.lower() for c, s in zip(m.captions, m.sense, strict=True) if s}
        for m in (crawl(scenes, name_shares(0), 6, half=h) for h in (0, 1))
    ]
    assert said[0] and said[1] and not said[0] & said[1]


def test_crawl_refuses():
    with pytest.raises(ClipkitError, match="exactly one object"):
        crawl(sample_scenes(WorldSpec(min_objects=2), 4, 0), name_shares(0), 0)
    with pytest.raises(ClipkitError, match="shares"):
        crawl(sample_scenes(WorldSpec(max_objects=1), 4, 0), name_shares(0), 0, other=0.9, noise=0.9)
    with pytest.raises(ClipkitError, match="three shares"):
        name_shares(0, (0.5, 0.5))
