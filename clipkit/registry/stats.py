"""Paired statistics over seeds: intervals and trends, each a few lines around scipy's.

All take plain sequences of numbers, one for each seed (or item), and return plain numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipkit.errors import ClipkitError


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; `method` says in words how the interval was made."""

    estimate: float
    low: float
    high: float
    n: int
    method: str


def finite_vector(values: Sequence[float], what: str = "values", at_least: int = 1) -> np.ndarray:
    """`values` as a float64 vector; ClipkitError when it is not one-dimensional, too short, or holds NaN or infinity."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ClipkitError(f"{what}: one number for each seed is needed, not an array of shape {array.shape}")
    if len(array) < at_least:
        raise ClipkitError(f"{what}: at least {at_least} numbers are needed, there are {len(array)}")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array)).tolist()
        raise ClipkitError(f"{what}: NaN or infinity at position {bad}; find the run that produced it, it cannot be averaged away")
    return array


def no_spread(values: np.ndarray) -> bool:
    """All the same but for rounding."""
    return float(np.ptp(values)) <= 1e-12 * max(1.0, float(np.abs(values).max()))


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's interval for the mean: x̄ ± t₍n−1₎ s/√n. Needs n >= 2.

    Source: Student, The probable error of a mean, Biometrika 6 (1908).

    >>> t_interval([1.0, 2.0, 3.0, 4.0, 5.0]).high.__round__(3)
    4.963
    """
    from scipy.stats import ttest_1samp

    values = finite_vector(values, "t interval", at_least=2)
    n, mean = len(values), float(values.mean())
    if no_spread(values):
        return Interval(mean, mean, mean, n, "no spread")
    low, high = ttest_1samp(values, 0.0).confidence_interval(level)
    return Interval(mean, float(low), float(high), n, "t")


def student_half_width(deviation, n: int, level: float = 0.95):
    """t₍n−1₎ s/√n, how far Student's interval reaches from its centre, for a standard deviation or an array of them."""
    from scipy.special import stdtrit

    return stdtrit(n - 1, 0.5 + level / 2) * deviation / np.sqrt(n)


def slopes(x: Sequence[float], y: np.ndarray) -> np.ndarray:
    """Least-squares slope of each row of y (seeds, points) on x (points,): returns (seeds,).

    For a dose that doubles (shots, frequency) give log2 of it: the slope is then the gain for each doubling.
    """
    x, y = _grid(x, y)
    centred = x - x.mean()
    return (y - y.mean(axis=1, keepdims=True)) @ centred / (centred @ centred)


def rank_trends(x: Sequence[float], y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each row of y (seeds, points) with x (points,): returns (seeds,) in [−1, 1].

    A row that does not move at all has no order, and counts as 0: no trend.

    Source: Spearman, The proof and measurement of association between two things (1904).
    """
    from scipy.stats import spearmanr

    x, y = _grid(x, y)
    return np.array([0.0 if np.ptp(row) == 0 else spearmanr(x, row).statistic for row in y])


def _grid(x: Sequence[float], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = finite_vector(x, "x", at_least=2), np.atleast_2d(np.asarray(y, dtype=np.float64))
    if y.ndim != 2 or y.shape[1] != len(x):
        raise ClipkitError(f"y needs one column for each of the {len(x)} points of x; its shape is {y.shape}")
    if not np.isfinite(y).all():
        raise ClipkitError("y holds NaN or infinity; find the run that produced it")
    if no_spread(x):
        raise ClipkitError("x is the same everywhere: a trend needs at least two different points")
    return x, y
