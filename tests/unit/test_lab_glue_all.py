"""Several numbers and words for the prose at once."""

from __future__ import annotations

import doctest

import pytest

from clipkit.errors import ClipkitError
from clipkit.lab import glue_all, notebook


def test_names_and_digits(monkeypatch):
    kept = {}
    monkeypatch.setattr(notebook, "kernel", lambda: object())
    monkeypatch.setattr(notebook, "publish", lambda data, metadata: kept.update({metadata["scrapbook"]["name"]: list(data.values())[0]}))
    glue_all(1, test_gain=-2.345, best_task="sketch", n=3)
    assert kept == {"test-gain": "\N{MINUS SIGN}2.3", "best-task": "sketch", "n": "3.0"}
    glue_all(n=3)
    assert kept["n"] == "3"
    glue_all(1, none=-0.04, said="from -0.0 to -1.5 points")
    assert kept["none"] == "0.0" and kept["said"] == "from 0.0 to \N{MINUS SIGN}1.5 points"
    assert doctest.testmod(notebook).failed == 0
    with pytest.raises(ClipkitError, match="finite"):
        glue_all(1, gain=float("nan"))
