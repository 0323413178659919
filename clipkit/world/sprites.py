"""From drawings to sprites: rasterised once, cropped, reduced to each side in pixels, kept for the next process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
import zlib
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from clipkit.paths import PACKAGE, cache_dir, write_atomically
from clipkit.world.artwork import draw_shapes
from clipkit.world.rasterizer import INK, Pen
from clipkit.world.taxonomy import CATEGORIES

MASTER = 192  # pixels of the drawing a sprite is reduced from
PALE = (232, 232, 238)  # contour of black objects, so that they show on the night sky


class Sprite(NamedTuple):
    """Premultiplied layers, (h, w) with max(h, w) the side: pixel = background * (255 - alpha) / 255 + weight * colour + fixed."""

    weight: np.ndarray  # uint16, 0..255
    fixed: np.ndarray  # uint16 (h, w, 3)
    clear: np.ndarray  # uint16 (h, w, 1), 255 - alpha
    solid: np.ndarray  # bool, belongs to the mask
    part: np.ndarray  # uint8, 0 none


@cache
def _art_hash() -> str:
    digest = hashlib.sha256(str(MASTER).encode())
    for name in ("rasterizer.py", "artwork.py", "drawings.json", "sprites.py"):
        digest.update((PACKAGE / "world" / name).read_bytes())
    return digest.hexdigest()[:16]


@cache
def _master(category: int, mode: str, angle: int, pale: bool) -> tuple[Image.Image, ...]:
    """The drawing at full size, cropped to its ink: (weight L, fixed RGB, alpha L, part L). Kept on disk between processes."""
    store = None
    try:
        store = cache_dir("world") / _art_hash() / f"{CATEGORIES[category]}-{mode}-{angle}-{int(pale)}.npz"
        with np.load(store) as saved:
            return tuple(Image.fromarray(saved[k]) for k in ("weight", "fixed", "alpha", "part"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):  # not there, or damaged: draw it
        pass
    pen = Pen(MASTER, angle=float(angle), mode=mode)
    draw_shapes(pen, CATEGORIES[category])
    weight, fixed, alpha, part = pen.finish(rim=PALE if pale else INK)
    ys, xs = np.nonzero(alpha)
    window = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
    layers = {"weight": weight[window], "fixed": fixed[window], "alpha": alpha[window], "part": part[window]}
    if store is not None:
        _keep(store, layers)
    return tuple(Image.fromarray(v) for v in layers.values())


def _keep(store: Path, layers: dict[str, np.ndarray]) -> None:
    """A full or read-only disk only costs the next process some drawing."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **layers)
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(store, buffer.getvalue())


@lru_cache(maxsize=16384)
def sprite(category: int, mode: str, angle: int, flip: bool, side: int, pale: bool = False) -> Sprite:
    """The sprite whose longer visible side is `side` pixels. mode: "fill" or "line"."""
    weight, fixed, alpha, part = _master(category, mode, angle, pale)
    longest = max(alpha.size)
    size = tuple(max(1, round(side * s / longest)) for s in alpha.size)
    reduce = Image.Resampling.BOX  # integer arithmetic on 8-bit images: the same everywhere
    layers = [np.asarray(i.resize(size, reduce)) for i in (weight, fixed, alpha)] + [
        np.asarray(part.resize(size, Image.Resampling.NEAREST))
    ]
    w, f, a, p = (np.ascontiguousarray(v[:, ::-1]) if flip else v for v in layers)
    solid = a > 127
    return Sprite(
        w.astype(np.uint16), f.astype(np.uint16), (255 - a.astype(np.uint16))[..., None], solid, np.where(solid, p, 0).astype(np.uint8)
    )


@lru_cache(maxsize=4096)
def texture(kind: int, height: int, width: int) -> np.ndarray | None:
    """(h, w) bool: where a striped (1), dotted (2) or checkered (3) object takes its second colour; None for plain."""
    if kind == 0:
        return None
    y, x = np.mgrid[:height, :width]
    step = max(2, round(max(height, width) / 7))
    if kind == 1:
        return (x + y) // step % 2 == 0
    if kind == 2:
        period, radius = 2 * step, 0.5 * step + 0.3
        u, v = x % period - step + 0.5, (y + (x // period % 2) * step) % period - step + 0.5
        return u * u + v * v <= radius * radius
    return (x // step + y // step) % 2 == 0
