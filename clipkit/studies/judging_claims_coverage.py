"""How often an interval covers the truth, counted over many simulated experiments at a time.

The intervals of `clipkit.registry.stats` take one experiment; these take (E, n) arrays: E experiments of n seeds each.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from clipkit.errors import ClipkitError, unknown

RESAMPLES = 1000
Ends = tuple[np.ndarray, np.ndarray]  # low and high, (E,) each


def _plus_minus(values: np.ndarray, factor: float, ddof: int) -> Ends:
    mean, half = values.mean(-1), factor * values.std(-1, ddof=ddof) / math.sqrt(values.shape[-1])
    return mean - half, mean + half


def _student(values: np.ndarray) -> Ends:
    from scipy.special import stdtrit

    return _plus_minus(values, float(stdtrit(values.shape[-1] - 1, 0.975)), 1)


def _percentiles(values: np.ndarray, tail: float) -> Ends:
    """All experiments share their resampled positions: each interval is right, and one draw serves them all."""
    n = values.shape[-1]
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)  # how often each seed is drawn
    low, high = np.quantile(values @ counts.T / n, (tail, 1 - tail), axis=-1)
    return low, high


def _widened(values: np.ndarray) -> Ends:
    """Read at wider percentiles, α/2 -> Φ(−√(n/(n−1)) t₍n−1₎), as Hesterberg (2015) mends the bootstrap for few seeds."""
    from scipy.special import ndtr, stdtrit

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
