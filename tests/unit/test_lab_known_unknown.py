"""Outlines and scatter of known and unknown pictures: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.studies.clipn_figures import against_diagonal, score_outlines


def test_outlines_share_bins_and_have_area_one():
    axes = new_figure().subplots()
    score_outlines(axes, {"known": [0.0, 1.0, 1.0, 2.0], "near": [5.0, 6.0]}, bins=6)
    data = [patch.get_data() for patch in axes.patches]
    assert all(np.array_equal(d.edges, np.linspace(0, 6, 7)) for d in data)
    assert [float((d.values * np.diff(d.edges)).sum()) for d in data] == pytest.approx([1, 1])
    assert [patch.get_label() for patch in axes.patches] == ["known", "near"]


def test_points_and_diagonal():
    axes = new_figure().subplots()
    against_diagonal(axes, {"known": ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), "far": ([0.0], [4.0])}, most=2)
    known, far, diagonal = axes.lines
    assert known.get_xydata().tolist() == [[1, 2], [2, 2]] and far.get_xydata().tolist() == [[0, 4]]
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())


@pytest.mark.parametrize("scores", [{}, {"known": []}, {str(i): [1.0] for i in range(7)}])
def test_bad_input(scores):
    with pytest.raises(ClipkitError, match="kinds of pictures"):
        score_outlines(new_figure().subplots(), scores)
