"""Points with lines: the slopes, what is drawn, what cannot be drawn."""

from __future__ import annotations

import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.lab.scatter import scatter_lines
from clipkit.notices import forget, notices


def test_lines_go_through_the_points():
    axes = new_figure().subplots()
    slopes = scatter_lines(axes, {"zero_shot": ([0, 10, 20], [0, 5, 10]), "clip_adapter": ([0, 10], [3, 1])})
    assert slopes == {"zero_shot": pytest.approx(0.5), "clip_adapter": pytest.approx(-0.2)}
    line = next(drawn for drawn in axes.lines if drawn.get_label() == "clip adapter")
    assert list(line.get_ydata()) == pytest.approx([3, -17])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["zero shot", "clip adapter"]


@pytest.mark.parametrize("points", [([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0])])
def test_points_at_one_place_stand_without_a_line(points):
    forget()
    axes = new_figure().subplots()
    assert scatter_lines(axes, {"prompt": points, "zero_shot": ([0, 10], [0, 5])}) == {"prompt": 0.0, "zero_shot": pytest.approx(0.5)}
    drawn = [line for line in axes.lines if len(line.get_xdata()) and list(line.get_xdata()) == points[0]]
    assert len(drawn) == 1 and list(drawn[0].get_ydata()) == points[1]  # the points, and nothing through them
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["prompt", "zero shot"]
    assert f"all {len(points[0])} points lie at 1" in notices()[-1]


def test_no_points_at_all_are_refused():
    with pytest.raises(ClipkitError, match="no points"):
        scatter_lines(new_figure().subplots(), {"prompt": ([], [])})
