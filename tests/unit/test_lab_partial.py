"""Partial correlation: the residuals' correlation, groups taken out, nothing where nothing moves; and the score panels' choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.lab.score_panels import MOST, score_panels, shown_classes
from clipkit.studies.amu_tuning_partial import partial_correlation


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 40), st.integers(0, 10**6))
def test_equals_the_correlation_of_residuals_and_the_textbook_formula(n, seed):
    x, y, z = np.random.default_rng(seed).normal(size=(3, n))
    design = np.stack([np.ones(n), z], 1)
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    found = partial_correlation(x, y, z)
    assert found == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-8)
    r = np.corrcoef([x, y, z])
    assert found == pytest.approx((r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2)), abs=1e-8)
    assert partial_correlation(3 * x + 2 * z - 5, -y, z) == pytest.approx(-found, abs=1e-8)


def test_shifts_of_whole_groups_do_not_matter():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 12))
    group = np.repeat(["a", "b", "c"], 4)
    shift = np.repeat([100.0, -50.0, 7.0], 4)
    assert partial_correlation(x + shift, y - 2 * shift, z + 3 * shift, group) == pytest.approx(partial_correlation(x, y, z, group))
    design = np.stack([*(group == g for g in "abc"), z], 1).astype(float)
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    assert partial_correlation(x, y, z, group) == pytest.approx(np.corrcoef(*left)[0, 1])


def test_nothing_where_nothing_moves():
    x, z = np.arange(5.0), np.array([0.1, 0.4, 0.2, 0.9, 0.3])
    assert partial_correlation(x, np.full(5, 0.1), z) == 0.0
    assert partial_correlation(x, 3 * z + 0.1, z) == 0.0  # all of y is explained by z
    assert partial_correlation(x, x, np.full(5, 2.0)) == pytest.approx(1.0)
    assert partial_correlation(x, z, z[::-1], group=range(5)) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2], [1, 2]), "at least 3"),
        (([1, 2, 3], [1, 2, 3, 4], [1, 2, 3]), "one length"),
        (([1, 2, float("nan")], [1, 2, 3], [1, 2, 3]), "NaN"),
        (([1, 2, 3], [1, 2, 3], [1, 2, 3], ["a"]), "group labels"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ClipkitError, match=message):
        partial_correlation(*arguments)


def test_the_classes_shown_hold_the_truth_and_every_winner():
    rng = np.random.default_rng(1)
    for C in (2, 5, 48):
        scores = [rng.normal(size=C) for _ in range(3)]
        shown = shown_classes(scores, C - 1)
        assert len(shown) == min(C, MOST) == len(set(shown)) and C - 1 in shown
        assert {int(s.argmax()) for s in scores} <= set(shown)


def test_panels_draw_and_refuse(capsys):
    picture, names = np.zeros((4, 4, 3), np.uint8), ["cat", "cup", "car"]
    score_panels(picture, {"zero-shot": [1, 3, 2], "bias": [0, 0, 0], "sum": [1, 3, 2]}, names, 2, "A title")
    said = capsys.readouterr().out
    assert "class car" in said and "zero-shot: cup" in said and "bias: all the same" in said
    with pytest.raises(ClipkitError, match="class names"):
        score_panels(picture, {"bias": [1, 2]}, names, 0)
