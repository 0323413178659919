"""The verdict rule: worked cases, order, scale, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.lab import decide, judge

ORDER = {"fails": 0, "inconclusive": 1, "holds": 2}
values_5_to_9 = st.lists(st.integers(-60, 60).map(lambda i: i / 10), min_size=5, max_size=9)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "verdict"),
    [
        (2.0, 0.1, 3.9, "holds"),
        (1.5, 0.1, 2.9, "holds"),  # the estimate may equal the margin
        (2.0, 0.0, 4.0, "inconclusive"),  # the interval must lie above 0
        (1.4, 0.5, 2.3, "inconclusive"),  # above 0, yet the estimate is short of the margin
        (0.0, -2.0, 2.0, "inconclusive"),
        (0.7, 0.2, 1.2, "fails"),  # surely positive, surely smaller than what matters
        (-1.0, -2.0, 0.5, "fails"),
        (0.7, -0.1, 1.5, "inconclusive"),  # touches the margin
    ],
)
@pytest.mark.parametrize("kind", ["better", "trend"])
def test_better(kind, estimate, low, high, verdict):
    assert decide(estimate, low, high, kind, 1.5) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-1.0, 1.0, "holds"),
        (-1.5, 1.0, "inconclusive"),
        (-2.0, 1.0, "inconclusive"),
        (-2.0, 2.0, "inconclusive"),
        (1.6, 3.0, "fails"),
        (-3.0, -1.6, "fails"),
        (1.5, 3.0, "inconclusive"),
    ],
)
def test_equivalent(low, high, verdict):
    assert decide((low + high) / 2, low, high, "equivalent", 1.5) == verdict


def test_golden_from_five_seeds():
    # differences 2, 2.5, 3, 2, 2.5: mean 2.4, s = sqrt(0.175), half = 2.776 * 0.4183 / 2.236 = 0.519
    found = judge([2, 2.5, 3, 2, 2.5], "better", 1.5)
    assert (found.verdict, found.method, found.n) == ("holds", "t", 5)
    assert (round(found.estimate, 3), round(found.low, 3), round(found.high, 3)) == (2.4, 1.881, 2.919)
    assert judge([2, 2.5, 3, 2, 2.5], "better", 3.0).verdict == "fails"
    assert judge([2, 2.5, 3, 2, 2.5], "better", 2.5).verdict == "inconclusive"
    assert judge([0.2, -0.3, 0.1, 0.0, -0.1], "equivalent", 1.0).verdict == "holds"


def test_number_of_seeds_chooses_the_interval():
    rng = np.random.default_rng(0)
    methods = {n: judge(rng.normal(size=n), "better", 1.0).method for n in (1, 4, 5, 7, 8, 20)}
    assert methods == {1: "none", 4: "none", 5: "t", 7: "t", 8: "bootstrap (expanded)", 20: "bootstrap (expanded)"}
    few = judge([9.0, 9.1, 9.2, 9.3], "better", 1.0)
    assert (few.verdict, few.low, few.high, few.n) == ("too few seeds", None, None, 4) and few.estimate == pytest.approx(9.15)


@pytest.mark.parametrize(("value", "kind", "verdict"), [(2.0, "better", "holds"), (0.0, "better", "fails"), (0.0, "equivalent", "holds")])
@pytest.mark.parametrize("n", [5, 8])
def test_no_spread_is_said(value, kind, verdict, n):
    found = judge([value] * n, kind, 1.0)
    assert (found.verdict, found.method, found.low, found.high) == (verdict, "no spread", value, value)


def test_rounding_is_not_spread():
    assert judge([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], "better", 0.1).method == "no spread"


@given(values_5_to_9, st.floats(0.1, 3), st.floats(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_larger_effect_never_lowers_the_verdict(values, margin, shift):
    before, after = judge(values, "better", margin), judge([v + shift for v in values], "better", margin)
    assert ORDER[before.verdict] <= ORDER[after.verdict]


@given(values_5_to_9, st.sampled_from(["better", "equivalent"]), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
@settings(max_examples=30, deadline=None)
def test_the_unit_does_not_matter(values, kind, factor):
    before, after = judge(values, kind, 1.0), judge([v * factor for v in values], kind, factor)
    assert before.verdict == after.verdict
    np.testing.assert_allclose([after.low, after.high], [before.low * factor, before.high * factor], atol=1e-9)


@given(values_5_to_9)
@settings(max_examples=20, deadline=None)
def test_a_wider_margin_never_hurts_equivalence(values):
    verdicts = [ORDER[judge(values, "equivalent", margin).verdict] for margin in (0.5, 1.0, 2.0, 4.0)]
    assert verdicts == sorted(verdicts)


def test_a_null_effect_seldom_holds():
    """With no effect and five seeds, `better` needs low > 0: at most 2.5 % of the time."""
    rng = np.random.default_rng(4)
    held = sum(judge(row, "better", 0.1).verdict == "holds" for row in rng.normal(size=(1500, 5)))
    assert held / 1500 < 0.025 + 3 * np.sqrt(0.025 * 0.975 / 1500)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0] * 5, "beter", 1.0), "did you mean 'better'"),
        (([1.0] * 5, "better", 0.0), "above 0"),
        (([1.0] * 5, "better", "1"), "above 0"),
        (([1.0] * 5, "better", float("nan")), "above 0"),
        (([1.0, float("nan")] * 3, "better", 1.0), "NaN or infinity"),
        (([], "better", 1.0), "at least 1"),
    ],
)
def test_bad_input(arguments, said):
    with pytest.raises(ClipkitError, match=said):
        judge(*arguments)
