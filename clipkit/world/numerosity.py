"""Scenes of two to ten equal things whose size, covered area and extent are chosen, so that number can be told from what goes with it."""

from __future__ import annotations

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.world.sample import single_objects
from clipkit.world.spec import WorldSpec

AREA, SIDE, HULL = 0.2, 0.19, 0.36  # of the picture: what the things cover together, the side of one, the hull of all
CONTROLS = ("usual", "equal size", "equal area", "equal area and hull")
GRIDS = np.array([(2, 2), (3, 2), (2, 3), (3, 3), (4, 3), (3, 4)])  # columns, rows of cells, in each of which one thing may stand
TURN = 2 * np.pi * np.arange(64) / 64


def hull_area(x: np.ndarray, y: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(...) area of the convex hull of squares with centres x, y (..., M), NaN for none, and sides (...), by 64 lines around it."""
    reach = side[..., None, None] / 2 * (np.abs(np.cos(TURN)) + np.abs(np.sin(TURN)))
    h = np.nanmax(x[..., None] * np.cos(TURN) + y[..., None] * np.sin(TURN) + reach, axis=-2)  # (..., 64), the support function
    edges = (np.roll(h, 1, -1) + np.roll(h, -1, -1) - 2 * h * np.cos(TURN[1])) / np.sin(TURN[1])
    return (h * edges).sum(-1) / 2


def layouts(counts: np.ndarray, side: np.ndarray, rng: np.random.Generator, hull: float | None = None) -> np.ndarray:
    """(n, 2, 10) centres of counts (n,) squares of `side` (n,), NaN behind them, that do not overlap; with `hull` that of all has
    this area, within 5 %. Each stands in a cell of its own of a grid, the grid in a box, the box in the picture.

    Raises ClipkitError where none is found: things too large for their number.
    """
    found, left, tries = np.full((len(counts), 2, 10), np.nan), np.arange(len(counts)), 24 if hull else 1
    for _ in range(100):
        shape, s, n = (len(left), tries), side[left, None, None], counts[left]
        fits = (GRIDS.prod(1) >= n[:, None]) & (GRIDS.max(1) * s[:, 0] <= 1)
        if not fits.any(1).all():
            break
        grid = GRIDS[np.where(fits[:, None], rng.random((*shape, len(GRIDS))), -1).argmax(2)]
        box = s * grid + rng.random((*shape, 2)) * (1 - s * grid)
        corner, cells = rng.random((*shape, 2)) * (1 - box), grid.prod(2)[..., None]
        cell = np.where(np.arange(12) < cells, rng.random((*shape, 12)), 2.0).argsort(2)[..., None, :10]
        cell = np.concatenate([cell % grid[..., :1, None], cell // grid[..., :1, None]], 2)  # column, row (m, tries, 2, 10)
        size = (box / grid)[..., None]
        at = corner[..., None] + (cell + 0.5) * size + (rng.random((*shape, 2, 10)) - 0.5) * (size - s[..., None])
        at = np.where(np.arange(10) < n[:, None, None, None], at, np.nan)
        good = np.ones(shape, bool)
        if hull:
            good = abs(hull_area(at[..., 0, :], at[..., 1, :], np.broadcast_to(side[left, None], shape)) / hull - 1) < 0.05
        done = good.any(1)
        found[left[done]] = at[np.arange(len(left)), good.argmax(1)][done]
        left = left[~done]
        if not len(left):
            return found
    raise ClipkitError(f"no place for {counts[left[0]]} things of side {side[left[0]]:.2f}" + (f" in a hull of {hull}" if hull else ""))


def count_scenes(category: np.ndarray, counts: np.ndarray, seed: int, control: str = "usual"):
    """(Scenes, areas (n,)): scene i shows counts[i] equal things of a category, in a random colour and place; areas that they cover.

    control: "usual", any side from 0.15 up to what fits; or all of one side; or one area in all; or also one convex hull in all.
    """
    rng, n = np.random.default_rng([seed, CONTROLS.index(control)]), len(counts)
    one = single_objects(WorldSpec(rotate=False), n, seed).replace(category=category)
    most = np.where(counts <= 4, 0.4, np.where(counts <= 9, 0.3, 0.235))
    side = {"usual": 0.15 + rng.random(n) * (most - 0.15), "equal size": np.full(n, SIDE)}.get(control, np.sqrt(AREA / counts))
    x, y = np.nan_to_num(layouts(counts, side, rng, HULL if control.endswith("hull") else None)).swapaxes(0, 1)
    there = np.arange(10) < counts[:, None]
    same = {name: np.where(there, getattr(one, name)[:, :1], 0) for name in ("colour", "texture", "size", "angle")}
    own = {"x": x, "y": y, "scale": np.where(there, side[:, None], 0), "flip": False}
    kinds = {"category": np.where(there, one.category[:, :1], -1), "depth": np.where(there, np.arange(10), 0)}
    return one.replace(**kinds, **same, **own), counts * side**2
