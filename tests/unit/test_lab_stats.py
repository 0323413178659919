"""Intervals and trends against scipy, by hand and by tables."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

import clipkit.registry.stats as lab_stats
from clipkit.errors import ClipkitError
from clipkit.registry.stats import rank_trends, slopes, student_half_width, t_interval

numbers = st.integers(-1000, 1000).map(lambda i: i / 10)


def test_doctests():
    assert doctest.testmod(lab_stats).failed == 0


def test_t_interval_by_hand():
    # x = 1..5: mean 3, s = sqrt(2.5), t(4) = 2.776 -> half = 2.776 * 1.5811 / 2.2361 = 1.963
    found = t_interval([1, 2, 3, 4, 5])
    assert (found.estimate, round(found.low, 3), round(found.high, 3), found.n) == (3.0, 1.037, 4.963, 5)


@given(st.lists(numbers, min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95]))
@settings(max_examples=50, deadline=None)
def test_t_interval_is_the_formula(values, level):
    found = t_interval(values, level)
    if np.ptp(values) == 0:
        assert found.low == found.high == found.estimate and found.method == "no spread"
    else:
        half = reference.t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
        np.testing.assert_allclose([found.low, found.high], [np.mean(values) - half, np.mean(values) + half], rtol=1e-9, atol=1e-9)
        assert student_half_width(np.std(values, ddof=1), len(values), level) == pytest.approx(half)


def test_rounding_is_not_spread():
    assert t_interval([0.1 + 0.2, 0.3]).method == "no spread" and t_interval([0.3, 0.3001]).method == "t"


def test_t_interval_covers():
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(2000, 5))
    hits = sum(found.low < 0 < found.high for found in map(t_interval, samples))
    assert abs(hits / 2000 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_trends_are_numpys_and_scipys():
    rng = np.random.default_rng(2)
    x, y = np.array([0, 1, 2, 4, 8]), rng.normal(size=(6, 5)).round(1)
    np.testing.assert_allclose(slopes(x, y), [np.polyfit(x, row, 1)[0] for row in y])
    ranks = [np.corrcoef(reference.rankdata(x), reference.rankdata(row))[0, 1] for row in y]
    np.testing.assert_allclose(rank_trends(x, y), ranks)
    assert rank_trends([1, 2, 3], [[5, 5, 5]]).tolist() == [0.0]
    assert slopes([1, 2], [[3, 5]]).tolist() == [2.0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: t_interval([1.0]), "at least 2"),
        (lambda: t_interval([1.0, float("nan")]), r"position \[1\]"),
        (lambda: t_interval(np.ones((2, 2))), "shape"),
        (lambda: slopes([1, 1], [[1, 2]]), "same everywhere"),
        (lambda: slopes([1, 2, 3], [[1, 2]]), "one column"),
        (lambda: rank_trends([1, 2], [[1, np.nan]]), "NaN"),
    ],
)
def test_bad_input_says_what_to_do(call, said):
    with pytest.raises(ClipkitError, match=said):
        call()
