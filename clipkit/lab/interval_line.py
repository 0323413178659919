"""An interval as a small line: 0 in the middle, δ always in the same place, so that lines below one another compare."""

from __future__ import annotations

from dataclasses import dataclass

from clipkit.lab.claim_words import decimals
from clipkit.lab.tables import number
from clipkit.registry.outcomes import Row

WIDTH, REACH = 240, 6  # pixels; margins that are shown to each side of 0
BOUNDS = {"no_worse": (-1,), "equivalent": (-1, 1)}  # in margins; every other kind asks about +δ


@dataclass(frozen=True)
class Line:
    """Where the marks of a row's line stand, in pixels from the left.

    Attributes:
        zero: where 0 is.
        bounds: (place, "δ" or "−δ") of the margins that the kind asks about.
        low, high: ends of the interval, cut at the ends of the line; None with too few seeds for one.
        estimate: its centre; None when it lies off the line.
        left, right: whether the interval (or a lone estimate) goes on beyond that end.
        mark: the estimate of the run at hand, if there is one, cut likewise.
        words: the same in words, for those who cannot see it.
    """

    zero: float
    bounds: tuple[tuple[float, str], ...]
    low: float | None
    high: float | None
    estimate: float | None
    left: bool
    right: bool
    mark: float | None
    words: str


def line(row: Row, live: Row | None = None) -> Line | None:
    """The line of a measured row; None where nothing was measured.

    Arguments:
        live: the run at hand on the same model and data, drawn as a mark.
    """
    if row.estimate is None:
        return None
    ends = (row.estimate, row.estimate) if row.low is None else (row.low, row.high)
    digits = decimals(row.margin)

    def said(value: float) -> str:
        return number(value, digits, True)

    bounds = BOUNDS.get(row.kind, (1,))
    names = {1: "δ", -1: "\N{MINUS SIGN}δ"}
    words = f"Estimate {said(row.estimate)} {row.unit}"
    words += "" if row.low is None else f", 95 % interval {said(row.low)} to {said(row.high)}"
    words += f"; marked are 0 and {' and '.join(f'{names[bound]} = {said(bound * row.margin)}' for bound in bounds)}"
    words += f"; this run {said(live.estimate)}" if live else ""
    shown = abs(row.estimate) <= REACH * row.margin
    return Line(
        zero=_place(0, row.margin),
        bounds=tuple((_place(bound * row.margin, row.margin), names[bound]) for bound in bounds),
        low=None if row.low is None else _place(row.low, row.margin),
        high=None if row.low is None else _place(row.high, row.margin),
        estimate=_place(row.estimate, row.margin) if shown else None,
        left=ends[0] < -REACH * row.margin,
        right=ends[1] > REACH * row.margin,
        mark=_place(live.estimate, row.margin) if live else None,
        words=words if shown else words + f"; it lies beyond the {REACH} δ that are drawn",
    )


def _place(value: float, margin: float) -> float:
    """Pixels from the left of a value; beyond the reach the end of the line (12 pixels are left for the arrow)."""
    cut = max(-REACH, min(REACH, value / margin))
    return round(WIDTH / 2 + cut * (WIDTH / 2 - 12) / REACH, 1)
