"""Cue-conflict pictures: the outline of one category, filled with small drawings of another.

Which of the two a model names tells whether it goes by shape or by texture. Idea: Geirhos et al., arXiv:1811.12231,
who transferred the style of photographs; here both cues are drawn, so neither is a by-product. For `holistic_robustness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_erosion

from clipkit.errors import ClipkitError, unknown
from clipkit.world.backgrounds import VARIANTS, background
from clipkit.world.rasterizer import INK
from clipkit.world.sprites import sprite
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SUPERCLASS_OF, TYPICAL_COLOUR

SHARE = 0.8  # longer side of the shape, as a share of the canvas


class CueConflict(NamedTuple):
    """images (N, S, S, 3) uint8; shape, texture (N,) int64, indices into CATEGORIES; masks (N, S, S) bool of the shape."""

    images: np.ndarray
    shape: np.ndarray
    texture: np.ndarray
    masks: np.ndarray


def cue_conflicts(
    n: int, seed: int, size: int = 64, categories: Sequence[str] = CATEGORIES, place: str = "room", agree: bool = False
) -> CueConflict:
    """n pictures whose shape and filling are of different superclasses; picture i is the same for any n.

    Args:
        categories: what both cues are drawn from. place: background. agree: fill each shape with its own category
            instead (the control).

    Raises: ClipkitError for unknown names, or categories of one superclass only.
    """
    for category in categories:
        if category not in CATEGORIES:
            raise unknown("category", category, CATEGORIES)
    if place not in BACKGROUNDS:
        raise unknown("background", place, BACKGROUNDS)
    if len({SUPERCLASS_OF[c] for c in categories}) < 2:
        raise ClipkitError("cue_conflicts needs categories of at least two superclasses")
    images, masks = np.empty((n, size, size, 3), np.uint8), np.empty((n, size, size), bool)
    shape, texture = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, i])))
        one = categories[int(rng.random() * len(categories))]
        others = [c for c in categories if SUPERCLASS_OF[c] != SUPERCLASS_OF[one]]
        other = others[int(rng.random() * len(others))]
        shape[i], texture[i] = CATEGORIES.index(one), CATEGORIES.index(one if agree else other)
        ground = background(BACKGROUNDS.index(place), int(rng.random() * VARIANTS), size)[0]
        images[i], masks[i] = _fill_shape(int(shape[i]), int(texture[i]), ground)
    return CueConflict(images, shape, texture, masks)


def fillings(categories: Sequence[str], size: int = 64) -> np.ndarray:
    """(N, S, S, 3) uint8: what fills the shapes, of each category over a whole picture; a texture without an outline."""
    tiles = [_tiles(CATEGORIES.index(name), size, size, max(5, round(size / 5))) for name in categories]
    return np.stack(tiles).clip(0, 255).astype(np.uint8)


def _fill_shape(shape: int, texture: int, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One picture (S, S, 3) uint8 and the mask of the shape (S, S) bool."""
    size = len(ground)
    outline = sprite(shape, "fill", 0, False, round(SHARE * size))
    h, w = outline.solid.shape
    pattern = _tiles(texture, h, w, max(5, round(size / 5)))
    # A contour, so that the outline can be seen whatever the filling: what is solid and touches what is not.
    pattern[outline.solid & ~binary_erosion(outline.solid)] = INK
    alpha = 255 - outline.clear.astype(np.int64)
    y, x = (size - h) // 2, (size - w) // 2
    picture, mask = ground.astype(np.int64), np.zeros((size, size), bool)
    region = picture[y : y + h, x : x + w]
    picture[y : y + h, x : x + w] = (region * (255 - alpha) + pattern * alpha + 127) // 255
    mask[y : y + h, x : x + w] = outline.solid
    return picture.astype(np.uint8), mask


def _tiles(category: int, h: int, w: int, side: int) -> np.ndarray:
    """(h, w, 3) int64: drawings of a category in its typical colour, in staggered rows on a pale ground of that colour."""
    name = TYPICAL_COLOUR[CATEGORIES[category]]
    colour = np.array(COLOURS[name], np.int64)
    out = np.zeros((h + 2 * side, w + 2 * side, 3), np.int64) + (colour * 3 + np.array([245, 240, 228]) * 7) // 10
    tile = sprite(category, "fill", 0, False, side, name == "black")
    weight, fixed, clear = (a.astype(np.int64) for a in (tile.weight[..., None], tile.fixed, tile.clear))
    th, tw = tile.solid.shape
    for row, y in enumerate(range(0, h + side, th + 1)):
        for x in range((tw // 2 + 1) * (row % 2), w + side, tw + 1):
            region = out[y : y + th, x : x + tw]
            out[y : y + th, x : x + tw] = np.minimum((region * clear + 127) // 255 + (weight * colour + 127) // 255 + fixed, 255)
    return out[side : side + h, side : side + w]
