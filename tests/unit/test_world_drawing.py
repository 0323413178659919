"""Text to scene: what is stated is drawn, what is not is chance; garbling and deafness are as frequent as they say."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, STYLES, SUPERCLASS_OF, WorldSpec, caption_batch, check, render, sample_scenes
from clipkit.world.drawing import ATTRIBUTES, WORLD_QUESTIONS, attributes_of, describe, draw_texts


@pytest.mark.parametrize("register", ["short", "detailed", "rewrite", "synonym", "hypernym", "name"])
def test_what_a_caption_states_is_true_of_the_picture_drawn_from_it(register):
    texts = caption_batch(sample_scenes(WorldSpec(max_objects=1, styles=STYLES), 150, 3), register)
    drawn = draw_texts(texts, seed=0)
    wrong = [(t, check(s, t).false) for t, s in zip(texts, drawn, strict=True) if not check(s, t).ok]
    assert not wrong


def test_numbers_are_obeyed_and_relations_are_left_to_chance():
    texts = caption_batch(sample_scenes(WorldSpec(min_objects=2, max_objects=5), 100, 1), "short")
    for text, scene in zip(texts, draw_texts(texts, 0), strict=True):
        assert not check(scene, text).false, text
    assert draw_texts(["three red cats and a dog"], 0).count.tolist() == [4]


def test_describe_is_read_back():
    for style in STYLES:
        text = describe("grapes", "green", "dotted", "small", "sea", style)
        scene = next(iter(draw_texts([text], 0)))
        thing = scene.objects[0]
        assert (thing.category, thing.colour, thing.texture, thing.size) == ("grapes", "green", "dotted", "small")
        assert (scene.background, scene.style) == ("sea", style)
    assert describe("cat") == "a cat" and describe("apple", "", "plain", "medium", "", "flat") == "an apple"


def test_describing_the_truth_and_drawing_it_keeps_every_attribute():
    scenes = sample_scenes(WorldSpec(max_objects=1, styles=STYLES), 60, 4)
    words = attributes_of(scenes)
    assert set(words) == set(ATTRIBUTES) == set(WORLD_QUESTIONS)
    texts = [describe(CATEGORIES[c], *row) for c, row in zip(scenes.category[:, 0], zip(*words.values(), strict=True), strict=True)]
    drawn = attributes_of(draw_texts(texts, 0))
    # "plain" and "medium" are not said, so they are left to chance.
    for kind in ATTRIBUTES:
        assert all(a == b for a, b in zip(words[kind], drawn[kind], strict=True) if a not in ("plain", "medium"))


def test_a_class_name_before_the_caption_is_not_a_second_thing():
    scenes = draw_texts(["a photo of a bunch of grapes. a small bunch of green grapes on the left, in the sea, blueprint"], 0)
    scene = next(iter(scenes))
    assert len(scene.objects) == 1 and scene.objects[0].colour == "green" and scene.objects[0].x == 0.25 and scene.style == "blueprint"
    assert draw_texts(["a cat. a dog"], 0).count.tolist() == [2]


def test_what_is_not_stated_is_chance_in_the_generators_own_style():
    scenes = draw_texts(["a photo of a cat"] * 2000, 5, own_style="pastel")
    assert set(scenes.category[:, 0]) == {CATEGORIES.index("cat")} and set(scenes.style) == {STYLES.index("pastel")}
    for column, kind in ((scenes.colour[:, 0], "colour"), (scenes.background, "background"), (scenes.size[:, 0], "size")):
        share = np.bincount(column, minlength=len(ATTRIBUTES[kind])) / 2000
        assert np.abs(share - 1 / len(share)).max() < 0.04
    animals = draw_texts(["an animal"] * 200, 0).category[:, 0]
    assert {SUPERCLASS_OF[CATEGORIES[c]] for c in animals} == {"animal"} and len(set(animals)) > 3


def test_garbling_replaces_a_share_of_every_attribute_and_never_the_noun():
    text = describe("cat", "red", "striped", "large", "snow", "sketch")
    scenes = draw_texts([text] * 3000, 1, garble=0.3)
    columns = {"colour": scenes.colour[:, 0], "texture": scenes.texture[:, 0], "size": scenes.size[:, 0]}
    columns |= {"background": scenes.background, "style": scenes.style}
    for kind, value in (("colour", "red"), ("texture", "striped"), ("size", "large"), ("background", "snow"), ("style", "sketch")):
        kept = columns[kind] == ATTRIBUTES[kind].index(value)
        assert kept.mean() == pytest.approx(0.7, abs=0.03)
        assert len(set(columns[kind][~kept])) == len(ATTRIBUTES[kind]) - 1
    assert (scenes.category[:, 0] == CATEGORIES.index("cat")).all()
    assert (draw_texts([text] * 50, 1, garble=1.0).colour[:, 0] != ATTRIBUTES["colour"].index("red")).all()


def test_deaf_to_style():
    text = describe("cat", "red", background="snow", style="sketch")
    scenes = draw_texts([text] * 50, 1, deaf=("style",))
    assert set(scenes.style) == {STYLES.index("flat")} and set(scenes.colour[:, 0]) == {ATTRIBUTES["colour"].index("red")}


def test_same_seed_same_pictures_and_a_size_word_sets_the_side():
    texts = ["a small cat", "a large cat", "snow", "two dogs"]
    first, again, other = (render(draw_texts(texts, seed)).images for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    scenes = draw_texts(texts, 0)
    assert scenes.scale[0, 0] < 0.4 < 0.65 < scenes.scale[1, 0] and scenes.count.tolist() == [1, 1, 0, 2]
    assert len(draw_texts([], 0)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_texts(["a cat"], 0, garble=1.1), "probability"),
        (lambda: draw_texts(["a cat"], 0, deaf=("styles",)), "did you mean 'style'"),
        (lambda: draw_texts(["a cat"], 0, own_style="sketsh"), "did you mean 'sketch'"),
        (lambda: draw_texts(["six cats and five dogs"], 0), "11 objects"),
        (lambda: describe("kat"), "did you mean 'cat'"),
        (lambda: describe("cat", colour="rod"), "did you mean 'red'"),
    ],
)
def test_bad_input_is_said(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
