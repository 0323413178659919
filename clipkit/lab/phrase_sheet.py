"""A picture beside lists of phrases, each phrase marked as true or false where that is known."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.figures import figure

MARKS = {True: "✓ ", False: "✗ ", None: "· "}


def phrase_sheet(image: np.ndarray, lists: Mapping[str, Sequence[tuple[str, bool | None]]], title: str, width: int = 42) -> None:
    """Show a picture, and under each heading its phrases: ✓ true, ✗ false, · not known.

    Args:
        image: (H, W, 3) uint8. lists: heading -> (phrase, true or false or None); the alternative text is made of them.

    Raises: ClipkitError without any heading.
    """
    if not lists:
        raise ClipkitError("a phrase sheet needs at least one heading with phrases")
    rows: list[tuple[str, bool]] = []
    for heading, phrases in lists.items():
        rows.append((heading, True))
        for text, holds in phrases:
            wrapped = textwrap.wrap(text, width) or [""]
            rows += [(MARKS[holds] + wrapped[0], False), *((f"   {line}", False) for line in wrapped[1:])]
        rows.append(("", False))
    rows.pop()
    said = {True: " (true)", False: " (false)", None: ""}
    parts = [f"{heading}: {', '.join(text + said[holds] for text, holds in phrases) or 'none'}" for heading, phrases in lists.items()]
    told = "; ".join(parts)
    step = 1 / len(rows)
    size = (6.4, max(2.6, 0.5 + 0.215 * len(rows)))
    with figure(alt=f"A picture, and phrases for it. {told}.", title=title, size=size, columns=2, width_ratios=(1, 1.9)) as (left, right):
        left.imshow(np.asarray(image))
        for axes in (left, right):
            axes.axis("off")
        for row, (text, bold) in enumerate(rows):
            right.text(0, 1 - row * step, text, va="top", fontsize=12, fontweight="bold" if bold else "normal", transform=right.transAxes)
