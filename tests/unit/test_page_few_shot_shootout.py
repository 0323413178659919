"""The page few_shot_shootout: two dots a row where they belong."""

from __future__ import annotations

import pandas as pd
import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.studies.few_shot_shootout import draw_dumbbells, draw_shots


def test_rows_lie_bottom_up_with_an_open_and_a_full_dot():
    axes = new_figure().subplots()
    draw_dumbbells(axes, {"first": (1.0, 3.0), "second": (2.0, 2.5)}, xlabel="x")
    lines = [(list(line.get_xdata()), list(line.get_ydata()), line.get_markerfacecolor()) for line in axes.lines]
    assert lines[0][:2] == ([1.0, 3.0], [0, 0]) and lines[1] == ([1.0], [0], "white") and lines[5] == ([2.5], [1], "black")
    assert [text.get_text() for text in axes.get_yticklabels()] == ["first", "second"] and axes.get_xlabel() == "x"


def test_no_row_is_told():
    with pytest.raises(ClipkitError, match="at least one row"):
        draw_dumbbells(new_figure().subplots(), {})


def test_curves_and_heat_map_show_the_means(capsys):
    rows = [(seed, arm, k, base + k + seed) for seed in (0, 2) for arm, base in (("gda", 1.0), ("coop", 5.0)) for k in (1, 4)]
    table = pd.DataFrame([*rows, (0, "gda_fixed", 1, 99.0)], columns=["seed", "arm", "shots", "value"])
    grid = draw_shots(table, ["gda", "coop"], ["gda"], "world")
    assert grid.loc["gda"].tolist() == [3.0, 6.0] and grid.loc["coop", 4] == 10.0 and "gda_fixed" not in grid.index
    said = capsys.readouterr().out
    assert "(1, 4), world: gda 3.0, 6.0." in said and "First place: coop at 1, coop at 4." in said
