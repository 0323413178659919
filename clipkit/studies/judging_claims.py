"""The verdict rule as a picture and a table, and how often an interval covers the truth.

The intervals of `clipkit.registry.stats` take one experiment; these take (E, n) arrays: E experiments of n seeds each.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from clipkit.errors import ClipkitError, unknown
from clipkit.lab.figures import figure
from clipkit.lab.forest import forest
from clipkit.lab.plots import curves
from clipkit.registry.verdict import decide, operating_characteristics

RESAMPLES = 1000
Ends = tuple[np.ndarray, np.ndarray]  # low and high, (E,) each


def _plus_minus(values: np.ndarray, factor: float, ddof: int) -> Ends:
    mean, half = values.mean(-1), factor * values.std(-1, ddof=ddof) / math.sqrt(values.shape[-1])
    return mean - half, mean + half


def _student(values: np.ndarray) -> Ends:
    return _plus_minus(values, float(stdtrit(values.shape[-1] - 1, 0.975)), 1)


def _percentiles(values: np.ndarray, tail: float) -> Ends:
    """All experiments share their resampled positions: each interval is right, and one draw serves them all."""
    n = values.shape[-1]
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)  # how often each seed is drawn
    low, high = np.quantile(values @ counts.T / n, (tail, 1 - tail), axis=-1)
    return low, high


def _widened(values: np.ndarray) -> Ends:
    """Read at wider percentiles, α/2 -> Φ(−√(n/(n−1)) t₍n−1₎), as Hesterberg (2015) mends the bootstrap for few seeds."""
    n = values.shape[-1]
    return _percentiles(values, float(ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.975))))


INTERVALS: dict[str, Callable[[np.ndarray], Ends]] = {
    "Student's t": _student,
    "1.96": lambda values: _plus_minus(values, 1.96, 1),
    "1.96, divisor n": lambda values: _plus_minus(values, 1.96, 0),
    "bootstrap": lambda values: _percentiles(values, 0.025),
    "bootstrap, widened": _widened,
}


def coverage(values: np.ndarray, truth: float, interval: str) -> float:
    """Percentage of the experiments whose 95 % interval for the mean covers `truth`; its ends count as inside.

    Arguments:
        values: (E, n) numbers, n >= 2.
        truth: what the mean would be with infinitely many seeds.
        interval: a name of `INTERVALS`. "1.96" is mean ± 1.96 s/√n with divisor n − 1 in s, and "1.96, divisor n" the same
            with divisor n, as numpy's default has it (KaiyangZhou/CoOp, parse_test_res.py).

    Raises ClipkitError: unknown interval, values of another shape.
    """
    if interval not in INTERVALS:
        raise unknown("interval", interval, INTERVALS)
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or not len(values):
        raise ClipkitError(f"coverage needs experiments x seeds, at least two seeds; the shape is {values.shape}")
    low, high = INTERVALS[interval](values)
    slack = 1e-9 * max(1.0, abs(truth))  # an interval without width at the truth covers it, whatever the rounding
    return 100 * float(((low - slack <= truth) & (truth <= high + slack)).mean())


SHAPES: dict[str, tuple[Callable, float]] = {  # what the seeds' numbers may look like: how to draw them, their true mean
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "even": (lambda rng, shape: rng.uniform(size=shape), 0.5),
    "heavy tails (Student, 3)": (lambda rng, shape: rng.standard_t(3, shape), 0.0),
    "skewed (exponential)": (lambda rng, shape: rng.exponential(size=shape), 1.0),
}


def coverage_by_shape(n: int, trials: int, rng: int, intervals: tuple[str, ...] = ("Student's t", "bootstrap, widened")) -> list[dict]:
    """A row for each of `SHAPES`: its name under "numbers", and the coverage in % of each interval at n seeds."""
    rows = []
    for name, (draw, truth) in SHAPES.items():
        values = draw(np.random.default_rng(rng), (trials, n))
        rows.append({"numbers": name, **{interval: coverage(values, truth, interval) for interval in intervals}})
    return rows


WAYS: dict[str, Callable] = {  # how each of n seeds comes by pictures of one test set, (n, pictures of a seed)
    "drawn with replacement": lambda rng, seeds, size: rng.integers(size, size=(seeds, size)),
    "dealt out": lambda rng, seeds, size: rng.permutation(size)[: size // seeds * seeds].reshape(seeds, -1),
}


def coverage_of_pictures(way: str, trials: int, seeds: int = 5, size: int = 1000, gain: float = 2.0) -> float:
    """How often Student's interval over seeds that share one test set covers the true `gain` of a method over another, in percent.

    Simulated: every trial has a new test set of `size` pictures, of which the method gets 12 % right that the other gets wrong
    and loses (12 - gain) %; each seed trains anew, which moves its gain by half a point.

    Arguments:
        way: of `WAYS`.

    Raises ClipkitError for an unknown way.
    """
    if way not in WAYS:
        raise unknown("way to share pictures", way, WAYS)
    rng, odds = np.random.default_rng(0), np.array([12, 88 - 12 + gain, 12 - gain]) / 100
    values = np.empty((trials, seeds))
    for row in values:
        pictures = rng.choice([100.0, 0.0, -100.0], size, p=odds)
        row[:] = pictures[WAYS[way](rng, seeds, size)].mean(1) + rng.normal(0, 0.5, seeds)
    return coverage(values, gain, "Student's t")


# what one sees -> (estimate, half the interval's width), in units of δ
BETTER = {
    "clear gain": (2.2, 0.8),
    "gain of unsure size": (1.4, 0.8),
    "gain, or luck?": (1.4, 1.2),
    "real, but large enough?": (0.8, 0.6),
    "real, but too small": (0.5, 0.3),
    "nothing there": (0.0, 0.6),
    "harm": (-1.2, 0.5),
    "too noisy": (0.9, 2.0),
}
NO_WORSE = {
    "as good": (-0.1, 0.6),
    "better even": (1.4, 0.7),
    "worse, but by how much?": (-0.9, 0.6),
    "worse": (-1.5, 0.4),
}
EQUIVALENT = {
    "the same": (0.1, 0.6),
    "nearly the same?": (0.8, 0.6),
    "different": (2.0, 0.7),
    "too noisy to say": (0.2, 1.6),
}
PANELS = (
    ("better", "a claim that one is better", BETTER, {0.0: "0", 0.5: "δ/2", 1.0: "δ"}),
    ("no_worse", "a claim that one is no worse", NO_WORSE, {-1.0: "−δ", 0.0: "0"}),
    ("equivalent", "a claim that both are equivalent", EQUIVALENT, {-1.0: "−δ", 0.0: "0", 1.0: "δ"}),
)


def verdicts(kind: str, cases: dict[str, tuple[float, float]]) -> list[str]:
    """The rule's word on each case, δ = 1."""
    return [decide(mean, mean - half, mean + half, kind, 1.0) for mean, half in cases.values()]


