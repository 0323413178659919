"""Label maps on paper: what is painted, what is named, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.label_maps import coloured, panels


def drawn(monkeypatch, *args, **options):
    shown = []
    monkeypatch.setattr("clipkit.lab.figures.show", lambda drawing, alt: shown.append((drawing, alt)))
    panels(*args, **options)
    [(drawing, alt)] = shown
    return drawing, alt


def test_the_background_is_pale_and_regions_are_named(monkeypatch):
    labels = np.zeros((8, 8), np.int64)
    labels[2:6, 2:6] = 3
    assert (coloured(labels)[0, 0] == 235).all() and (coloured(labels)[3, 3] != 235).any()
    parts = {"a": labels, "b": np.eye(4), "c": coloured(labels)}
    drawing, alt = drawn(monkeypatch, parts, alt="three", names=["", "x", "y", "cat"], points={"b": (1, 1)})
    assert alt == "three" and [axis.get_title() for axis in drawing.axes] == ["a", "b", "c"]
    [name] = drawing.axes[0].texts
    assert name.get_text() == "cat" and labels[int(name.get_position()[1]), int(name.get_position()[0])] == 3
    assert len(drawing.axes[1].lines) == 2 and not drawing.axes[1].texts


def test_three_largest_regions_are_named(monkeypatch):
    labels = np.zeros((40, 40), np.int64)
    for place, side in ((0, 4), (10, 6), (20, 8), (30, 10)):
        labels[place : place + side, place : place + side] = 1
    drawing, _ = drawn(monkeypatch, {"a": labels}, alt="regions", names=["", "cat"])
    assert len(drawing.axes[0].texts) == 3 and min(text.get_position()[1] for text in drawing.axes[0].texts) > 9


def test_other_shapes_are_refused():
    with pytest.raises(ClipkitError, match="label map or a heat map"):
        panels({"a": np.zeros((2, 2, 5))}, alt="bad")
