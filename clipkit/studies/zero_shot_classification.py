"""The reliability diagram: hit rate against confidence, bin by bin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = (("--", "s", "#D55E00"), ("-", "o", "#0072B2"), (":", "^", "#009E73"))  # told apart without colour too


def reliability_diagram(axes: Axes, curves: Mapping[str, tuple], least: float = 0.01) -> None:
    """Draw the diagonal and a line for each entry; the area of a point is its bin's share of the pictures.

    Arguments:
        axes: where to draw.
        curves: name -> (confidence, accuracy, share), each of shape (bins,) in 0..1, as `clipkit.robust.calibration.reliability`
            gives them. At most three.
        least: bins with a smaller share are left out: the hit rate of three pictures says nothing. Empty ones always are.

    Raises ClipkitError: no entry, more than three, or values outside 0..1.
    """
    if not 1 <= len(curves) <= len(_LOOKS):
        raise ClipkitError(f"a reliability diagram shows one to {len(_LOOKS)} models, got {len(curves)}")
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=1.2, zorder=1)
    for (name, values), (line, marker, colour) in zip(curves.items(), _LOOKS, strict=False):
        confidence, hit, share = (np.asarray(v, dtype=float) for v in values)
        if not all(((v >= 0) & (v <= 1 + 1e-9)).all() for v in (confidence, hit, share)):
            raise ClipkitError(f"reliability of {name!r}: confidence, accuracy and share must lie in 0..1")
        at = (share >= least) & (share > 0)
        axes.plot(100 * confidence[at], 100 * hit[at], line, color=colour, marker=marker, markersize=5, label=name)
        axes.scatter(100 * confidence[at], 100 * hit[at], s=700 * share[at], marker=marker, color=colour, alpha=0.35, linewidths=0)
    axes.set(xlabel="confidence, %", ylabel="hit rate, %", xlim=(0, 103), ylim=(0, 103))
    axes.legend(loc="best")
