"""Scenes of equal things: numbers, sizes, areas and hulls are what they should be, nothing overlaps or leaves the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from clipkit.errors import ClipkitError
from clipkit.world import render
from clipkit.world.numerosity import AREA, CONTROLS, HULL, SIDE, count_scenes, hull_area, layouts

COUNTS = np.repeat(np.arange(2, 11), 6)


def corners(x, y, side):
    half = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * side / 2
    return (np.stack([x, y], 1)[:, None] + half).reshape(-1, 2)


@pytest.mark.parametrize("control", CONTROLS)
def test_what_is_held_equal(control):
    category = np.arange(len(COUNTS)) % 48
    scenes, areas = count_scenes(category, COUNTS, 3, control)
    there = scenes.category >= 0
    assert (there.sum(1) == COUNTS).all() and (scenes.category[there] == np.repeat(category, COUNTS)).all()
    side, hulls = scenes.scale[:, 0].astype(float), []
    for i, n in enumerate(COUNTS):
        x, y = (getattr(scenes, name)[i, :n].astype(float) for name in ("x", "y"))
        assert (scenes.scale[i, :n] == scenes.scale[i, 0]).all() and len({*scenes.colour[i, :n]}) == 1
        apart = np.maximum(abs(np.subtract.outer(x, x)), abs(np.subtract.outer(y, y))) + np.eye(n)
        assert apart.min() >= side[i] - 1e-6
        assert min(x.min(), y.min()) >= side[i] / 2 - 1e-6 and max(x.max(), y.max()) <= 1 - side[i] / 2 + 1e-6
        hulls.append(ConvexHull(corners(x, y, side[i])).volume)
    np.testing.assert_allclose(areas, COUNTS * side**2, rtol=1e-5)
    if control == "equal size":
        np.testing.assert_allclose(side, SIDE, rtol=1e-6)
    elif control == "usual":
        assert side.std() > 0.04 and len(np.unique(side)) == len(side)
    else:
        np.testing.assert_allclose(areas, AREA, rtol=1e-5)
    if control.endswith("hull"):
        np.testing.assert_allclose(hulls, HULL, rtol=0.07)
    else:
        assert np.corrcoef(hulls, COUNTS)[0, 1] > 0.3  # what the last control takes away


@settings(deadline=None)
@given(st.integers(1, 8), st.floats(0.05, 0.4), st.integers(0, 999))
def test_hull_by_64_lines_is_that_of_the_corners(n, side, seed):
    x, y = np.random.default_rng(seed).random((2, n))
    hull = ConvexHull(corners(x, y, side))
    exact, around = hull.volume, hull.area
    found = hull_area(np.append(x, np.nan), np.append(y, np.nan), np.array(side))
    # Outside of an edge e lies at most a triangle of area e² tan(π / 64) / 4, and no edge is longer than half of the way around.
    assert exact - 1e-9 <= found <= exact + around**2 * np.tan(np.pi / 64) / 8 + 1e-9


def test_the_pictures_cover_what_was_planned():
    """By pixels: with equal area the covered share does not grow with the number, with equal size it does."""
    counts, category = np.repeat(np.arange(2, 11), 12), np.tile(np.arange(0, 48, 4), 9)
    cover = {}
    for control in ("equal size", "equal area"):
        drawn = render(count_scenes(category, counts, 1, control)[0], 128, masks=True)
        assert ([len(np.unique(m)) - 1 for m in drawn.instances] == counts).all()
        cover[control] = np.array([(m > 0).mean() for m in drawn.instances]).reshape(9, 12).mean(1)
    assert cover["equal size"][-1] > 4 * cover["equal size"][0]
    assert abs(np.polyfit(np.arange(9), cover["equal area"] / cover["equal area"].mean(), 1)[0]) < 0.02


def test_same_seed_same_scenes_another_seed_others():
    category = np.zeros(len(COUNTS), int)
    one, again, other = (count_scenes(category, COUNTS, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one.x, again.x) and np.array_equal(one.seed, again.seed) and not np.array_equal(one.x, other.x)


def test_things_too_large_for_their_number():
    with pytest.raises(ClipkitError, match="no place for 10 things"):
        layouts(np.array([10]), np.array([0.3]), np.random.default_rng(0))
    with pytest.raises(ClipkitError, match="hull"):
        layouts(np.array([2]), np.array([0.1]), np.random.default_rng(0), hull=0.9)
