"""Points of several methods with a straight line through each method's cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.palette import label, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def scatter_lines(axes: Axes, points: Mapping[str, Sequence[object]], ends: tuple[float, float] = (0.0, 100.0)) -> dict[str, float]:
    """Draw the points of each method, hollow and filled in turn, its least-squares line from `ends[0]` to `ends[1]`, a zero line
    and a legend.

    Arguments:
        points: method -> (x, y), each (N,) with N at least 2.

    Returns method -> slope of its line. Raises ClipkitError for fewer than two points, or all x the same.
    """
    slopes = {}
    for i, ((name, (x, y)), look) in enumerate(zip(points.items(), looks(points).values(), strict=True)):
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        if len(x) < 2 or np.ptp(x) == 0:
            raise ClipkitError(f"a line through the points of {label(name)} needs two different x; got {len(x)} points")
        line = np.polyfit(x, y, 1)
        face = look.colour if i % 2 else "none"
        axes.plot(x, y, look.marker, color=look.colour, markerfacecolor=face, alpha=0.5, markersize=5)
        axes.plot(ends, np.polyval(line, ends), color=look.colour, linestyle=look.line, linewidth=2.2, label=label(name))
        slopes[name] = float(line[0])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.legend()
    return slopes
