"""Three choices tell training-free methods apart: each arm is what its steps give when they are written out one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clipkit import load_dataset, load_model
from clipkit.dense import (
    Mode,
    Pipeline,
    ScenePictures,
    aggregate,
    colour_features,
    cosines,
    filtered_affinity,
    label_affinity,
    project,
    shrink,
    splice,
    text_classifier,
    value_maps,
    windows,
)
from clipkit.dense.segmenter import load_segmenter, to_pixels


def centre(x):
    return (x - 0.5) / 0.25


@pytest.fixture(scope="module")
def scene():
    """A pipeline with colours for a guide, and three pictures whose left and right halves are segments."""
    nano, segmenter = load_model("nano", device="cpu").freeze(), load_segmenter(device="cpu")
    text, groups = text_classifier(nano, ["cat", "boat; ship", "tree"], ["a {}"])
    pipeline = Pipeline(nano, colour_features, segmenter, text, groups, centre)
    pixels = shrink(to_pixels(load_dataset("world", "test", n=3, seed=0).to_array()), 128)
    segments = (torch.arange(128) >= 64).long().expand(3, 128, 128)
    return pipeline, ScenePictures(pixels, segments, segments)


def test_one_pass_is_the_small_picture(scene):
    pipeline, pictures = scene
    found = pipeline.cosines(pictures, {"keys": ("naclip", "one pass"), "blind": ("colour", "one pass"), "guide": ("guide", "one pass")})
    small = centre(shrink(pictures.pixels, 32))
    expected = cosines(project(pipeline.clip, value_maps(pipeline.clip, small, ["naclip"])[0]), pipeline.text)
    torch.testing.assert_close(found["keys"], expected)
    torch.testing.assert_close(found["blind"], found["guide"])  # here the guide is plain colour too


def test_decisions_are_averaged_and_vectors_are_spliced(scene):
    pipeline, pictures = scene
    arms = {"decisions": ("guide", "decisions"), "vectors": ("guide", "vectors")}
    found = pipeline.cosines(pictures, arms)
    crops, places = windows(shrink(pictures.pixels, 64), 32, 16)
    crops, cells = crops.flatten(0, 1), places // 2
    modes = [Mode("proxy"), Mode("proxy", residual=True, mlp=True)]
    maps, kept = value_maps(pipeline.clip, centre(crops), modes, pipeline.guide(crops, (16, 16)))
    each = cosines(project(pipeline.clip, maps), pipeline.text).unflatten(0, (3, 9))
    torch.testing.assert_close(found["decisions"], splice(each, cells, (32, 32)))
    whole = splice(maps.unflatten(0, (3, 9)), cells, (32, 32))
    torch.testing.assert_close(found["vectors"], cosines(project(pipeline.clip, whole), pipeline.text))
    other = cosines(project(pipeline.clip, kept), pipeline.text).unflatten(0, (3, 9))
    swapped = replace(pipeline, keep=True).cosines(pictures, arms | {"chosen": ("chosen", "decisions")})
    torch.testing.assert_close(swapped["decisions"], splice(other, cells, (32, 32)))
    torch.testing.assert_close(swapped["chosen"], swapped["decisions"])
    plain = replace(pipeline, guided=False).cosines(pictures, {"chosen": ("chosen", "vectors"), "plain": ("vanilla", "vectors")})
    torch.testing.assert_close(plain["chosen"], plain["plain"])


def test_spreading_comes_before_the_words_for_vectors_and_after_them_for_decisions(scene):
    pipeline, pictures = scene
    arms = {"late": ("guide", "decisions", "truth"), "early": ("guide", "vectors", "truth"), "plain": ("guide", "decisions")}
    found, affinity = pipeline.cosines(pictures, arms), label_affinity(pictures.segments, (32, 32))
    torch.testing.assert_close(found["late"], aggregate(found["plain"], affinity))
    for half in (slice(0, 16), slice(16, 32)):  # one segment, one vector, one answer
        assert found["early"][..., half].std((2, 3)).max() < 1e-5
    assert found["early"].shape == (3, 4, 32, 32)


def test_affinities_are_those_of_the_networks(scene):
    pipeline, pictures = scene
    e = pipeline.segmenter.encode(pictures.pixels)
    torch.testing.assert_close(pipeline.affinity(pictures, "segmenter"), filtered_affinity(e.attention, e.values, 1.2))
    for of in ("segmenter", "colour", "truth"):
        torch.testing.assert_close(pipeline.affinity(pictures, of).sum(-1), torch.ones(3, 1024), rtol=0, atol=1e-5)


def test_one_by_one_is_all_together(scene):
    pipeline, pictures = scene
    arms = {"full": ("guide", "vectors", "segmenter")}
    alone = torch.cat([pipeline.cosines(pictures[i : i + 1], arms)["full"] for i in range(3)])
    torch.testing.assert_close(pipeline.cosines(pictures, arms)["full"], alone, rtol=0, atol=1e-5)


def test_a_wide_picture_keeps_its_shape(scene):
    pipeline, _ = scene
    wide = shrink(torch.rand(1, 3, 90, 157), 64, 4)
    assert wide.shape[-2:] == (64, 112) and shrink(torch.rand(1, 3, 50, 50), 32, 4).shape[-2:] == (32, 32)
    segments = (torch.arange(112) >= 40).long().expand(1, 64, 112)
    picture = ScenePictures(wide, segments, segments, large=torch.rand(1, 3, 90, 157))
    arms = {"own": ("naclip", "one pass"), "blind": ("colour", "one pass"), "all": ("guide", "vectors", "truth")}
    found = {arm: tuple(c.shape[-2:]) for arm, c in pipeline.cosines(picture, arms).items()}
    assert found == {"own": (8, 14), "blind": (16, 28), "all": (16, 28)}
