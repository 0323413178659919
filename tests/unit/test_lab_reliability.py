"""The reliability diagram draws what `reliability` computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.robust.calibration import reliability
from clipkit.studies.zero_shot_classification import reliability_diagram


@pytest.fixture
def axes():
    return new_figure().subplots()


def test_points_are_the_filled_bins_in_percent(axes):
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    reliability_diagram(axes, {"model": reliability(p, torch.tensor([0, 1, 1]), bins=10)})
    diagonal, line = axes.get_lines()
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_allclose(line.get_xydata(), [[60, 100], [90, 50]], atol=1e-4)
    sizes = axes.collections[0].get_sizes()
    assert sizes[1] == pytest.approx(2 * sizes[0])  # two pictures of three against one
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["model"]


def test_bins_with_few_pictures_are_left_out(axes):
    reliability_diagram(axes, {"model": ([0.1, 0.5, 0.9], [0.2, 0.4, 0.9], [0.009, 0.0, 0.991])})
    np.testing.assert_allclose(axes.get_lines()[1].get_xydata(), [[90, 90]])


def test_lines_differ_without_colour(axes):
    values = ([0.2, 0.8], [0.1, 0.9], [0.5, 0.5])
    reliability_diagram(axes, {"a": values, "b": values, "c": values})
    lines = axes.get_lines()[1:]
    assert len({line.get_linestyle() for line in lines}) == len({line.get_marker() for line in lines}) == 3


def test_refuses_what_it_cannot_draw(axes):
    good = ([0.5], [0.5], [1.0])
    with pytest.raises(ClipkitError, match="one to 3"):
        reliability_diagram(axes, {})
    with pytest.raises(ClipkitError, match="one to 3"):
        reliability_diagram(axes, dict.fromkeys("abcd", good))
    with pytest.raises(ClipkitError, match="0..1"):
        reliability_diagram(axes, {"percent": ([50.0], [50.0], [100.0])})
