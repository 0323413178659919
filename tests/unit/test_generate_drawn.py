"""Target domains and drawn pictures: the style, place and classes asked for, paired scenes, a captioner that knows styles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.studies.caps_adapter import STYLE_SHIFTS, domain_pictures, domain_task, drawn_features, folder_task, style_captioner
from clipkit.world import BACKGROUNDS, CATEGORIES, STYLES, describe, draw_texts, render
from clipkit.world.drawing import attributes_of


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


def test_drawn_features_are_those_of_the_pictures():
    texts = ["a red cat in the snow, pencil sketch", "a dog"]
    want = Pixels().image_features(render(draw_texts(texts, 3, 0.5)).images)
    assert torch.equal(drawn_features(Pixels(), texts, 3, 0.5), want)
    with pytest.raises(ClipkitError, match="probability"):
        drawn_features(Pixels(), texts, 0, garble=2.0)


def test_the_style_captioner_knows_styles_and_places_that_it_was_not_shown_together():
    captioner = style_captioner(Pixels(), 500)
    x, y, scenes = domain_pictures(Pixels(), "train", "blueprint", 0, categories=CATEGORIES[:6], narrow=True, per_class=5)
    reads, truth = captioner.read(x, [CATEGORIES[i] for i in y]), attributes_of(scenes)
    assert np.mean([r["style"] == t for r, t in zip(reads, truth["style"], strict=True)]) > 0.9
    assert captioner(x[:1], ["cat"])[0] == describe("cat", **reads[0])


def test_a_task_holds_supports_in_the_order_of_its_labels():
    names = CATEGORIES[:3]
    tellers = {"caption": lambda x, called: [f"a {n} in the snow" for n in called], "mute": lambda x, called: called}
    options = {"m": 2, "n_val": 1, "n_test": 7, "categories": names, "narrow": True}
    task = domain_task(Pixels(), "sketch", 0, names, tellers, garble=1.0, **options)
    assert task.train[1].tolist() == [0, 0, 1, 1, 2, 2] and len(task.val[1]) == 3 and len(task.test[1]) == 7
    assert set(task.pictures) == set(task.texts) == {"caption", "mute", "garbled", "true_caption", "class_name"}
    assert task.texts["caption"] == task.texts["garbled"] == [f"a photo of a {n}. a {n} in the snow" for n in names for _ in range(2)]
    assert not torch.equal(task.pictures["caption"], task.pictures["garbled"])
    assert torch.equal(task.pictures["mute"], drawn_features(Pixels(), task.texts["mute"], 0))
    for text, style, place in zip(task.texts["true_caption"], task.truth["style"], task.truth["background"], strict=True):
        scene = next(iter(draw_texts([text], 0)))
        assert (scene.style, scene.background) == (style, place) == ("sketch", "night")
    other = domain_task(Pixels(), "pixel", 0, names, tellers, **options)
    assert torch.equal(other.pictures["class_name"], task.pictures["class_name"])  # a name tells nothing of the domain


def test_a_task_of_photographs_draws_nothing():
    task = folder_task(load_model("nano"), "digits", 0, m=2, n_val=1, n_test=20)
    assert len(task.train[1]) == 20 and len(task.val[1]) == 10 and len(task.test[1]) == 20
    assert task.pictures == task.texts == task.truth == {}
