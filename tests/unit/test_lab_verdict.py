"""The verdict rule: its edges, its order, its scale, and how often it is wrong."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipkit.registry.verdict as rule
from clipkit.errors import ClipkitError
from clipkit.registry.verdict import KINDS, OUTCOMES, WORST_FIRST, decide, judge, operating_characteristics, seeds_needed, worst

BETTER = ("better", "trend", "above")
ORDER = {"reversed": 0, "no effect": 1, "weaker": 2, "open": 2.5, "holds": 3}  # open lies between what it could still be
WORDS = {
    **dict.fromkeys(BETTER, {"holds", "reversed", "weaker", "no effect", "open"}),
    **dict.fromkeys(("no_worse", "no_better"), {"holds", "reversed", "open"}),
    "equivalent": {"holds", "above", "below", "open"},
}
tenths = st.integers(-60, 60).map(lambda i: i / 10)
intervals = st.tuples(tenths, tenths).map(sorted)  # touches 0, ±δ/2 and ±δ exactly, again and again
values_5_to_9 = st.lists(tenths, min_size=5, max_size=9)


def centred(low: float, high: float, kind: str, margin: float = 1.0) -> str:
    return decide((low + high) / 2, low, high, kind, margin)


def test_doctests():
    assert doctest.testmod(rule).failed == 0


@pytest.mark.parametrize(
    ("estimate", "low", "high", "outcome"),
    [
        (1.0, 0.5, 1.5, "holds"),  # estimate on δ, lower end on δ/2
        (1.0, 0.49, 1.51, "open"),  # above 0 is not enough
        (0.99, 0.5, 1.5, "open"),  # the estimate is short of the margin
        (0.5, 0.1, 0.9, "weaker"),
        (0.5, 0.1, 1.0, "open"),  # touches the margin
        (0.0, 0.0, 0.0, "no effect"),
        (0.0, -0.9, 0.9, "no effect"),
        (0.0, -1.0, 0.9, "open"),  # harm worth δ is not excluded
        (-0.2, -0.4, 0.0, "no effect"),
        (-0.2, -0.4, -0.01, "reversed"),  # small, but on the other side of 0
        (-3.0, -5.0, -1.0, "reversed"),
        (0.9, -1.1, 2.9, "open"),
    ],
)
@pytest.mark.parametrize("kind", BETTER)
def test_better(kind, estimate, low, high, outcome):
    assert decide(estimate, low, high, kind, 1.0) == outcome


@pytest.mark.parametrize(
    ("low", "high", "no_worse", "no_better", "equivalent"),
    [
        (-0.9, 0.9, "holds", "holds", "holds"),
        (-1.0, 0.9, "open", "holds", "open"),
        (-0.9, 1.0, "holds", "open", "open"),
        (-1.0, 1.0, "open", "open", "open"),
        (1.0, 3.0, "holds", "open", "open"),  # on the margin is not beyond it
        (1.1, 3.0, "holds", "reversed", "above"),
        (-3.0, -1.0, "open", "holds", "open"),
        (-3.0, -1.1, "reversed", "holds", "below"),
        (-3.0, 3.0, "open", "open", "open"),
    ],
)
def test_the_other_kinds(low, high, no_worse, no_better, equivalent):
    assert [centred(low, high, kind) for kind in ("no_worse", "no_better", "equivalent")] == [no_worse, no_better, equivalent]


@given(intervals, st.sampled_from(KINDS), st.sampled_from([0.1, 0.5, 1.0, 2.0]))
def test_every_interval_has_one_word_of_its_kind(ends, kind, margin):
    low, high = ends
    said = centred(low, high, kind, margin)
    assert said in WORDS[kind] <= set(OUTCOMES)
    words = decide(np.array([(low + high) / 2]), np.array([low]), np.array([high]), kind, margin)
    assert words.tolist() == [said]  # one by one or many at a time


@given(intervals, st.floats(0, 5), st.sampled_from(["better", "trend", "above", "no_worse"]), st.sampled_from([0.5, 1.0, 2.0]))
def test_shifting_up_never_makes_it_worse(ends, shift, kind, margin):
    low, high = ends
    before, after = centred(low, high, kind, margin), centred(low + shift, high + shift, kind, margin)
    if before != "open" and after != "open":
        assert ORDER[before] <= ORDER[after]
    assert not (before == "holds" and after != "holds") and not (after == "reversed" and before != "reversed")


@given(intervals, st.sampled_from([0.5, 1.0, 2.0]))
def test_no_better_is_no_worse_seen_from_the_other_side(ends, margin):
    low, high = ends
    assert centred(low, high, "no_better", margin) == centred(-high, -low, "no_worse", margin)
    both = {centred(low, high, "no_better", margin), centred(low, high, "no_worse", margin)}
    assert (centred(low, high, "equivalent", margin) == "holds") == (both == {"holds"})


@given(intervals, st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from(KINDS))
def test_a_narrower_interval_never_contradicts_a_wider_one(ends, margin, kind):
    """What is decided stays decided when the same centre is known better."""
    low, high = ends
    centre, wide = (low + high) / 2, centred(low, high, kind, margin)
    near = decide(centre, centre - (high - low) / 4, centre + (high - low) / 4, kind, margin)
    assert wide == near or wide == "open" or (wide == "no effect" and near in ("weaker", "reversed"))


def test_golden_from_five_seeds():
    # differences 2, 2.5, 3, 2, 2.5: mean 2.4, s = sqrt(0.175), half = 2.776 * 0.4183 / 2.236 = 0.519
    found = judge([2, 2.5, 3, 2, 2.5], "better", 1.5)
    assert (found.verdict, found.method, found.n) == ("holds", "t", 5)
    assert (round(found.estimate, 3), round(found.low, 3), round(found.high, 3)) == (2.4, 1.881, 2.919)
    assert judge([2, 2.5, 3, 2, 2.5], "better", 3.0).verdict == "weaker"
    assert judge([2, 2.5, 3, 2, 2.5], "better", 2.5).verdict == "open"
    assert judge([0.2, -0.3, 0.1, 0.0, -0.1], "equivalent", 1.0).verdict == "holds"


def test_student_at_every_number_of_seeds_and_no_word_below_five():
    rng = np.random.default_rng(0)
    methods = {n: judge(rng.normal(size=n), "better", 1.0).method for n in (1, 4, 5, 8, 20)}
    assert methods == {1: "none", 4: "none", 5: "t", 8: "t", 20: "t"}
    few = judge([9.0, 9.1, 9.2, 9.3], "better", 1.0)
    assert (few.verdict, few.low, few.high, few.n) == ("not run", None, None, 4) and few.estimate == pytest.approx(9.15)


@pytest.mark.parametrize("values", [[2.0] * 5, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]])
def test_no_spread_is_said(values):
    found = judge(values, "better", 0.1)
    assert found.method == "no spread" and found.low == found.high == found.estimate


@given(values_5_to_9, st.sampled_from(KINDS), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
@settings(max_examples=30, deadline=None)
def test_the_unit_does_not_matter(values, kind, factor):
    before, after = judge(values, kind, 1.0), judge([v * factor for v in values], kind, factor)
    assert before.verdict == after.verdict
    np.testing.assert_allclose([after.low, after.high], [before.low * factor, before.high * factor], atol=1e-9)


def test_one_refuted_part_refutes_the_whole():
    assert set(WORST_FIRST) == set(OUTCOMES)
    assert worst(["holds", "open", "weaker"]) == 2  # whatever the open part comes to, the whole does not hold
    assert worst(["holds", "not testable here", "open"]) == 1
    assert worst(["holds", "holds"]) == 0


@pytest.mark.parametrize(("deviation", "margin"), [(1.0, 1.0), (0.3, 0.1), (40.0, 5.0), (0.0, 1.0)])
def test_seeds_needed_is_the_fewest(deviation, margin):
    half = lambda n: rule.student_half_width(deviation, n)  # noqa: E731
    n = seeds_needed(deviation, margin)
    assert half(n) <= margin and (n == 5 or half(n - 1) > margin)
    assert seeds_needed(1e6, 1.0) == 10_000


def test_half_the_margin_seldom_holds():
    """What the δ/2 in the rule is for: half of the margin passes in 2.5 % of runs at most, 0.8 of it in 12 %."""
    rows = operating_characteristics([0, 0.5, 0.8, 1, 2], [0.25, 0.5, 1.0], [5, 8])
    assert len(rows) == 30 and all(sum(row[word] for word in OUTCOMES[:7]) == pytest.approx(1) for row in rows)
    worst_case = {effect: max(row["holds"] for row in rows if row["effect"] == effect) for effect in (0, 0.5, 0.8, 1)}
    slack = 3 * np.sqrt(0.12 * 0.88 / 20_000)
    assert worst_case[0] < 0.005 and worst_case[0.5] < 0.025 + slack and worst_case[0.8] < 0.12 + slack and worst_case[1] < 0.5 + slack
    assert min(row["holds"] for row in rows if row["effect"] == 2 and row["spread"] <= 0.5) > 0.99


def test_operating_characteristics_is_the_rule_one_run_at_a_time():
    row = operating_characteristics([0.7], [0.6], [6], trials=300)[0]
    noise = 0.6 * np.random.default_rng(0).normal(size=(300, 6)) + 0.7
    said = [judge(values, "better", 1.0).verdict for values in noise]
    assert {word: said.count(word) / 300 for word in OUTCOMES[:7]} == {word: pytest.approx(row[word]) for word in OUTCOMES[:7]}


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


@pytest.mark.parametrize("numbers", [(2.0, 0.0, 1.0), (0.0, 1.0, -1.0), (float("nan"), 0.0, 1.0)])
def test_an_estimate_lies_in_its_interval(numbers):
    with pytest.raises(ClipkitError, match="between the ends"):
        decide(*numbers, "better", 1.0)
