"""Helpers of the page `the_world`: scenes turned typical or not, the caption test with exchanged colours, label panels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.lab import figures
from clipkit.pretrain.attribute_binding import colour_binding
from clipkit.studies.the_world import show_counts
from clipkit.world import BACKGROUNDS, CATEGORIES, COLOURS, HOME, Scenes, VideoSpec, WorldSpec, sample_clips
from clipkit.world.counterfactuals import HOME_OF, TYPICAL_OF, at_home, balanced, elsewhere, in_other_colour, in_typical_colour
from clipkit.world.panels import film, label_colours, with_boxes
from clipkit.world.taxonomy import TYPICAL_COLOUR


class WordCounter:
    """A stand-in for a model that reads a text as a bag of words and sees nothing: every picture has the same feature."""

    image_size = 16

    def image_features(self, images, batch=256):
        return torch.ones(len(images), 64) / 8

    def text_features(self, texts, batch=256):
        rows = torch.zeros(len(texts), 64)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[sum(map(ord, word)) % 64] += 1
        return torch.nn.functional.normalize(rows, dim=1)


def test_balanced_has_every_category_equally_often():
    scenes = balanced(100, seed=3)
    assert (scenes.count == 1).all()
    assert set(np.bincount(scenes.category[:, 0], minlength=48)) == {2, 3}
    few = balanced(10, 3, WorldSpec(categories=("cat", "cup")))
    assert [s.objects[0].category for s in few] == ["cat", "cup"] * 5


@pytest.mark.parametrize("knobs", [{"background_bias": 0.5}, {"colour_bias": 1.0}, {"held_out": (("red", "cat"),)}])
def test_balanced_refuses_what_it_cannot_keep(knobs):
    with pytest.raises(ClipkitError, match="balanced scenes"):
        balanced(5, 0, WorldSpec(**knobs))


def test_home_and_elsewhere_change_the_background_only():
    scenes = balanced(480, seed=0)
    home, away = at_home(scenes), elsewhere(scenes, seed=1)
    assert [s.background for s in home] == [HOME[s.objects[0].category] for s in home]
    assert (away.background != home.background).all()
    assert np.bincount((away.background - home.background) % len(BACKGROUNDS), minlength=8)[1:].min() > 40  # all seven, about evenly
    for field in dataclasses.fields(Scenes):
        if field.name != "background":
            assert np.array_equal(getattr(home, field.name), getattr(away, field.name)), field.name
            assert np.array_equal(getattr(home, field.name), getattr(scenes, field.name)), field.name


def test_colours_typical_and_other():
    scenes = balanced(96, seed=0)
    typical, other = in_typical_colour(scenes), in_other_colour(scenes, seed=2)
    assert all(s.objects[0].colour == TYPICAL_COLOUR[s.objects[0].category] for s in typical)
    assert all(s.objects[0].colour != TYPICAL_COLOUR[s.objects[0].category] for s in other)
    assert np.array_equal(typical.category, scenes.category) and np.array_equal(other.background, scenes.background)


def test_indices_by_category():
    assert BACKGROUNDS[HOME_OF[CATEGORIES.index("fish")]] == "sea"
    assert tuple(COLOURS)[TYPICAL_OF[CATEGORIES.index("banana")]] == "yellow"


def test_an_empty_scene_has_no_home():
    with pytest.raises(ClipkitError, match="no home"):
        at_home(Scenes.empty(2))


def test_a_bag_of_words_cannot_tell_exchanged_colours():
    found = colour_binding(WordCounter(), 60, seed=0)
    assert found["word_order"] == 50.0  # the same words: every pair is a tie
    assert 0 <= found["wrong_colour"] <= 100


def test_label_colours():
    labels = np.array([[0, 1], [2, 2]], np.uint8)
    out = label_colours(labels)
    assert out.shape == (2, 2, 3) and out.dtype == np.uint8
    assert (out[1, 0] == out[1, 1]).all() and len({tuple(p) for p in out.reshape(-1, 3)}) == 3
    grey = out.reshape(-1, 3).mean(1)
    assert grey[0] < grey[1] < grey[2]  # larger labels are lighter: readable without colour
    assert label_colours(np.zeros((3, 3), bool)).shape == (3, 3, 3)
    assert (label_colours(labels, alike=4)[0, 0] == out[0, 0]).all()
    for wrong in (np.array([[-1]]), np.array([[0.5]]), np.zeros((0, 2), int)):
        with pytest.raises(ClipkitError, match="whole numbers"):
            label_colours(wrong)


def test_with_boxes_outlines_inside():
    image = np.full((8, 8, 3), 200, np.uint8)
    out = with_boxes(image, [[1, 2, 5, 6], [np.nan] * 4])
    dark = (out == 0).all(-1)
    assert dark.sum() == 12 and dark[2:6, 1:5].sum() == 12  # the rim of a 4 x 4 box
    assert (image == 200).all()  # the original is left alone


def test_film_draws_frames_and_sound():
    from clipkit.lab.figures import new_figure

    clip = sample_clips(VideoSpec(frames=8, shots=(2, 2)), 1, seed=0)[0]
    strip, sound = new_figure().subplots(2, 1, sharex=True)
    film(strip, sound, clip, size=16)
    assert strip.images[0].get_array().shape == (16, 8 * 16, 3)
    assert sound.get_xlim() == (0, 1) and len(sound.lines) == len(clip.cuts) == 1


def test_counts_are_drawn_beside_the_expected(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "show", lambda drawing, alt: shown.append(drawing))
    counted, expected = np.array([5, 2]), np.array([4.0, 3.0])
    shares = np.array([0.1, 1.0]), np.array([0.125, 1.0])
    laws = {"zipf 1": (counted, expected), "zipf 0": (counted, counted)}
    show_counts(laws, {"at home": shares, "typical": shares}, [0, 1], 7)
    left, right = shown[0].axes
    points, line = left.get_lines()[:2]
    assert points.get_ydata().tolist() == [5, 2] and line.get_ydata().tolist() == [4, 3] and line.get_xdata().tolist() == [1, 2]
    assert right.get_lines()[1].get_ydata().tolist() == [0.125, 1.0] and "7 scenes" in left.get_ylabel()
