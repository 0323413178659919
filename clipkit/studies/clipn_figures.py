"""Scores of known and unknown pictures: outlines of their histograms, and two numbers a picture against the diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "x", "+", "s", "^", "D")


def score_outlines(axes: Axes, scores: Mapping[str, Sequence[float]], bins: int = 24) -> None:
    """One outline a kind of picture, each of area 1, over the same bins; the first kind (the known) stands out.

    Raises ClipkitError: no kind, more than six, a kind without scores.
    """
    values = _checked(scores)
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    for i, ((kind, row), line) in enumerate(zip(values.items(), LINES, strict=False)):
        look = {"linewidth": 1.6} if i else {"color": "black", "linewidth": 2.6}
        axes.stairs(np.histogram(row, edges, density=True)[0], edges, linestyle=line, label=kind, **look)
    axes.set_yticks([])


def against_diagonal(axes: Axes, points: Mapping[str, tuple[Sequence[float], Sequence[float]]], most: int = 120) -> None:
    """The first `most` points (x, y) of each kind, with a line where x = y. Raises ClipkitError as `score_outlines`."""
    _checked({kind: x for kind, (x, _) in points.items()})
    for (kind, (x, y)), marker in zip(points.items(), MARKERS, strict=False):
        axes.plot(np.asarray(x)[:most], np.asarray(y)[:most], marker, markersize=5, alpha=0.7, fillstyle="none", linestyle="", label=kind)
    ends = axes.get_xlim()
    axes.plot(ends, ends, color="black", linewidth=1)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _checked(scores: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    values = {kind: np.asarray(row, dtype=float).ravel() for kind, row in scores.items()}
    if not 1 <= len(values) <= len(LINES) or not all(map(len, values.values())):
        raise ClipkitError(f"one to {len(LINES)} kinds of pictures with scores are drawn, got { ({k: len(v) for k, v in values.items()}) }")
    return values
