"""What captions say against the truth: by hand on small scenes, and what must hold for the world's own captions."""

import numpy as np
import pytest
import torch

from clipkit import ClipkitError
from clipkit.generate import (
    attribute_prf,
    brief_references,
    brief_vocabulary,
    chair,
    full_captions,
    grammatical,
    grammatical_rate,
    listener_recall,
    listener_scores,
    ngram_repetition,
    retrieval_recall,
)
from clipkit.world import STYLES, WorldSpec, caption_batch, sample_scenes
from clipkit.world.content_plan import SceneFacts, Thing

CAT, DOG = Thing("cat", "red", "plain", "small", 0.2, 0.5), Thing("dog", "blue", "plain", "large", 0.8, 0.5)
SCENE = SceneFacts([CAT, DOG], "snow", "flat")
ALONE = SceneFacts([CAT], "sea", "flat")
scenes = sample_scenes(WorldSpec(max_objects=4, min_objects=0, styles=STYLES, same_category=0.2), 400, 3)


def test_slots_by_hand():
    found = attribute_prf([SCENE], ["a red cat to the left of a green dog in the sea"])
    assert found["object"] == (1.0, 1.0, 1.0)
    assert found["colour"] == (0.5, 0.5, 0.5)
    assert found["background"] == (0.0, 0.0, 0.0)
    assert found["relation"] == (0.0, 0.0, 0.0)  # there is no green dog to be left of
    assert attribute_prf([SCENE], ["a dog to the right of a cat"])["relation"] == (1.0, 1.0, 1.0)
    assert attribute_prf([SCENE], ["an animal"])["object"] == (1.0, 0.0, 0.0)  # true, and names nothing
    assert attribute_prf([SCENE], ["two cats"])["count"] == (0.0, 0.0, 0.0)


def test_a_fact_counts_once_and_pictures_are_pooled():
    found = attribute_prf([SCENE, ALONE], ["a cat and a cat", "a cat and a bird in the sea"])
    assert found["object"].recall == 2 / 3 and found["object"].precision == 3 / 4
    assert found["background"] == (1.0, 0.5, 2 / 3)
    assert found["relation"].recall == 0.0  # one pair in the first scene, none in the second


def test_a_list_of_words_gets_the_same_credit():
    assert attribute_prf([SCENE], ["red cat dog snow"])["object"] == attribute_prf([SCENE], ["a red cat and a dog in the snow"])["object"]


def test_chair_by_hand():
    assert chair([SCENE, ALONE], ["a cat and a bird", "a cat"]) == (1 / 3, 1 / 2)
    assert chair([SCENE], ["an animal and a green dog"]) == (0.0, 0.0)  # colours are not CHAIR's concern
    assert chair([SCENE], [""]) == (0.0, 0.0)


@pytest.mark.parametrize("register", ["short", "detailed"])
def test_the_worlds_own_captions_are_true_and_grammatical(register):
    texts = caption_batch(scenes, register, seed=1)
    assert grammatical_rate(texts) == 1.0
    found = attribute_prf(scenes, texts)
    for slot in ("object", "colour", "count", "background"):
        assert found[slot].precision == 1.0
    assert chair(scenes, texts) == (0.0, 0.0)
    if register == "detailed":
        assert found["object"].recall == found["background"].recall == found["colour"].recall == 1.0


def test_references_are_brief_true_and_within_the_vocabulary():
    rows = brief_references(scenes, 5, seed=2)
    texts, vocabulary = [t for row in rows for t in row], brief_vocabulary()
    assert grammatical_rate(texts) == 1.0
    assert all(vocabulary.unk not in vocabulary.ids(t) for t in texts)
    repeated = [scene for scene in range(len(rows)) for _ in range(5)]
    found, short = attribute_prf(scenes[repeated], texts), attribute_prf(scenes, caption_batch(scenes, "short"))
    assert found["object"].precision == found["colour"].precision == found["count"].precision == found["background"].precision == 1.0
    assert found["background"].recall < 0.35 < 0.5 < short["background"].recall and found["colour"].recall < 0.25
    assert 0 < found["relation"].recall < 0.2 and found["relation"].precision == 1.0
    assert brief_references(scenes[:3], 5, seed=2) == rows[:3] != brief_references(scenes[:3], 5, seed=3)
    with pytest.raises(ClipkitError):
        brief_references(scenes, 0)


def test_full_captions_say_all_in_the_words_of_references():
    texts, vocabulary = full_captions(scenes), brief_vocabulary()
    found = attribute_prf(scenes, texts)
    assert found["object"] == found["colour"] == found["background"] == (1.0, 1.0, 1.0) and found["count"].precision == 1.0
    assert grammatical_rate(texts) == 1.0 and all(vocabulary.unk not in vocabulary.ids(t) for t in texts)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a bunch of purple grapes above an ear of dotted brown corn, with a large black carrot, in a city", True),
        ("two orange cats and an apple in the snow", True),
        ("there are two cats on a beach", True),
        ("a cat to the left of a dog", True),
        ("a orange cat", False),
        ("an cat", False),
        ("two cat", False),
        ("a cats", False),
        ("a cat a dog", False),
        ("cat dog snow", False),
        ("a cat and", False),
        ("a cat in the snow in the snow", False),
        ("a cat and a cat", False),
        ("a cat and a red cat", True),
        ("there is two cats", False),
        ("a cat, and a dog", False),
        ("", False),
    ],
)
def test_grammar_by_hand(text, is_one):
    assert grammatical(text) is is_one


def test_repetition_by_hand():
    assert ngram_repetition(["a cat and a dog"]) == 0.0  # the article alone is no repetition
    assert ngram_repetition(["cat cat cat"]) == (2 + 1 + 0) / (3 + 2 + 1)
    assert ngram_repetition([""]) == 0.0


def test_retrieval_shares_ties_out():
    eye = torch.eye(4)
    assert retrieval_recall(eye, eye) == 1.0
    assert retrieval_recall(torch.ones(4, 4) / 2, eye) == pytest.approx(0.25)
    assert retrieval_recall(eye.roll(1, 0), eye) == 0.0
    assert retrieval_recall(eye.roll(1, 0), eye, k=4) == 1.0
    for wrong in ((eye[:3], eye), (eye * float("nan"), eye), (eye, eye, 0)):
        with pytest.raises(ClipkitError):
            retrieval_recall(*wrong)


def test_the_listener_by_hand():
    scores = listener_scores([SCENE, ALONE], ["a red cat", "a red cat in the sea", "red red cat cat", "a dog to the right of a cat"])
    assert scores.tolist() == [[2, 2], [1, 3], [2, 2], [3, -1]]
    assert listener_recall([SCENE, ALONE], ["a cat", "a cat in the sea"]) == pytest.approx((0.5 + 1) / 2)


def test_the_listener_finds_what_detailed_captions_describe():
    one_style = sample_scenes(WorldSpec(max_objects=3), 300, 5)
    said = caption_batch(one_style, "detailed"), [r[0] for r in brief_references(one_style)]
    detailed, brief = (listener_recall(one_style, texts) for texts in said)
    assert detailed > 0.95 and brief < detailed
    assert np.isfinite(listener_scores(one_style, [""] * 2)).all()


def test_another_number_of_captions_is_refused():
    for metric in (attribute_prf, chair, listener_recall):
        with pytest.raises(ClipkitError, match="for each"):
            metric([SCENE, ALONE], ["a cat"])
