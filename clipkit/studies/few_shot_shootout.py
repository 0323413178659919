"""The page few_shot_shootout: its own picture; the methods are a room's (`clipkit.adapt.shootout`), the loop over them is the page's."""

from __future__ import annotations

from collections.abc import Mapping

from clipkit.errors import ClipkitError


def draw_dumbbells(axes, rows: Mapping[str, tuple[float, float]], xlabel: str = "accuracy, %") -> None:
    """An open dot for the first value of each row, a full one for the second, a line between them; first row at the bottom.

    Raises ClipkitError when there is no row.
    """
    if not rows:
        raise ClipkitError("dumbbells need at least one row of two values")
    for place, (first, second) in enumerate(rows.values()):
        axes.plot([first, second], [place, place], color="0.6", zorder=1)
        axes.plot(first, place, "o", color="black", markerfacecolor="white", markersize=9)
        axes.plot(second, place, "o", color="black", markersize=6)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel(xlabel)
