"""Points with lines: the slopes, what is drawn, what cannot be drawn."""

from __future__ import annotations

import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.lab.scatter import scatter_lines


def test_lines_go_through_the_points():
    axes = new_figure().subplots()
    slopes = scatter_lines(axes, {"zero_shot": ([0, 10, 20], [0, 5, 10]), "clip_adapter": ([0, 10], [3, 1])})
    assert slopes == {"zero_shot": pytest.approx(0.5), "clip_adapter": pytest.approx(-0.2)}
    line = next(drawn for drawn in axes.lines if drawn.get_label() == "clip adapter")
    assert list(line.get_ydata()) == pytest.approx([3, -17])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["zero shot", "clip adapter"]


@pytest.mark.parametrize("points", [([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0])])
def test_no_line_without_two_places(points):
    with pytest.raises(ClipkitError, match="two different x"):
        scatter_lines(new_figure().subplots(), {"prompt": points})
