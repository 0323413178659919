"""Pictures one under the other, beside each what is said of it under headings, and whether that is true."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.figures import figure

Said = Sequence[tuple[str, bool | None]]  # texts, each true, false, or not judged
MARKS = {
    True: ("✓ ", "black", " (true)"),
    False: ("✗ ", "#B03A00", " (wrong)"),
    None: ("", "black", ""),
}  # mark, colour, words of the alt text


def sheet(images: Sequence[np.ndarray], said: Sequence[Mapping[str, Said]], title: str = "", width: int = 44) -> None:
    """One row a picture; beside it, under each heading, its texts with ✓ where true and ✗ where wrong.

    Args:
        images: N of (H, W, 3) uint8. said: for each picture heading -> [(text, True, False or None)]; the alternative text is made of them.
        width: letters a line.

    Raises ClipkitError for no picture, another number of pictures than of texts, or a picture without a heading.
    """
    if not len(images) or len(images) != len(said) or not all(said):
        raise ClipkitError(f"{len(images)} pictures, texts for {len(said)}: give at least one picture, and a heading with texts for each")
    blocks = [_lines(row, width) for row in said]
    heights = [max(6, len(lines)) for lines in blocks]
    parts = [
        "; ".join(f"{heading}: {', '.join(text + MARKS[holds][2] for text, holds in texts) or 'nothing'}" for heading, texts in row.items())
        for row in said
    ]
    alt = ". ".join(f"Picture {number}: {part}" if len(parts) > 1 else f"A picture. {part}" for number, part in enumerate(parts, 1)) + "."
    size = (6.4, 0.4 + 0.2 * sum(heights) + 0.12 * len(blocks))
    options = {"rows": len(blocks), "columns": 2, "width_ratios": (1, 2.2), "height_ratios": heights, "squeeze": False}
    with figure(alt=alt, title=title, size=size, **options) as axes:
        for (left, right), image, lines, height in zip(axes, images, blocks, heights, strict=True):
            left.imshow(np.asarray(image), interpolation="nearest")
            left.set_anchor("N")
            for one in (left, right):
                one.axis("off")
            for row, (text, colour, weight) in enumerate(lines):
                at = (0, 1 - row / height)
                right.text(*at, text, va="top", fontsize=11, color=colour, fontweight=weight, transform=right.transAxes)


def _lines(row: Mapping[str, Said], width: int) -> list[tuple[str, str, str]]:
    """(text, colour, weight) of every line beside one picture."""
    lines = []
    for heading, texts in row.items():
        lines.append((heading, "black", "bold"))
        for text, holds in texts:
            mark, colour, _ = MARKS[holds]
            wrapped = textwrap.wrap(mark + text, width, subsequent_indent=" " * 3 * bool(mark)) or ["(nothing)"]
            lines += [(line, colour, "normal") for line in wrapped]
    return lines
