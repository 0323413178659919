"""Drawing styles: what the same scene looks like as a sketch, in pastel, as pixel art, as a blueprint …"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from clipkit.world.taxonomy import STYLES

LINE_STYLES = np.array([STYLES.index("sketch"), STYLES.index("blueprint")])
_PAPER = np.array([250, 247, 240], np.uint16)
_BLUE = np.array([28, 62, 140], np.int32)


def ground(pixels: np.ndarray) -> np.ndarray:
    """The background of a line drawing: (S, S, 3) uint8 to a pale wash of itself on paper, uint16."""
    return (pixels.astype(np.uint16) * 3 + _PAPER * 7) // 10


@lru_cache(maxsize=256)
def _light(height: int, width: int) -> np.ndarray:
    """(h, w, 1) int16 from +44 at the upper left to -60 at the lower right."""
    y, x = np.mgrid[:height, :width]
    t = (x + 1) * 52 // (width + 1) + (y + 1) * 52 // (height + 1)
    return (44 - t).astype(np.int16)[..., None]


def shade(paint: np.ndarray) -> np.ndarray:
    """Soft light on a sprite's premultiplied colour (h, w, 3) uint16."""
    light = _light(*paint.shape[:2])
    return np.clip(paint.astype(np.int16) + light * (paint.max(2, keepdims=True) > 60), 0, 255).astype(np.uint16)


def finish(images: np.ndarray, style: np.ndarray) -> None:
    """Apply, in place, what a style does to the whole picture. images uint8 (N, S, S, 3), style (N,) indices."""
    for name, function in _WHOLE.items():
        rows = style == STYLES.index(name)
        if rows.any():
            images[rows] = function(images[rows])


def _pixel(images: np.ndarray) -> np.ndarray:
    n, s = images.shape[:2]
    block = max(2, s // 22)
    cut = s - s % block
    small = images[:, :cut, :cut].reshape(n, cut // block, block, cut // block, block, 3).astype(np.uint32).sum((2, 4)) // block**2
    small = (small // 32 * 32 + 16).astype(np.uint8)  # few colours, as old machines had
    big = small.repeat(block, 1).repeat(block, 2)
    return np.pad(big, ((0, 0), (0, s - cut), (0, s - cut), (0, 0)), mode="edge")


def _pastel(images: np.ndarray) -> np.ndarray:
    return ((images.astype(np.uint16) * 45 + np.array([255, 250, 244], np.uint16) * 55) // 100).astype(np.uint8)


def _negative(images: np.ndarray) -> np.ndarray:
    return 255 - images


def _blueprint(images: np.ndarray) -> np.ndarray:
    luma = (images.astype(np.int32) @ np.array([77, 151, 28])) >> 8  # (N, S, S)
    ink = np.clip((232 - luma) * 2, 0, 255)[..., None]
    return (_BLUE + (255 - _BLUE) * ink // 255).astype(np.uint8)


_WHOLE = {"pixel": _pixel, "pastel": _pastel, "negative": _negative, "blueprint": _blueprint}
