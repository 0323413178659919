"""The pictures of a task and the violins of a graded truth."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.lab.task_panels import graded_violins, task_panels


def test_every_number_of_a_task_is_written_where_it_belongs():
    axes = new_figure((6, 5)).subplots(2, 2)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    task_panels(axes, images, ["a", "b"], {"clip_score": np.array([[0.1, 0.2], [0.3, 0.4]]), "other": np.eye(2)})
    found = {t.get_position(): t.get_text() for t in axes[1, 0].texts}
    assert found == {(0, 0): "0.10", (1, 0): "0.20", (0, 1): "0.30", (1, 1): "0.40"}
    assert axes[0, 1].get_title() == "picture 2\nb" and axes[1, 0].get_title() == "clip score"


def test_a_violin_for_each_level():
    axes = new_figure((6, 3)).subplots(1, 2)
    truth = np.repeat([0.0, 0.5, 1.0], 10)
    graded_violins(axes, {"one": truth + 0.1, "two_words": np.arange(30.0)}, truth, {"one": "1.00", "two_words": "0.90"}, "true statements")
    assert axes[0].get_title() == "one, 1.00" and axes[1].get_title() == "two words, 0.90"
    assert len(axes[0].get_xticks()) == 3


def test_a_task_has_two_of_everything():
    axes = new_figure((6, 5)).subplots(2, 2)
    with pytest.raises(ClipkitError, match="two pictures"):
        task_panels(axes, np.zeros((1, 8, 8, 3), np.uint8), ["a", "b"], {"x": np.eye(2), "y": np.eye(2)})
