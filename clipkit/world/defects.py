"""Planted defects, for anomaly detection: a scratch, a stain or a missing part on an object, with its exact mask. For `anomalyclip`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion

from clipkit.errors import unknown
from clipkit.world.rendering import render
from clipkit.world.scene import Scenes
from clipkit.world.truth import scene_stream, without

DEFECTS: tuple[str, ...] = ("scratch", "stain", "missing part")
SUPERSAMPLE = 4
AROUND = np.ones((3, 3), bool)  # a pixel and its eight neighbours
STAIN = (96, 70, 40)


class Defective(NamedTuple):
    """Pictures with one defect each, and the same without.

    images, clean (N, S, S, 3) uint8; masks (N, S, S) bool, exactly the pixels that differ; kind (N,) int64, index into
    DEFECTS. A scene without an object in the slot stays clean, with an empty mask.
    """

    images: np.ndarray
    clean: np.ndarray
    masks: np.ndarray
    kind: np.ndarray


def plant_defects(scenes: Scenes, kind: str | None = None, slot: int = 0, size: int | None = None, seed: int = 0) -> Defective:
    """Damage the object in `slot` of every scene.

    Args:
        kind: one of DEFECTS; None draws one for each scene.

    Raises: ClipkitError for an unknown kind.
    """
    if kind is not None and kind not in DEFECTS:
        raise unknown("defect", kind, DEFECTS)
    drawn = render(scenes, size, masks=True)
    behind = render(without(scenes, slot), size).images
    images, kinds = drawn.images.copy(), np.zeros(len(scenes), np.int64)
    for i in range(len(scenes)):
        rng = scene_stream(scenes, i, seed, "defect")
        draw = int(rng.random() * len(DEFECTS))
        kinds[i] = draw if kind is None else DEFECTS.index(kind)
        mask = drawn.instances[i] == slot + 1
        if mask.any():
            parts = np.where(mask, drawn.parts[i], 0)
            _PLANT[DEFECTS[kinds[i]]](images[i], mask, parts, behind[i], rng)
    return Defective(images, drawn.images, (images != drawn.images).any(axis=-1), kinds)


# -- each works in place on one picture (S, S, 3) ---------------------------------------------------
def _scratch(image: np.ndarray, mask: np.ndarray, parts: np.ndarray, behind: np.ndarray, rng: np.random.Generator) -> None:
    """A thin crooked line across the object, light on dark objects and dark on light ones."""
    y0, x0, y1, x1 = _box(mask)
    side = max(y1 - y0, x1 - x0)
    inner = np.argwhere(mask)
    cy, cx = inner[int(rng.random() * len(inner))]
    reach, tilt = side * (0.2 + 0.2 * rng.random()), rng.random() - 0.5
    dx, dy = (reach, reach * 2 * tilt) if rng.random() < 0.5 else (reach * 2 * tilt, reach)
    bend = side * 0.08 * (rng.random() - 0.5)
    line = [(cx - dx, cy - dy), (cx + bend, cy - bend), (cx + dx, cy + dy)]
    cover = _painted(len(mask), lambda pen: pen.line(_scaled(line), fill=255, width=max(3, round(SUPERSAMPLE * max(0.7, side / 28)))))
    bright = image[mask].astype(np.int64).sum() > 3 * 128 * mask.sum()
    _blend(image, cover, mask, (40, 36, 40) if bright else (240, 240, 240))


def _stain(image: np.ndarray, mask: np.ndarray, parts: np.ndarray, behind: np.ndarray, rng: np.random.Generator) -> None:
    """A blot of a few overlapping discs, three quarters opaque; brown, or pale on a brown or dark object."""
    y0, x0, y1, x1 = _box(mask)
    side = max(y1 - y0, x1 - x0)
    inner = np.argwhere(mask)
    cy, cx = inner[int(rng.random() * len(inner))]
    discs = []
    for _ in range(4):
        r = side * (0.07 + 0.06 * rng.random())
        y, x = cy + side * 0.14 * (rng.random() - 0.5), cx + side * 0.14 * (rng.random() - 0.5)
        discs.append(_scaled([(x - r, y - r), (x + r, y + r)]))
    cover = _painted(len(mask), lambda pen: [pen.ellipse(d, fill=192) for d in discs])
    mean = image[mask].astype(np.int64).sum(axis=0) // mask.sum()
    _blend(image, cover, mask, STAIN if abs(mean - np.array(STAIN)).sum() > 120 else (226, 214, 176))


def _missing(image: np.ndarray, mask: np.ndarray, parts: np.ndarray, behind: np.ndarray, rng: np.random.Generator) -> None:
    """One part (5 to 45 % of the object) is gone, or a bite out of the rim where no part is of that size."""
    area = mask.sum()
    parts = _spread(parts, mask)
    sizes = np.bincount(parts.ravel(), minlength=2)
    fitting = [p for p in range(1, len(sizes)) if 0.05 * area <= sizes[p] <= 0.45 * area]
    if fitting:
        gone = parts == fitting[int(rng.random() * len(fitting))]
    else:
        y0, x0, y1, x1 = _box(mask)
        rim = np.argwhere(mask & ~binary_erosion(mask, AROUND, border_value=1))
        cy, cx = rim[int(rng.random() * len(rim))]
        y, x = np.mgrid[: len(mask), : len(mask)]
        gone = mask & ((y - cy) ** 2 + (x - cx) ** 2 <= (max(y1 - y0, x1 - x0) * 0.28) ** 2)
    left = mask & ~gone
    # The soft edge of what is gone goes with it; the soft edge of what is left stays.
    fringe = binary_dilation(gone, AROUND) & ~mask & ~binary_dilation(left, AROUND)
    gone = gone | fringe
    image[gone] = behind[gone]


_PLANT = {"scratch": _scratch, "stain": _stain, "missing part": _missing}


# -- inside -------------------------------------------------------------------------------------
def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _scaled(points) -> list[tuple[float, float]]:
    """Pixel centres to the supersampled canvas."""
    return [(float((x + 0.5) * SUPERSAMPLE), float((y + 0.5) * SUPERSAMPLE)) for x, y in points]


def _painted(size: int, draw) -> np.ndarray:
    """Cover (size, size) int64, 0..255, of what `draw(pen)` paints."""
    canvas = Image.new("L", (size * SUPERSAMPLE, size * SUPERSAMPLE))
    draw(ImageDraw.Draw(canvas))
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX), dtype=np.int64)


def _blend(image: np.ndarray, cover: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Mix a colour into the object, never beside it."""
    cover = np.where(mask, cover, 0)[..., None]
    image[...] = (image * (255 - cover) + np.array(colour) * cover + 127) // 255


def _spread(parts: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give each contour pixel of the object, which has no part of its own, the part next to it."""
    parts = parts.copy()
    while (empty := mask & (parts == 0)).any():
        wide = np.pad(parts, 1)
        h, w = parts.shape
        near = np.zeros_like(parts)
        for a, b in ((0, 1), (1, 0), (1, 2), (2, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
            near = np.where(near == 0, wide[a : a + h, b : b + w], near)
        if not near[empty].any():
            break  # an island of contour that touches no part
        parts[empty] = near[empty]
    return parts
