"""Scenes to pixels and masks: sprites over backgrounds, back to front, in integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.world.backgrounds import VARIANTS, background
from clipkit.world.scene import Scenes
from clipkit.world.spec import RESOLUTIONS
from clipkit.world.sprites import sprite, texture
from clipkit.world.styles import LINE_STYLES, finish, ground, shade
from clipkit.world.taxonomy import COLOURS, STYLES

_PALETTE = np.array(list(COLOURS.values()), np.uint16)
_BLACK = tuple(COLOURS).index("black")
# Second colour of a texture: white, or dark grey on colours that are nearly white already.
_SECOND = np.where(_PALETTE.min(1, keepdims=True) > 200, np.uint16(95), np.uint16(250)) * np.ones((1, 3), np.uint16)
_SHADED = STYLES.index("shaded")


@dataclass
class Rendered:
    """Pictures and, when asked for, their truth.

    images uint8 (N, S, S, 3); instances uint8 (N, S, S), 0 or slot + 1; boxes float32 (N, K, 4), x0 y0 x1 y1 in
    pixels of the visible part, NaN without one; amodal float32 (N, K, 4), the same for the whole object; stuff uint8
    (N, S, S), index into STUFF; parts uint8 (N, S, S), 0 or 1 + index into the parts that the category's drawing names (`Pen.parts`).
    """

    images: np.ndarray
    instances: np.ndarray | None = None
    boxes: np.ndarray | None = None
    amodal: np.ndarray | None = None
    stuff: np.ndarray | None = None
    parts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


def sides(size: int) -> np.ndarray:
    """Sides in pixels a sprite may have on a canvas of `size`: all small ones, then steps of about 8 %."""
    out = list(range(3, 13))
    while out[-1] < size:
        out.append(out[-1] + max(1, round(out[-1] * 0.08)))
    return np.array(out)


def render(scenes: Scenes, size: int | None = None, masks: bool = False, n_jobs: int = 1) -> Rendered:
    """Draw scenes.

    Args:
        size: canvas side in pixels, 8 to 256 (default 32). masks: also fill in the truth.
        n_jobs: processes; the bytes are the same for any number.

    Raises: ClipkitError for an impossible size.
    """
    size = 32 if size is None else size
    if not RESOLUTIONS[0] <= size <= RESOLUTIONS[1]:
        raise ClipkitError(f"size must lie in {RESOLUTIONS[0]}..{RESOLUTIONS[1]} pixels, got {size}")
    if n_jobs != 1 and len(scenes) > 512:
        from joblib import Parallel, cpu_count, delayed

        workers = cpu_count() if n_jobs < 0 else n_jobs
        edges = np.linspace(0, len(scenes), workers + 1).astype(int)
        parts = Parallel(workers)(delayed(_render)(scenes[a:b], size, masks) for a, b in zip(edges, edges[1:], strict=False))
        names = ("images", "instances", "boxes", "amodal", "stuff", "parts") if masks else ("images",)
        return Rendered(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})
    return _render(scenes, size, masks)


def _render(scenes: Scenes, size: int, masks: bool) -> Rendered:
    n, K = scenes.category.shape
    images = np.empty((n, size, size, 3), np.uint8)
    out = Rendered(images)
    if masks:
        out.instances, out.stuff, out.parts = (np.zeros((n, size, size), np.uint8) for _ in range(3))
        out.amodal = np.full((n, K, 4), np.nan, np.float32)
    variant = (scenes.seed % np.uint64(VARIANTS)).astype(int)
    steps = sides(size)
    side = steps[np.abs(scenes.scale[..., None] * size - steps).argmin(-1)]
    order = np.where(scenes.category >= 0, scenes.depth, 32767).argsort(1, kind="stable")
    lined = np.isin(scenes.style, LINE_STYLES)
    for i in range(n):
        pixels, stuff = background(int(scenes.background[i]), int(variant[i]), size)
        canvas = ground(pixels) if lined[i] else pixels.astype(np.uint16)
        if masks:
            out.stuff[i] = stuff
        shaded = scenes.style[i] == _SHADED
        for k in order[i]:
            category = int(scenes.category[i, k])
            if category < 0:
                break
            colour = int(scenes.colour[i, k])
            s = sprite(
                category,
                "line" if lined[i] else "fill",
                int(scenes.angle[i, k]),
                bool(scenes.flip[i, k]),
                int(side[i, k]),
                colour == _BLACK,
            )
            h, w = s.weight.shape
            y0, x0 = round(float(scenes.y[i, k]) * size - h / 2), round(float(scenes.x[i, k]) * size - w / 2)
            ys, xs = slice(max(y0, 0), min(y0 + h, size)), slice(max(x0, 0), min(x0 + w, size))
            if ys.stop <= ys.start or xs.stop <= xs.start:
                continue
            inner = slice(ys.start - y0, ys.stop - y0), slice(xs.start - x0, xs.stop - x0)
            paint = _paint(s, colour, int(scenes.texture[i, k]), shaded)[inner]
            region = canvas[ys, xs]
            canvas[ys, xs] = np.minimum((region * s.clear[inner] + 127) // 255 + paint, 255)
            if masks:
                solid = s.solid[inner]
                out.instances[i, ys, xs][solid] = k + 1
                out.parts[i, ys, xs][solid] = s.part[inner][solid]
                out.amodal[i, k] = _box(s.solid, x0, y0)
        images[i] = canvas
    finish(images, scenes.style)
    if masks:
        out.boxes = _visible_boxes(out.instances, K)
    return out


def _paint(s, colour: int, kind: int, shaded: bool) -> np.ndarray:
    """Premultiplied colour (h, w, 3) uint16 of a sprite."""
    pattern = texture(kind, *s.weight.shape)
    if pattern is None:
        tone = _PALETTE[colour]
    else:
        tone = np.where(pattern[..., None], (_PALETTE[colour] * 4 + _SECOND[colour] * 6) // 10, _PALETTE[colour])
    paint = (s.weight[..., None] * tone + 127) // 255 + s.fixed
    return shade(paint) if shaded else paint


def _box(solid: np.ndarray, x0: int, y0: int) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(solid.any(1))[0], np.nonzero(solid.any(0))[0]
    if not len(rows):
        return (np.nan,) * 4
    return (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1)


def _visible_boxes(instances: np.ndarray, K: int) -> np.ndarray:
    """Tight boxes of what can be seen of each slot."""
    boxes = np.full((len(instances), K, 4), np.nan, np.float32)
    size = instances.shape[1]
    for k in range(int(instances.max(initial=0))):
        seen = instances == k + 1
        rows, columns = seen.any(2), seen.any(1)  # (N, S)
        found = rows.any(1)
        box = np.stack([columns.argmax(1), rows.argmax(1), size - columns[:, ::-1].argmax(1), size - rows[:, ::-1].argmax(1)], 1)
        boxes[found, k] = box[found]
    return boxes
