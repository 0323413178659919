"""The verdict rule: when a claim holds, fails, or stays open. One function, the same on every page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from clipkit.errors import ClipkitError, unknown
from clipkit.registry.stats import Interval, finite, paired_bootstrap, t_interval

HOLDS, FAILS, OPEN, TOO_FEW = "holds", "fails", "inconclusive", "too few seeds"
VERDICTS = (HOLDS, FAILS, OPEN, TOO_FEW)
KINDS = ("better", "equivalent", "trend")
MIN_SEEDS = 5  # fewer give no verdict
BOOTSTRAP_SEEDS = 8  # fewer give Student's interval
SYMBOLS = {HOLDS: "✓", FAILS: "✗", OPEN: "≈", TOO_FEW: "…"}


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about one contrast.

    Attributes:
        estimate: mean of the values.
        low, high: 95 % interval of the mean; None with fewer than five seeds.
        n: number of seeds.
        verdict: "holds", "fails", "inconclusive" or "too few seeds".
        method: how the interval was made: "t", "bootstrap (expanded)", "no spread" or "none".
        kind, margin: what was asked.
    """

    estimate: float
    low: float | None
    high: float | None
    n: int
    verdict: str
    method: str
    kind: str
    margin: float

    def to_dict(self) -> dict:
        return asdict(self)


def interval(values: Sequence[float]) -> Interval | None:
    """95 % interval of the mean over seeds: none below five, Student's below eight, bootstrap from eight on."""
    values = finite(values, "values over seeds")
    if len(values) < MIN_SEEDS:
        return None
    return t_interval(values) if len(values) < BOOTSTRAP_SEEDS else paired_bootstrap(values)


def decide(estimate: float, low: float, high: float, kind: str, margin: float) -> str:
    """The rule itself. δ = margin is the smallest effect that would matter.

    better, trend: holds if low > 0 and estimate >= δ; fails if high < δ.
    equivalent:    holds if −δ < low and high < δ;     fails if low > δ or high < −δ.
    Anything else is inconclusive.
    """
    if kind == "equivalent":
        if -margin < low and high < margin:
            return HOLDS
        return FAILS if low > margin or high < -margin else OPEN
    if low > 0 and estimate >= margin:
        return HOLDS
    return FAILS if high < margin else OPEN


def judge(values: Sequence[float], kind: str, margin: float) -> Verdict:
    """Judge one contrast from its values, one for each seed (method minus baseline; larger = in the claim's favour).

    Arguments:
        values: n numbers in the claim's unit; for kind "trend" the slopes or rank correlations.
        kind: "better", "equivalent" or "trend" (judged as better).
        margin: δ > 0 in the same unit.

    Seeds that all give the same number leave an interval of no width; the rule is applied to it, and `method`
    says "no spread", because it often means that the seed does not reach the experiment.

    Raises ClipkitError: unknown kind, margin not above 0, no values, NaN or infinity among them.

    >>> judge([2.0, 2.5, 3.0, 2.0, 2.5], "better", 1.5).verdict
    'holds'
    """
    if kind not in KINDS:
        raise unknown("kind of claim", kind, KINDS)
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not 0 < margin < float("inf"):
        raise ClipkitError(f"margin {margin!r}: the smallest effect that would matter is a number above 0")
    values = finite(values, "values over seeds")
    found = interval(values)
    if found is None:
        return Verdict(float(values.mean()), None, None, len(values), TOO_FEW, "none", kind, float(margin))
    verdict = decide(found.estimate, found.low, found.high, kind, margin)
    return Verdict(found.estimate, found.low, found.high, found.n, verdict, found.method, kind, float(margin))
