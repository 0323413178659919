"""Contact sheets: many small images, each pixel a crisp square, a caption under each."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.figures import DPI, new_figure, put_title, show, style, title_lines

WIDTH = 704  # pixels of a page's figure


def image_grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    scale: int | None = None,
    alt: str | None = None,
    title: str = "",
    fontsize: float = 11,
) -> None:
    """Show images side by side, enlarged by a whole factor without smoothing.

    Arguments:
        images: (N, H, W, 3) or (N, H, W) uint8, or a list of arrays of one shape.
        titles: N captions, wrapped to their image's width.
        columns: images a row; default what fits the page at a comfortable size, at most eight.
        scale: screen pixels for each image pixel; default the largest that fits the page's width.
        alt: alternative text; default "images of: " and the captions.

    Raises ClipkitError: wrong shape or type, captions of another number, no image.
    """
    sheet, places = contact_sheet(images, titles, columns, scale, fontsize)
    if alt is None and titles is None:
        raise ClipkitError('image_grid needs titles=[...] or alt="what the pictures show"')
    described = alt or "Images of: " + "; ".join(titles)
    with style():
        height, width = sheet.shape[:2]
        across = max(width, WIDTH if title else 0) / DPI
        drawing = new_figure((across, height / DPI + 0.34 * len(title_lines(title, across))))
        drawing.set_layout_engine("none")
        drawing.figimage(sheet, 0, 0)
        full = drawing.get_size_inches() * DPI
        for text, (x, y) in places:
            drawing.text(x / full[0], (height - y) / full[1], text, fontsize=fontsize, ha="center", va="top", linespacing=1.05)
        if title:
            put_title(drawing, title, gap=0.05)
        show(drawing, described)


def contact_sheet(
    images: np.ndarray, titles: Sequence[str] | None = None, columns: int | None = None, scale: int | None = None, fontsize: float = 11
) -> tuple[np.ndarray, list[tuple[str, tuple[float, float]]]]:
    """The sheet without its text: (rows px, columns px, 3) uint8 on white, and [(caption, (x, y of its top centre))]."""
    images = _checked(images)
    n, h, w = images.shape[:3]
    if titles is not None and len(titles) != n:
        raise ClipkitError(f"{n} images but {len(titles)} titles: give one for each")
    columns = min(n, columns or min(8, max(1, WIDTH // max(w, 84))))
    if columns < 1:
        raise ClipkitError("columns must be at least 1")
    gap = 6
    scale = scale or max(1, (WIDTH // columns - gap) // w)
    letter = fontsize * 0.62 * DPI / 72  # width of a letter, pixels, a little more than the mean
    kept = [""] * n if titles is None else [str(t).replace(" %", "\N{NO-BREAK SPACE}%") for t in titles]  # no line begins with a %
    wrapped = [textwrap.fill(text, max(4, int(w * scale / letter))) for text in kept]
    line = fontsize * 1.25 * DPI / 72
    rows = math.ceil(n / columns)
    captions = [max(t.count("\n") + bool(t) for t in wrapped[r * columns : (r + 1) * columns]) for r in range(rows)]
    tops = np.cumsum([0] + [h * scale + gap + (math.ceil(line * lines) + 4 if lines else 0) for lines in captions])
    sheet = np.full((int(tops[-1]), columns * (w * scale + gap) - gap, 3), 255, np.uint8)
    places = []
    for i in range(n):
        y, x = int(tops[i // columns]), (i % columns) * (w * scale + gap)
        sheet[y : y + h * scale, x : x + w * scale] = images[i].repeat(scale, 0).repeat(scale, 1)
        if wrapped[i]:
            places.append((wrapped[i], (x + w * scale / 2, float(y + h * scale + 3))))
    return sheet, places


def _checked(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    try:
        array = np.asarray(images)
    except ValueError:
        raise ClipkitError("the images differ in shape; resize them to one shape first") from None
    if array.ndim == 3 and array.shape[0]:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 4 or array.shape[-1] != 3 or array.shape[0] == 0:
        raise ClipkitError(f"images of shape (N, H, W, 3) or (N, H, W) are needed, N at least 1; got {array.shape}")
    if array.dtype != np.uint8:
        raise ClipkitError(f"images must be uint8, 0 to 255; got {array.dtype}. Multiply by 255 and round if they lie in 0..1")
    return array
