"""The forest plot: what is drawn where, and what it refuses."""

from __future__ import annotations

import math

import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.lab.forest import forest


@pytest.fixture
def axes():
    return new_figure().subplots()


def lines(axes):
    return [tuple(map(tuple, line.get_xydata())) for line in axes.lines]


def test_an_interval_a_row_first_on_top(axes):
    forest(axes, {"a": (1.0, 0.5, 1.5), "b": (0.0, -1.0, 1.0)}, notes=["x", "y"])
    assert ((0.5, 0), (1.5, 0)) in lines(axes) and ((-1.0, 1), (1.0, 1)) in lines(axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()
    assert {"0", "x", "y"} <= {text.get_text() for text in axes.texts}


def test_marks_are_solid_at_zero_and_dashed_elsewhere(axes):
    forest(axes, {"a": (1.0, 0.5, 1.5)}, marks={0: "0", 1.5: "δ"}, points=[0.7, 1.3])
    assert [line.get_linestyle() for line in axes.lines[:2]] == ["-", "--"]
    assert any(sorted(line.get_xdata()) == [0.7, 1.3] for line in axes.lines)


def test_an_interval_without_width_is_drawn(axes):
    forest(axes, {"a": (1.0, 1.0, 1.0)})
    assert ((1.0, 0), (1.0, 0)) in lines(axes)


@pytest.mark.parametrize(
    ("rows", "notes", "message"),
    [
        ({}, None, "at least one"),
        ({"a": (2.0, 0.0, 1.0)}, None, "'a'"),
        ({"a": (math.nan, 0.0, 1.0)}, None, "'a'"),
        ({"a": (0.5, 0.0, 1.0)}, ["x", "y"], "2 notes"),
    ],
)
def test_refusals(axes, rows, notes, message):
    with pytest.raises(ClipkitError, match=message):
        forest(axes, rows, notes=notes)
