"""A forest plot: labelled intervals, one under the other, against marks such as 0 and δ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.palette import BLUE, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def forest(
    axes: Axes,
    rows: Mapping[str, tuple[float, float, float]],
    marks: Mapping[float, str] | None = None,
    notes: Sequence[str] | None = None,
    points: Sequence[float] | None = None,
) -> None:
    """Draw one interval a row, the first on top.

    Arguments:
        axes: where to draw.
        rows: label -> (estimate, low, high).
        marks: place -> what stands there ("0", "δ"); a vertical line each, solid at 0 and dashed elsewhere.
        notes: a word for each row, written at the right, outside the axes.
        points: single values (the seeds'), drawn as dots above the first interval.

    Raises ClipkitError: no rows, an estimate outside its interval, NaN, notes of another number.
    """
    if not rows:
        raise ClipkitError("a forest plot needs at least one interval")
    if notes is not None and len(notes) != len(rows):
        raise ClipkitError(f"{len(rows)} intervals but {len(notes)} notes: give one for each")
    for label, (mean, low, high) in rows.items():
        if not low <= mean <= high:  # NaN fails too
            raise ClipkitError(f"interval {label!r}: {low} <= {mean} <= {high} does not hold; give (estimate, low, high)")
    marks = dict(marks or {0.0: "0"})
    for place, name in marks.items():
        axes.axvline(place, color=GREY, linestyle="-" if place == 0 else "--", linewidth=1.4, zorder=0)
        axes.annotate(name, (place, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", color=GREY)
    for row, (mean, low, high) in enumerate(rows.values()):
        axes.plot([low, high], [row, row], color="black", linewidth=2.5, solid_capstyle="butt")
        axes.plot(mean, row, "o", color="black")
    top = -0.6
    if points is not None:
        axes.plot(points, np.full(len(points), -0.4), "|", color=BLUE, markersize=10, markeredgewidth=1.8)
        top = -0.9
    if notes is not None:
        for row, note in enumerate(notes):
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(note, (1, row), (6, 0), **place, va="center", fontweight="bold", annotation_clip=False)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.4, top)
    axes.grid(axis="y", visible=False)