def verdict_picture() -> None:
    """Show the rule; the words beside the intervals are `verdict.decide`'s own."""
    told = [f"{name}: {word}" for kind, _, cases, _ in PANELS for name, word in zip(cases, verdicts(kind, cases), strict=True)]
    heights = [len(cases) + 1 for _, _, cases, _ in PANELS]
    alt = "Intervals against 0, half of delta and delta with the verdict of each. " + "; ".join(told)
    with figure(alt, "The verdict is where the interval lies", (6.4, 8.6), rows=3, height_ratios=heights, sharex=True) as panels:
        for axes, (kind, words, cases, marks) in zip(panels, PANELS, strict=True):
            rows = {name: (mean, mean - half, mean + half) for name, (mean, half) in cases.items()}
            forest(axes, rows, marks, notes=verdicts(kind, cases))
            axes.set(xlim=(-2.0, 3.2), xticks=[], xlabel=words)


def chances_picture(trials: int) -> None:
    """The chance of each word against the true effect, for five seeds that scatter by half of δ."""
    effects = [step / 4 for step in range(-4, 13)]
    found = pd.DataFrame(operating_characteristics(effects, [0.5], [5], trials=trials))
    line = found.melt("effect", ["holds", "weaker", "no effect", "reversed", "open"], "verdict", "chance")
    alt = "The chance of each verdict against the true effect: reversed below 0, no effect around it, holds from delta on, open between."
    with figure(alt=alt, title="Five seeds that scatter by δ/2: how often each word falls") as axes:
        shown = line.assign(chance=100 * line.chance)
        curves(shown, "effect", "chance", by="verdict", ax=axes, xlabel="true effect", ylabel="chance, %")
        axes.set(xticks=[-1, 0, 1, 2, 3], xticklabels=["−δ", "0", "δ", "2δ", "3δ"])


def held_table(trials: int) -> pd.DataFrame:
    """How often the rule says "holds", %: rows seeds and scatter, columns the true effect, both in units of δ."""
    found = pd.DataFrame(operating_characteristics([0, 0.5, 0.8, 1, 2], [0.25, 0.5, 1.0], [5, 8], trials=trials))
    held = 100 * found.pivot(index=["n", "spread"], columns="effect", values="holds")
    held.index = [f"{n} seeds, scatter {spread:g} δ" for n, spread in held.index]
    return held.rename(columns=lambda effect: f"effect {effect:g} δ")
