"""Captions spoilt fact by fact: what each kind does to precision, recall and fluency, round trips, golden sentences, refusals."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.language import corrupt_text, grade, read_telling, word_distance
from clipkit.language import factual_errors as module
from clipkit.language import parsed_caption as tellings
from clipkit.language.corpora import documents
from clipkit.language.factual_errors import FALSE, FLUENCY, KINDS, TRUE
from clipkit.world import Object, Scene, caption_batch
from clipkit.world.caption_parser import check, parse
from clipkit.world.content_plan import truths

SCENE = Scene((Object("cat", "red", x=0.2), Object("dog", "blue", x=0.8), Object("cup", "green", y=0.9)), "snow")
TEXT = "a photo of a red cat, a blue dog and a green cup in the snow"


@pytest.fixture(scope="module")
def world():
    scenes = documents(150, 21)
    texts = [caption_batch(scenes, r, seed=21) for r in ("short", "rewrite")]
    return [(text, truth) for column in texts for text, truth in zip(column, truths(scenes), strict=True)]


@pytest.mark.parametrize("which", [module, tellings])
def test_examples_in_docstrings(which):
    found = doctest.testmod(which)
    assert found.attempted > 0 and found.failed == 0


def test_every_short_caption_and_rewrite_is_read_and_told_again(world):
    for text, _ in world:
        told = read_telling(text)
        assert told is not None and told.text == text
        stated = parse(text).items
        assert [(i.category, i.colour, i.count) for i in told.items] == [(s.noun, s.colour, s.count) for s in stated]
    assert read_telling("a red cat to the left of a blue dog") is None and read_telling("nothing in the snow") is None


@pytest.mark.parametrize("kind", FALSE)
def test_false_kinds_make_facts_false_and_keep_the_wording(world, kind):
    changed = 0
    for text, truth in world:
        found = corrupt_text(text, kind, truth, 0.1, 3)
        if found is None:
            continue
        changed += 1
        assert found.fluency == 1 and found.precision < 1 and found.text != text
        assert found.precision == check(truth, found.text).precision
        if kind not in ("swapped_colours",):
            assert len(check(truth, found.text).false) == 1, (text, found.text)  # the smallest rate: one thing
        if kind == "added_object":
            assert grade(truth, text).recall == found.recall
    assert changed > 100


@pytest.mark.parametrize("kind", TRUE)
def test_true_kinds_stay_true(world, kind):
    changed = 0
    for text, truth in world:
        found = corrupt_text(text, kind, truth, 0.4, 3)
        if found is None:
            continue
        changed += 1
        assert found.precision == 1 and found.fluency == 1
        before = grade(truth, text).recall
        assert found.recall < before if kind.startswith("dropped") else found.recall == before, (text, found.text)
    assert changed > 100


@pytest.mark.parametrize("kind", FLUENCY)
def test_damage_lowers_fluency_and_the_more_the_higher_the_rate(world, kind):
    means = []
    for rate in (0.1, 0.6):
        found = [corrupt_text(text, kind, truth, rate, 3) for text, truth in world]
        found = [f for f in found if f]
        assert len(found) > 200 and all(0 <= f.fluency < 1 for f in found)
        means.append(np.mean([f.fluency for f in found]))
        if kind in ("shuffled", "lost_articles", "repeated"):
            assert all(f.precision == 1 for f in found)  # the facts are those of the text that was spoilt
    assert means[1] < means[0] or kind == "repeated"


def test_golden_sentences():
    swapped = corrupt_text("a red cat and a blue dog in the snow", "swapped_colours", SCENE)
    assert swapped.text == "a blue cat and a red dog in the snow"
    cut = corrupt_text(TEXT, "truncated", SCENE, 0.25)
    assert cut.text == "a photo of a red cat, a blue dog and a green" and cut.fluency == pytest.approx(13 / 17)  # the comma is a word
    moved = corrupt_text(TEXT, "wrong_place", SCENE)
    assert moved.text.startswith("a photo of a red cat, a blue dog and a green cup ") and moved.precision == pytest.approx(3 / 4)
    denied = corrupt_text(TEXT, "negation", SCENE)
    assert denied.text.startswith(TEXT + ", but no ") and denied.precision == 1
    bare = corrupt_text("two red keys and a blue dog", "dropped_colour", SCENE, 1.0)
    assert bare.text == "two keys and a dog"  # a thing that is not there keeps its number
    two_cats = Scene((Object("cat", "red", x=0.2), Object("cat", "blue", x=0.8)), "snow")
    assert corrupt_text("a red cat in the snow", "dropped_colour", two_cats).text == "two cats in the snow"
    assert corrupt_text("a cat and a dog", "wrong_place", SCENE) is None and corrupt_text("a cat", "swapped_colours", SCENE) is None
    assert corrupt_text("a cat", "dropped_object", SCENE) is None and corrupt_text("cat", "shuffled", SCENE) is None


def test_the_first_verb_follows_its_thing():
    told = read_telling("in the snow there is a red cat and two blue dogs")
    assert told.with_items(list(told.items[::-1])).text == "in the snow there are two blue dogs and a red cat"
    assert told.with_place("beach").text == "on a beach there is a red cat and two blue dogs"
    assert read_telling("a snow scene with a cat").with_place("city").text == "a city scene with a cat"


def test_same_seed_same_text_other_seed_other_text():
    made = [corrupt_text(TEXT, "wrong_colour", SCENE, 0.4, seed).text for seed in (0, 0, 1, 2, 3)]
    assert made[0] == made[1] and len(set(made)) > 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_word_distance_is_a_metric(a, b):
    d = word_distance(a, b)
    assert d == word_distance(b, a) and abs(len(a) - len(b)) <= d <= max(len(a), len(b)) and (d == 0) == (a == b)
    assert word_distance([*a, "x"], [*b, "x"]) == d


def test_grades_by_hand():
    found = grade(SCENE, "a red cat and a blue cup in the snow")
    # stated: red cat (true), blue cup (false), snow (true); key facts: 3 kinds, 3 coloured kinds, the place
    assert found.precision == pytest.approx(2 / 3) and found.recall == pytest.approx(3 / 7) and found.fluency == 1
    f1 = 2 * (2 / 3) * (3 / 7) / (2 / 3 + 3 / 7)
    assert found.f1 == pytest.approx(f1) and found.quality == pytest.approx((f1 + 1) / 2)
    assert grade(SCENE, "in a meadow").f1 == 0


def test_what_is_refused():
    with pytest.raises(ClipkitError, match="did you mean"):
        corrupt_text(TEXT, "wrong_color", SCENE)
    for rate in (0, 1.5):
        with pytest.raises(ClipkitError, match="rate"):
            corrupt_text(TEXT, "shuffled", SCENE, rate)
    assert len(set(KINDS)) == len(KINDS) == 15
