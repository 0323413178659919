"""Rendering: bytes that stay the same, and masks, boxes and labels that agree with the pixels."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.world import BACKGROUNDS, CATEGORIES, COLOURS, STUFF, STYLES, WorldSpec, render, sample_scenes
from clipkit.world.artwork import draw_shapes
from clipkit.world.rasterizer import Pen
from clipkit.world.regions import BACKGROUND_STUFF
from clipkit.world.scene import Object, Scene, Scenes
from clipkit.world.truth import without

LAYERS = ("images", "instances", "boxes", "amodal", "stuff", "parts")


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(WorldSpec(max_objects=4), 120, seed=11)


@pytest.fixture(scope="module")
def drawn(scenes):
    return render(scenes, masks=True)


def near(mask: np.ndarray) -> np.ndarray:
    """The mask and its eight neighbours, (S, S) bool."""
    wide = np.pad(mask, 1)
    h, w = mask.shape
    return np.any([wide[a : a + h, b : b + w] for a in range(3) for b in range(3)], axis=0)


def test_golden_pictures(drawn):
    digests = {
        layer: hashlib.sha256(getattr(drawn, layer).tobytes()).hexdigest()[:16] for layer in ("images", "instances", "stuff", "parts")
    }
    assert digests == {
        "images": "369d1e4cc5b6f414",
        "instances": "16a7b76e39360d54",
        "stuff": "433620c61d5efbe7",
        "parts": "defe3925c21c8007",
    }


@given(rows=st.lists(st.integers(0, 119), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_a_picture_depends_on_its_scene_only(scenes, drawn, rows):
    alone = render(scenes[np.array(rows)], masks=True)
    for layer in LAYERS:
        assert np.array_equal(getattr(alone, layer), getattr(drawn, layer)[rows], equal_nan=layer in ("boxes", "amodal"))


def test_workers_give_the_same_bytes():
    many = sample_scenes(WorldSpec(styles=("flat", "sketch")), 520, 0)
    one, two = render(many, masks=True), render(many, masks=True, n_jobs=2)
    for layer in LAYERS:
        assert np.array_equal(getattr(one, layer), getattr(two, layer), equal_nan=layer in ("boxes", "amodal")), layer


@pytest.mark.parametrize("size", [32, 64, 128])
def test_masks_agree_with_the_pixels_an_object_changes(size):
    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=3), 24, 4)
    full = render(scenes, size, masks=True)
    share = []
    for i in range(len(scenes)):
        slot = int(scenes.count[i]) - 1  # the nearest: nothing lies on it
        bare = render(without(scenes[i : i + 1], slot), size).images[0]
        changed, mask = (bare != full.images[i]).any(-1), full.instances[i] == slot + 1
        assert not (changed & ~near(mask)).any()  # beyond the mask there is at most its soft edge
        share.append((changed & mask).sum() / mask.sum())
    assert min(share) > 0.8 and np.mean(share) > 0.98  # a few pixels may have the background's colour by chance


def test_boxes_are_the_bounding_boxes_of_masks(scenes, drawn):
    for i in range(len(scenes)):
        for k in range(scenes.category.shape[1]):
            mask = drawn.instances[i] == k + 1
            if not mask.any():
                assert np.isnan(drawn.boxes[i, k]).all()
                continue
            y, x = np.nonzero(mask)
            assert drawn.boxes[i, k].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            low, high = drawn.amodal[i, k].reshape(2, 2)
            assert (low <= [x.min(), y.min()]).all() and (high >= [x.max() + 1, y.max() + 1]).all()


def test_every_object_can_be_seen(scenes, drawn):
    for count in (1, 5, 10):
        many = sample_scenes(WorldSpec(min_objects=count, max_objects=count), 50, count)
        masks = render(many, masks=True).instances
        assert all(len(np.unique(m)) == count + 1 for m in masks)
    assert all(set(np.unique(m)) <= set(range(c + 1)) for m, c in zip(drawn.instances, scenes.count, strict=True))


def test_size_on_the_canvas_is_the_scenes_scale():
    one = sample_scenes(WorldSpec(min_objects=1, max_objects=1), 100, 9)
    boxes = render(one, 64, masks=True).boxes[:, 0]
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    assert (np.abs(longer - 64 * one.scale[:, 0]) <= 3.5).all()


def test_parts_and_stuff(scenes, drawn):
    most = {category: Pen(32) for category in CATEGORIES}
    for category, pen in most.items():
        draw_shapes(pen, category)
    assert ((drawn.parts > 0) <= (drawn.instances > 0)).all()
    for i in range(30):
        for k in range(int(scenes.count[i])):
            values = drawn.parts[i][drawn.instances[i] == k + 1]
            assert values.max(initial=0) <= len(most[CATEGORIES[scenes.category[i, k]]].parts)
        names = {STUFF[v] for v in np.unique(drawn.stuff[i])}
        assert names <= set(BACKGROUND_STUFF[BACKGROUNDS[scenes.background[i]]])
    seen = {b: set() for b in BACKGROUNDS}
    for i in range(len(scenes)):
        seen[BACKGROUNDS[scenes.background[i]]] |= {STUFF[v] for v in np.unique(drawn.stuff[i])}
    assert seen == {b: set(s) for b, s in BACKGROUND_STUFF.items()}


def test_styles_change_the_pixels_and_not_what_is_where(scenes, drawn):
    for style in STYLES[1:]:
        other = render(scenes.replace(style=style), masks=True)
        assert (other.images != drawn.images).any((1, 2, 3)).all(), style
        assert np.array_equal(other.stuff, drawn.stuff)
        if style in ("sketch", "blueprint"):  # drawn with lines: without the dark contour, so a little smaller
            both, either = (other.instances > 0) & (drawn.instances > 0), (other.instances > 0) | (drawn.instances > 0)
            assert both.sum() / either.sum() > 0.9
        else:
            assert np.array_equal(other.instances, drawn.instances), style


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_colour_shows_on_every_background(background):
    """By its surface, or where that is like the ground (white on snow, black at night) by its contour."""
    things = [Scene((Object("heart", c, scale=0.5),), background) for c in COLOURS]
    full = render(Scenes.from_list(things), 64, masks=True)
    bare = render(without(Scenes.from_list(things)), 64)
    difference = np.abs(full.images.astype(int) - bare.images).max(-1)
    for i in range(len(things)):
        mask = full.instances[i] == 1
        rim = mask & near(~mask)
        outline, surface = ((difference[i][m] > 25).mean() for m in (rim, mask & ~rim))
        assert max(outline, surface) > 0.75, list(COLOURS)[i]


def test_nearer_objects_cover_farther_ones():
    a, b = Object("square", "red", x=0.45, scale=0.5, depth=0), Object("circle", "blue", x=0.55, scale=0.5, depth=1)
    front = render(Scenes.from_list([Scene((a, b))]), 64, masks=True)
    back = render(Scenes.from_list([Scene((a, b))]).replace(depth=[[1, 0] + [0] * 8]), 64, masks=True)
    assert front.instances[0, 32, 32] == 2 and back.instances[0, 32, 32] == 1
    assert np.array_equal(front.amodal, back.amodal, equal_nan=True) and not np.array_equal(front.boxes, back.boxes, equal_nan=True)


def test_textures_are_visible_and_leave_the_mask(scenes, drawn):
    for kind in ("striped", "dotted", "checkered"):
        other = render(scenes.replace(texture=kind), masks=True)
        assert np.array_equal(other.instances, drawn.instances)
        plain = render(scenes.replace(texture="plain"))
        assert (other.images != plain.images).any((1, 2, 3)).all()
        outside = drawn.instances == 0
        assert (np.abs(other.images.astype(int) - plain.images).max(-1)[outside] <= 127).all()


def test_empty_scenes_and_no_scenes():
    none = render(sample_scenes(WorldSpec(min_objects=0, max_objects=0), 3, 0), masks=True)
    assert none.instances.max() == 0 and np.isnan(none.boxes).all()
    assert render(sample_scenes(WorldSpec(), 0, 0), masks=True).images.shape == (0, 32, 32, 3)
    assert render(sample_scenes(WorldSpec(), 2, 0)).instances is None


@pytest.mark.parametrize("damage", [b"", b"not an archive"])
def test_a_damaged_cache_is_drawn_again(tmp_path, monkeypatch, damage):
    from clipkit.world import sprites

    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))
    fresh = [np.asarray(i) for i in sprites._master.__wrapped__(3, "fill", 12, False)]
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(damage)
    again = [np.asarray(i) for i in sprites._master.__wrapped__(3, "fill", 12, False)]
    assert all(np.array_equal(a, b) for a, b in zip(fresh, again, strict=True)) and file.stat().st_size > len(damage)


def test_bad_sizes():
    for size in (4, 1000):
        with pytest.raises(ClipkitError, match="size"):
            render(sample_scenes(WorldSpec(), 1, 0), size)
