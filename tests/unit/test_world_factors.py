"""One factor changed, all else equal; views of a camera; folders of photographs with two cues."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit.datasets.cues import cue_photographs
from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, WorldSpec, render
from clipkit.world.counterfactuals import at_home, balanced
from clipkit.world.factors import FACTORS, VIEWS, changed, viewed

SPEC = WorldSpec(categories=("cat", "car", "tree"), sizes=("large",), textured=0.0, rotate=False)
STRANGER = CATEGORIES.index("apple")


@pytest.fixture(scope="module")
def scenes():
    return at_home(balanced(12, 3, SPEC))


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_changes_every_picture_and_no_other_seed_is_needed(scenes, factor):
    base, one = render(scenes).images, changed(scenes, factor, 0, STRANGER)
    assert one.shape == base.shape and one.dtype == np.uint8
    moved = (one != base).any((1, 2, 3))
    assert moved.all() if factor not in ("larger", "colour") else moved.mean() > 0.5
    assert (changed(scenes, factor, 0, STRANGER) == one).all()
    assert (render(scenes).images == base).all()  # the scenes themselves are left alone


def mask(images, scenes):
    """Where the pictures differ from those of the empty scenes: (N, S, S)."""
    empty = render(scenes.replace(category=np.full(scenes.category.shape, -1))).images
    return (images != empty).any(3)


def test_what_a_factor_does(scenes):
    base = mask(render(scenes).images, scenes).sum((1, 2))
    assert (mask(changed(scenes, "smaller", 0, STRANGER), scenes).sum((1, 2)) < 0.6 * base).all()
    assert (mask(changed(scenes, "larger", 0, STRANGER), scenes).sum((1, 2)) >= base).mean() > 0.9
    half = mask(changed(scenes, "partial view", 0, STRANGER), scenes)
    columns = half.any(1)
    assert (columns[:, 0] ^ columns[:, -1]).all()  # it touches the one border or the other
    assert (mask(changed(scenes, "second thing", 0, STRANGER), scenes).sum((1, 2)) > base).all()


def test_background_changes_nothing_of_the_thing(scenes):
    drawn = render(scenes, masks=True)
    other = changed(scenes, "background", 1, STRANGER)
    inside = drawn.instances == 1
    solid = inside & np.roll(inside, 1, 1) & np.roll(inside, -1, 1) & np.roll(inside, 1, 2) & np.roll(inside, -1, 2)
    assert (other == drawn.images).all(3)[solid].mean() > 0.95 and (other == drawn.images).all(3)[~inside].mean() < 0.2


@pytest.mark.parametrize("view", VIEWS)
def test_views_grow_with_severity(scenes, view):
    base = render(scenes).images
    far = [np.abs(viewed(base, view, k).astype(int) - base).mean() for k in (1, 2, 3)]
    assert far[0] > 0 and far[2] > far[0]
    plain = np.full((1, 16, 16, 3), 90, np.uint8)
    assert (viewed(plain, view, 3) == 90).all() == (view != "light")


def test_distance_and_light_by_hand():
    """Further away a square is smaller; the light falls from the left by tenths."""
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    picture[:, 1:3, 1:3] = 200
    wide = viewed(picture, "distance", 2)  # 1.5 times as far
    assert 0 < wide.astype(int).sum() < picture.astype(int).sum()
    lit = viewed(np.full((1, 2, 3, 3), 100, np.uint8), "light", 1)[0, 0, :, 0]
    assert lit.tolist() == [130, 100, 70]


def test_unknown_factors_views_and_severities(scenes):
    for call in (lambda: changed(scenes, "mood", 0, 0), lambda: viewed(np.zeros((1, 4, 4, 3), np.uint8), "mood", 1)):
        with pytest.raises(ClipkitError, match="mood"):
            call()
    with pytest.raises(ClipkitError, match="severity"):
        viewed(np.zeros((1, 4, 4, 3), np.uint8), "roll", 4)


def write(folder, rows):
    (folder / "images").mkdir()
    with (folder / "labels.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("filename", "shape", "texture"), *rows])
    for name, *_ in rows:
        Image.new("RGB", (8, 8), "red").save(folder / "images" / name)


def test_a_folder_with_two_cues(tmp_path):
    write(tmp_path, [("a.png", "cat", "oven"), ("b.png", "oven", "bear")])
    data, shape, texture = cue_photographs(f"folder:{tmp_path}")
    assert data.classnames == ["bear", "cat", "oven"] and data.images[1].size == (8, 8)
    assert shape.tolist() == [1, 2] and texture.tolist() == [2, 0] and torch.equal(torch.as_tensor(data.labels), shape)
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(ClipkitError, match=r"b\.png"):
        cue_photographs(f"folder:{tmp_path}")
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(ClipkitError, match=r"labels\.csv"):
        cue_photographs(f"folder:{tmp_path}")
