"""The world's page: its figure of what is counted beside what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clipkit import lab


def show_counts(
    by_rank: Mapping[str, tuple[np.ndarray, np.ndarray]],
    by_knob: Mapping[str, tuple[np.ndarray, np.ndarray]],
    knobs: Sequence[float],
    n: int,
) -> None:
    """Left: how often each of the C categories came in n scenes, by frequency rank; right: shares of objects by knob.

    Args: by_rank, by_knob: name -> counted and expected, (C,) from rank 1 on or one number for each of the knobs.
    """
    alt = "Counts against frequency rank beside two Zipf laws; shares at home and of typical colour against the knob. "
    with lab.figure(
        alt=alt + "Points follow the lines.", title="Counted (points) and expected (lines)", size=(6.4, 3.4), columns=2
    ) as both:
        for axes, xs, curves in zip(both, (None, knobs), (by_rank, by_knob), strict=True):
            for (name, (counted, expected)), marker, line in zip(curves.items(), "os", ("--", "-"), strict=True):
                x = np.arange(1, len(counted) + 1) if xs is None else xs
                axes.plot(x, counted, marker, markersize=4 if xs is None else 5, color="0.5")
                axes.plot(x, expected, line, color="black", label=name)
            axes.legend()
        both[0].set(xscale="log", yscale="log", xlabel="frequency rank", ylabel=f"times in {n} scenes")
        both[1].set(xlabel="bias of background, of colour", ylabel="share of objects")
