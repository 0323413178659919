"""Paired statistics against scipy, brute force and tables."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

import clipkit.registry.stats as lab_stats
from clipkit.errors import ClipkitError
from clipkit.lab import cohen_dz, holm, mcnemar, paired_bootstrap, rank_trends, sign_flip_p, slopes, t_interval

numbers = st.integers(-1000, 1000).map(lambda i: i / 10)


def test_doctests():
    assert doctest.testmod(lab_stats).failed == 0


def test_t_interval_by_hand():
    # x = 1..5: mean 3, s = sqrt(2.5), t(4) = 2.776 -> half = 2.776 * 1.5811 / 2.2361 = 1.963
    found = t_interval([1, 2, 3, 4, 5])
    assert (found.estimate, round(found.low, 3), round(found.high, 3), found.n) == (3.0, 1.037, 4.963, 5)


@given(st.lists(numbers, min_size=2, max_size=12))
@settings(max_examples=50, deadline=None)
def test_t_interval_is_scipys(values):
    found = t_interval(values)
    if np.ptp(values) == 0:
        assert found.low == found.high == found.estimate and found.method == "no spread"
    else:
        expected = reference.ttest_1samp(values, 0).confidence_interval(0.95)
        np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], rtol=1e-9, atol=1e-9)


def test_percentile_bootstrap_is_scipys():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=12), rng.normal(size=12)
    for name in ("percentile", "bca"):
        ours = paired_bootstrap(a, b, method=name)
        theirs = reference.bootstrap(
            (np.sort(a - b),), np.mean, n_resamples=10_000, method={"bca": "BCa"}.get(name, name), rng=np.random.default_rng(0)
        ).confidence_interval
        np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], rtol=1e-9)


def test_expanded_bootstrap_level_is_hesterbergs():
    # n = 10: t(9; .975) = 2.2622, times sqrt(10/9) = 2.3845, Phi(-2.3845) = 0.00855: percentiles 0.855 and 99.145
    values = np.random.default_rng(0).normal(size=10)
    ours = paired_bootstrap(values, n=20_000)
    plain = paired_bootstrap(values, n=20_000, level=1 - 2 * 0.00855, method="percentile")
    np.testing.assert_allclose([ours.low, ours.high], [plain.low, plain.high], atol=2e-3)


def test_bootstrap_is_deterministic_and_blind_to_order():
    values = np.random.default_rng(1).normal(size=9)
    first, again = paired_bootstrap(values), paired_bootstrap(values[::-1])
    assert (first.low, first.high) == (again.low, again.high)


@given(st.lists(numbers, min_size=8, max_size=12), st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_bootstrap_moves_and_stretches_with_the_data(values, factor, shift):
    values = np.array(values)
    base, moved = paired_bootstrap(values, n=500), paired_bootstrap(values * factor + shift, n=500)
    np.testing.assert_allclose([moved.low, moved.high], [base.low * factor + shift, base.high * factor + shift], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n", "floor"), [(8, 0.92), (12, 0.92)])
def test_bootstrap_covers(n, floor):
    """95 % interval over 400 normal samples; the plain percentile would cover 88 % at n = 8."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        found = paired_bootstrap(rng.normal(size=n), n=800)
        hits += found.low < 0 < found.high
    # three binomial standard errors around a true coverage of `floor` to 0.96
    assert floor - 3 * np.sqrt(0.95 * 0.05 / 400) < hits / 400 < 0.96 + 3 * np.sqrt(0.95 * 0.05 / 400)


def test_t_interval_covers():
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(2000, 5))
    hits = sum(found.low < 0 < found.high for found in map(t_interval, samples))
    assert abs(hits / 2000 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_holm_by_hand_and_by_definition():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_holm_is_the_closed_test(p):
    """Closure: hypothesis i is rejected iff every set of hypotheses with i has a Bonferroni p below alpha."""
    expected = []
    for i in range(len(p)):
        sets = (s for k in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), k) if i in s)
        expected.append(max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets))
    np.testing.assert_allclose(holm(p), expected, atol=1e-12)


def test_effect_size():
    assert cohen_dz([3, 5, 7], [2, 3, 4]) == pytest.approx(2.0)  # differences 1, 2, 3: mean 2, s 1
    assert cohen_dz([1, 1, 1], [1, 1, 1]) == 0.0
    assert cohen_dz([2, 2], [1, 1]) == np.inf


@given(st.lists(numbers, min_size=2, max_size=8))
@settings(max_examples=25, deadline=None)
def test_sign_flip_is_scipys_permutation_test(values):
    theirs = reference.permutation_test(
        (values, [0] * len(values)), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples"
    )
    assert sign_flip_p(values) == pytest.approx(theirs.pvalue, abs=1e-9)


def test_sign_flip_floor_and_sampling():
    assert sign_flip_p([1, 2, 3, 4, 5]) == 2 / 32
    many = np.random.default_rng(0).normal(0.4, 1, size=30)
    assert sign_flip_p(many) == pytest.approx(reference.ttest_1samp(many, 0).pvalue, abs=0.02)
    assert 0 < sign_flip_p(np.ones(30)) < 1e-3


def test_trends_are_numpys_and_scipys():
    rng = np.random.default_rng(2)
    x, y = np.array([0, 1, 2, 4, 8]), rng.normal(size=(6, 5)).round(1)
    np.testing.assert_allclose(slopes(x, y), [np.polyfit(x, row, 1)[0] for row in y])
    np.testing.assert_allclose(rank_trends(x, y), [reference.spearmanr(x, row).statistic for row in y])
    assert rank_trends([1, 2, 3], [[5, 5, 5]]).tolist() == [0.0]
    assert slopes([1, 2], [[3, 5]]).tolist() == [2.0]


def test_mcnemar_by_hand():
    # a alone right 5 times, b alone once: p = 2 * (C(6,5) + C(6,6)) / 2^6 = 14/64
    a = np.array([1] * 5 + [0] + [1] * 4, dtype=bool)
    b = np.array([0] * 5 + [1] + [1] * 4, dtype=bool)
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b) == (5, 1) and found.p == pytest.approx(14 / 64)
    assert mcnemar(a, a).p == 1.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: t_interval([1.0]), "at least 2"),
        (lambda: t_interval([1.0, float("nan")]), r"position \[1\]"),
        (lambda: paired_bootstrap([1, 2, 3], [1, 2]), "same seeds"),
        (lambda: paired_bootstrap([1, 2], method="magic"), "take expanded"),
        (lambda: paired_bootstrap(np.ones((2, 2))), "shape"),
        (lambda: holm([0.5, 1.5]), "between 0 and 1"),
        (lambda: slopes([1, 1], [[1, 2]]), "same everywhere"),
        (lambda: slopes([1, 2, 3], [[1, 2]]), "one column"),
        (lambda: rank_trends([1, 2], [[1, np.nan]]), "NaN"),
        (lambda: mcnemar([True], [True, False]), "same items"),
    ],
)
def test_bad_input_says_what_to_do(call, said):
    with pytest.raises(ClipkitError, match=said):
        call()
