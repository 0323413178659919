"""Pictures one under the other, beside each what several captioners say of it, and what is wrong with that."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.figures import figure

WRONG = "#B03A00"


def caption_sheet(
    images: Sequence[np.ndarray], captions: Sequence[Mapping[str, tuple[str, Sequence[str]]]], title: str = "", width: int = 44
) -> None:
    """One row a picture: its captions by captioner, each followed by its faults after a cross.

    Args:
        images: N of (H, W, 3) uint8. captions: for each picture captioner -> (caption, faults); the alternative text is made of them.
        width: letters a line.

    Raises: ClipkitError for no picture, or another number of captions.
    """
    if not len(images) or len(images) != len(captions):
        raise ClipkitError(f"{len(images)} pictures but captions for {len(captions)}: give at least one picture, and captions for each")
    blocks, told = [], []
    for number, row in enumerate(captions, 1):
        lines: list[tuple[str, str, str]] = []  # text, colour, weight
        for name, (text, faults) in row.items():
            lines.append((name, "black", "bold"))
            lines += [(line, "black", "normal") for line in textwrap.wrap(text, width) or ["(nothing)"]]
            if faults:
                lines += [(line, WRONG, "normal") for line in textwrap.wrap("✗ " + "; ".join(faults), width)]
        blocks.append(lines)
        said = "; ".join(f"{name}: {text}{' (wrong: ' + ', '.join(faults) + ')' if faults else ''}" for name, (text, faults) in row.items())
        told.append(f"Picture {number}: {said}")
    heights = [max(6, len(lines)) for lines in blocks]
    size = (6.4, 0.4 + 0.19 * sum(heights) + 0.12 * len(blocks))
    options = {"rows": len(blocks), "columns": 2, "width_ratios": (1, 2.3), "height_ratios": heights, "squeeze": False}
    with figure(alt=". ".join(told) + ".", title=title, size=size, **options) as axes:
        for (left, right), image, lines, height in zip(axes, images, blocks, heights, strict=True):
            left.imshow(np.asarray(image), interpolation="nearest")
            left.set_anchor("N")
            for one in (left, right):
                one.axis("off")
            for row, (text, colour, weight) in enumerate(lines):
                at = (0, 1 - row / height)
                right.text(*at, text, va="top", fontsize=11, color=colour, fontweight=weight, transform=right.transAxes)
