"""Points of several methods with a straight line through each method's cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.palette import label, looks
from clipkit.notices import notice

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def scatter_lines(axes: Axes, points: Mapping[str, Sequence[object]], ends: tuple[float, float] = (0.0, 100.0)) -> dict[str, float]:
    """Draw the points of each method, hollow and filled in turn, its least-squares line from `ends[0]` to `ends[1]`, a zero line
    and a legend.

    Arguments:
        points: method -> (x, y), each (N,) with N at least 1.

    Returns method -> slope of its line. Where all x are the same (one point, or a method that is always right) no line is
    determined: the points stand without one, the slope is 0 and a notice says so. Raises ClipkitError for no points.
    """
    slopes = {}
    for i, ((name, (x, y)), look) in enumerate(zip(points.items(), looks(points).values(), strict=True)):
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        if not len(x):
            raise ClipkitError(f"{label(name)} has no points to draw; leave it out")
        lies = np.ptp(x) > 0
        face = look.colour if i % 2 else "none"
        points_label = None if lies else label(name)
        axes.plot(x, y, look.marker, color=look.colour, markerfacecolor=face, alpha=0.5, markersize=5, label=points_label)
        if lies:
            line = np.polyfit(x, y, 1)
            axes.plot(ends, np.polyval(line, ends), color=look.colour, linestyle=look.line, linewidth=2.2, label=label(name))
        else:
            notice(f"{label(name)}: all {len(x)} points lie at {x[0]:.4g}, so there is no line through them and its slope is given as 0")
        slopes[name] = float(line[0]) if lies else 0.0
    axes.axhline(0, color="black", linewidth=0.8)
    axes.legend()
    return slopes
