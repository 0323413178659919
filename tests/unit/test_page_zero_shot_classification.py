"""The page of zero-shot classification: the reliability diagram draws what `reliability` computes; figures and sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.robust.calibration import reliability
from clipkit.studies.zero_shot_classification import (
    draw_reliability,
    show_calibration,
    show_nearest,
    show_templates,
    tell_photographs,
)


@pytest.fixture
def axes():
    return new_figure().subplots()


def test_points_are_the_filled_bins_in_percent(axes):
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    draw_reliability(axes, {"model": reliability(p, torch.tensor([0, 1, 1]), bins=10)})
    diagonal, line = axes.get_lines()
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_allclose(line.get_xydata(), [[60, 100], [90, 50]], atol=1e-4)
    sizes = axes.collections[0].get_sizes()
    assert sizes[1] == pytest.approx(2 * sizes[0])  # two pictures of three against one
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["model"]


def test_bins_with_few_pictures_are_left_out(axes):
    draw_reliability(axes, {"model": ([0.1, 0.5, 0.9], [0.2, 0.4, 0.9], [0.009, 0.0, 0.991])})
    np.testing.assert_allclose(axes.get_lines()[1].get_xydata(), [[90, 90]])


def test_lines_differ_without_colour(axes):
    values = ([0.2, 0.8], [0.1, 0.9], [0.5, 0.5])
    draw_reliability(axes, {"a": values, "b": values, "c": values})
    lines = axes.get_lines()[1:]
    assert len({line.get_linestyle() for line in lines}) == len({line.get_marker() for line in lines}) == 3


def test_refuses_what_it_cannot_draw(axes):
    good = ([0.5], [0.5], [1.0])
    with pytest.raises(ClipkitError, match="one to 3"):
        draw_reliability(axes, {})
    with pytest.raises(ClipkitError, match="one to 3"):
        draw_reliability(axes, dict.fromkeys("abcd", good))
    with pytest.raises(ClipkitError, match="0..1"):
        draw_reliability(axes, {"percent": ([50.0], [50.0], [100.0])})


def test_figures_say_what_they_show(monkeypatch):
    drawn, figure = [], lab.figure
    monkeypatch.setattr(lab, "figure", lambda alt, **options: drawn.append(alt) or figure(alt=alt, **options))
    show_nearest(np.zeros((4, 4, 3), np.uint8), ["a cat", "a dog ✓"], torch.tensor([0.2, 0.8]), "a picture")
    show_templates(pd.DataFrame({"a {}": [50.0, 60.0], "{}": [40.0, 42.0]}), {"ensemble": 70.0, "bare name": 41.0})
    show_calibration({"as it comes": torch.tensor([[0.9, 0.1], [0.8, 0.2]])}, torch.tensor([0, 1]))
    assert drawn[0] == "a picture" and "from 41.0 to 55.0 %. ensemble: 70.0 %" in drawn[1]
    assert "as it comes: 45.0." in drawn[2]  # off by 0.1 and by 0.8, half of the pictures each


def test_photographs_are_told_by_hand():
    guesses = [["cat", "cup", "owl", "key"], ["cat", "owl", "cup", "key"], ["cat", "key", "owl", "cup"], ["key", "cat", "owl", "cup"]]
    said = tell_photographs(("cat", "cup", "owl", "key"), guesses, [1, 3, 3, 1], 2)
    assert "right for 2 of the 4 photographs; for 4 the right caption" in said and "templates instead of captions, 2 are right" in said
    assert "cup taken for cat (right caption at place 3); owl taken for cat (right caption at place 3)" in said
    assert said.endswith("something else is owl: 3 times.")  # the cat as often, but later
