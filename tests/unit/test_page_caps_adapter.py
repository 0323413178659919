"""The page caps_adapter: domains are paired, supports are drawn from what captioners say, captioners find planted attributes."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.studies import caps_adapter as study
from clipkit.studies.caps_adapter import (
    PHOTO_QUESTIONS,
    STYLE_SHIFTS,
    Captioner,
    ask_model,
    domain_pictures,
    draw_domain,
    draw_features,
    learn_attributes,
    load_photographs,
    photo_sentence,
    train_style_captioner,
)
from clipkit.world import BACKGROUNDS, CATEGORIES, STYLES, describe, draw_texts, render
from clipkit.world.drawing import attributes_of

X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
WORDS = ["cat", "dog", "red", "blue", "snow", "sea"]
QUESTIONS = {"colour": {c: f"a {c} {{}}" for c in ("red", "blue")}, "place": {p: f"a {{}} in the {p}" for p in ("snow", "sea")}}


def test_examples_in_docstrings():
    found = doctest.testmod(study)
    assert found.attempted > 0 and found.failed == 0


class Pixels:
    """Stands for a model: features are coarse pixels."""

    def image_features(self, images):
        small = torch.tensor(images[:, ::4, ::4].reshape(len(images), -1) / 255.0)
        return torch.nn.functional.normalize(small - 0.5, dim=1)


def test_domains_are_what_they_say_and_paired():
    few = {"categories": CATEGORIES[:4], "narrow": True, "per_class": 3}
    found = {style: domain_pictures(Pixels(), "train", style, 0, **few) for style in STYLE_SHIFTS}
    for style, (x, y, scenes) in found.items():
        assert x.shape == (12, 192) and y.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
        assert set(scenes.style) == {STYLES.index(style)} and set(scenes.background) == {BACKGROUNDS.index(STYLE_SHIFTS[style])}
        assert (scenes.category[:, 0] == y.numpy()).all()
    sketch, pixel = found["sketch"][2], found["pixel"][2]
    assert np.array_equal(sketch.colour, pixel.colour) and np.array_equal(sketch.x, pixel.x)
    assert not torch.equal(found["sketch"][0], domain_pictures(Pixels(), "test", "sketch", 0, **few)[0])
    with pytest.raises(KeyError):
        domain_pictures(Pixels(), "train", "flat", 0, **few)


def test_draw_features_are_those_of_the_pictures():
    texts = ["a red cat in the snow, pencil sketch", "a dog"]
    want = Pixels().image_features(render(draw_texts(texts, 3, 0.5)).images)
    assert torch.equal(draw_features(Pixels(), texts, 3, 0.5), want)
    with pytest.raises(ClipkitError, match="probability"):
        draw_features(Pixels(), texts, 0, garble=2.0)


def test_the_style_captioner_knows_styles_and_places_that_it_was_not_shown_together():
    captioner = train_style_captioner(Pixels(), 500)
    x, y, scenes = domain_pictures(Pixels(), "train", "blueprint", 0, categories=CATEGORIES[:6], narrow=True, per_class=5)
    reads, truth = captioner.read(x, [CATEGORIES[i] for i in y]), attributes_of(scenes)
    assert np.mean([r["style"] == t for r, t in zip(reads, truth["style"], strict=True)]) > 0.9
    assert captioner(x[:1], ["cat"])[0] == describe("cat", **reads[0])


def test_a_task_holds_supports_in_the_order_of_its_labels():
    names = CATEGORIES[:3]
    captioners = {"caption": lambda x, called: [f"a {n} in the snow" for n in called], "mute": lambda x, called: called}
    classes, sizes = {"categories": names, "narrow": True}, (2, 1, 7)
    task = draw_domain(Pixels(), "sketch", 0, captioners, sizes, garble=1.0, **classes)
    assert task.train[1].tolist() == [0, 0, 1, 1, 2, 2] and len(task.val[1]) == 3 and len(task.test[1]) == 7
    assert set(task.pictures) == set(task.texts) == {"caption", "mute", "garbled", "true_caption", "class_name"}
    assert task.texts["caption"] == task.texts["garbled"] == [f"a photo of a {n}. a {n} in the snow" for n in names for _ in range(2)]
    assert not torch.equal(task.pictures["caption"], task.pictures["garbled"])
    assert torch.equal(task.pictures["mute"], draw_features(Pixels(), task.texts["mute"], 0))
    for text, style, place in zip(task.texts["true_caption"], task.truth["style"], task.truth["background"], strict=True):
        scene = next(iter(draw_texts([text], 0)))
        assert (scene.style, scene.background) == (style, place) == ("sketch", "night")
    other = draw_domain(Pixels(), "pixel", 0, captioners, sizes, **classes)
    assert torch.equal(other.pictures["class_name"], task.pictures["class_name"])  # a name tells nothing of the domain


def test_a_task_of_photographs_draws_nothing():
    task = load_photographs(load_model("nano"), "digits", 0, (2, 1, 20))
    assert len(task.train[1]) == 20 and len(task.val[1]) == 10 and len(task.test[1]) == 20
    assert task.pictures == task.texts == task.truth == {}


class Bag:
    """A text tower that counts words."""

    def text_features(self, texts):
        return torch.nn.functional.normalize(torch.tensor([[float(w in t.split()) for w in WORDS] for t in texts]), dim=1)


def picture(*words):
    return torch.nn.functional.normalize(torch.tensor([float(w in words) for w in WORDS]), dim=0)


@pytest.fixture
def captioner():
    return Captioner(ask_model(Bag(), ["cat", "dog"], QUESTIONS), lambda name, read: f"a {read['colour']} {name}, {read['place']}")


def test_planted_attributes_are_read(captioner):
    pictures = torch.stack([picture("cat", "blue", "snow"), picture("dog", "red", "sea"), picture("red", "sea")])
    assert captioner(pictures, ["cat", "dog", "cat"]) == ["a blue cat, snow", "a red dog, sea", "a red cat, sea"]
    assert captioner(pictures[:1], ["cat"], "a photo of a {}") == ["a photo of a cat. a blue cat, snow"]
    assert captioner.read(pictures[:1], ["cat"]) == [{"colour": "blue", "place": "snow"}]


def test_equals_asking_one_by_one(captioner):
    pictures = torch.nn.functional.normalize(torch.randn(20, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    names = ["cat", "dog"] * 10
    for f, name, read in zip(pictures, names, captioner.read(pictures, names), strict=True):
        for attribute, answers in QUESTIONS.items():
            cosines = Bag().text_features([t.replace("{}", name) for t in answers.values()]) @ f
            assert read[attribute] == list(answers)[int(cosines.argmax())]


def test_photo_questions_make_sentences():
    read = {attribute: next(iter(answers)) for attribute, answers in PHOTO_QUESTIONS.items()}
    assert photo_sentence("frog", read) == "a close-up photo of a red frog on grass."
    assert all(t.count("{}") == 1 for answers in PHOTO_QUESTIONS.values() for t in answers.values())


def test_probes_learn_what_the_corpus_shows_and_ignore_the_class():
    rng = np.random.default_rng(0)
    colour, place = rng.integers(2, size=200), rng.integers(3, size=200)
    x = torch.tensor(
        np.eye(2)[colour] @ rng.normal(size=(2, 6)) + np.eye(3)[place] @ rng.normal(size=(3, 6)) + 0.05 * rng.normal(size=(200, 6))
    )
    words = {"colour": [("red", "blue")[c] for c in colour], "place": [("snow", "sea", "city")[p] for p in place]}
    read = learn_attributes(x[:100], {a: w[:100] for a, w in words.items()})
    captioner = Captioner(read, lambda name, read: f"{name}: {read['colour']}, {read['place']}")
    captions = captioner(x[100:], ["it"] * 100)
    assert captions == [f"it: {c}, {p}" for c, p in zip(words["colour"][100:], words["place"][100:], strict=True)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(x[:100].numpy(), words["place"][:100])
    assert [r["place"] for r in captioner.read(x, ["it"] * 200)] == model.predict(x.numpy()).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c(torch.randn(2, 6), ["cat"]), "2 pictures but 1"),
        (lambda c: c(torch.full((1, 6), float("nan")), ["cat"]), "NaN"),
    ],
)
def test_bad_input_is_said(captioner, call, message):
    with pytest.raises(ClipkitError, match=message):
        call(captioner)
