"""The verdict rule: which word an interval gets. One function, the same on every page, and how often it errs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.registry.stats import Interval, finite_vector, student_half_width, t_interval

HOLDS, WEAKER, NO_EFFECT, REVERSED, OPEN = "holds", "weaker", "no effect", "reversed", "open"
ABOVE, BELOW = "above", "below"  # what an `equivalent` claim becomes when the two differ for certain
NOT_TESTABLE, NOT_RUN = "not testable here", "not run"
OUTCOMES = (HOLDS, WEAKER, NO_EFFECT, REVERSED, ABOVE, BELOW, OPEN, NOT_TESTABLE, NOT_RUN)
KINDS = ("better", "trend", "above", "no_worse", "no_better", "equivalent")
MIN_SEEDS = 5  # fewer give no verdict
SYMBOLS = {
    HOLDS: "✓",
    WEAKER: "↘",
    NO_EFFECT: "○",
    REVERSED: "⇄",
    ABOVE: "↑",
    BELOW: "↓",
    OPEN: "?",
    NOT_TESTABLE: "–",
    NOT_RUN: "·",
}
# From what refutes a claim most to what confirms it: a conjunction is refuted by one refuted part, whatever the rest.
WORST_FIRST = (REVERSED, BELOW, ABOVE, NO_EFFECT, WEAKER, NOT_TESTABLE, NOT_RUN, OPEN, HOLDS)


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about one contrast, before any gate.

    Attributes:
        estimate: mean of the values.
        low, high: 95 % interval of the mean; None with fewer than five seeds.
        n: number of seeds.
        verdict: one of `OUTCOMES`; "not run" with fewer than five seeds.
        method: how the interval was made: "t", "no spread" or "none".
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
    """Student's 95 % interval of the mean over seeds; None below five seeds."""
    values = finite_vector(values, "values over seeds")
    return t_interval(values) if len(values) >= MIN_SEEDS else None


def decide(estimate, low, high, kind: str, margin: float):
    """The rule itself, for one interval or for arrays of them. δ = margin is the smallest effect that would matter.

    better, trend, above   holds      estimate >= δ and low >= δ/2
                           reversed   high < 0
                           weaker     low > 0 and high < δ: there, and too small to matter
                           no effect  −δ < low <= 0 <= high < δ
    no_worse               holds      low > −δ;    reversed  high < −δ
    no_better              holds      high < δ;    reversed  low > δ
    equivalent             holds      −δ < low and high < δ;    above  low > δ;    below  high < −δ
    all                    open       otherwise

    δ/2 under `holds`: with low > 0 alone, half the margin passed in up to 8 % of runs (`operating_characteristics`).

    Arguments:
        estimate, low, high: numbers with low <= estimate <= high, or arrays that broadcast.
        kind: one of `KINDS`.
        margin: δ > 0.

    Returns:
        one of `OUTCOMES`, or an array of them.

    Raises ClipkitError: unknown kind, a margin not above 0, an estimate outside its interval or NaN.

    >>> decide(2.0, 0.6, 3.4, "better", 1.0), decide(2.0, 0.4, 3.6, "better", 1.0), decide(0.3, 0.1, 0.5, "better", 1.0)
    ('holds', 'open', 'weaker')
    """
    _check(kind, margin)
    mean, low, high = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (estimate, low, high)))
    if not ((low <= mean) & (mean <= high)).all():  # NaN fails too
        raise ClipkitError("an estimate lies between the ends of its interval, and all three are numbers")
    if kind == "no_worse":
        cases = {HOLDS: low > -margin, REVERSED: high < -margin}
    elif kind == "no_better":
        cases = {HOLDS: high < margin, REVERSED: low > margin}
    elif kind == "equivalent":
        cases = {HOLDS: (-margin < low) & (high < margin), ABOVE: low > margin, BELOW: high < -margin}
    else:
        cases = {
            HOLDS: (mean >= margin) & (low >= margin / 2),
            REVERSED: high < 0,
            WEAKER: (low > 0) & (high < margin),
            NO_EFFECT: (-margin < low) & (low <= 0) & (high >= 0) & (high < margin),
        }
    words = np.select(list(cases.values()), list(cases), default=OPEN)
    return words if words.ndim else str(words)


def _check(kind: str, margin: float) -> None:
    if kind not in KINDS:
        raise unknown("kind of claim", kind, KINDS)
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not 0 < margin < float("inf"):
        raise ClipkitError(f"margin {margin!r}: the smallest effect that would matter is a number above 0")


def judge(values: Sequence[float], kind: str, margin: float) -> Verdict:
    """Judge one contrast from its values, one for each seed (method minus baseline; larger = in the claim's favour).

    Arguments:
        values: n numbers in the claim's unit; for kind "trend" the slopes or rank correlations, for "above" the
            numbers minus the stated null.
        kind: one of `KINDS`.
        margin: δ > 0 in the same unit.

    Seeds that all give the same number leave an interval of no width, and `method` says "no spread": the gate of that
    name (`registry.gates`) then withholds the verdict.

    Raises ClipkitError: unknown kind, margin not above 0, no values, NaN or infinity among them.

    >>> judge([2.0, 2.5, 3.0, 2.0, 2.5], "better", 1.5).verdict
    'holds'
    """
    _check(kind, margin)
    values = finite_vector(values, "values over seeds")
    found = interval(values)
    if found is None:
        return Verdict(float(values.mean()), None, None, len(values), NOT_RUN, "none", kind, float(margin))
    word = decide(found.estimate, found.low, found.high, kind, margin)
    return Verdict(found.estimate, found.low, found.high, found.n, word, found.method, kind, float(margin))


def worst(outcomes: Sequence[str]) -> int:
    """Position of the part that decides a claim of several parts: one refuted part refutes it, one open part leaves it open."""
    return min(range(len(outcomes)), key=lambda place: WORST_FIRST.index(outcomes[place]))


def seeds_needed(deviation: float, margin: float, most: int = 10_000) -> int:
    """The fewest seeds (five or more) at which Student's interval reaches no further than δ from its centre.

    Arguments:
        deviation: standard deviation of the contrast over seeds.
        most: where to stop counting.
    """
    reached = 1.96 * deviation / margin  # √n of a normal interval: Student's needs at least as many
    start = max(MIN_SEEDS, min(most, math.ceil(reached**2)))
    return next((n for n in range(start, most) if student_half_width(deviation, n) <= margin), most)


def operating_characteristics(
    effects: Sequence[float], spreads: Sequence[float], n_seeds: Sequence[int], kind: str = "better", trials: int = 20_000, rng: int = 0
) -> list[dict]:
    """How often the rule says what, when the truth is known: simulated from `interval`'s formula and `decide` itself.

    Arguments:
        effects: true effects, in units of δ.
        spreads: standard deviations of the contrast over seeds, in units of δ.
        n_seeds: numbers of seeds.
        trials: experiments for each combination, with normal contrasts.

    Returns:
        a row for each combination: effect, spread, n, and the share (0 to 1) of each of `OUTCOMES` that can fall.
    """
    rows = []
    for n in n_seeds:
        noise = np.random.default_rng(rng).normal(size=(trials, n))
        for spread in spreads:
            values = spread * noise
            mean, half = values.mean(1), student_half_width(values.std(1, ddof=1), n)
            for effect in effects:
                centre = mean + effect
                words = decide(centre, centre - half, centre + half, kind, 1.0)
                shares = {word: float((words == word).mean()) for word in OUTCOMES[:7]}
                rows.append({"effect": effect, "spread": spread, "n": n, **shares})
    return rows
