"""The sheet says all it shows in its alternative text."""

import numpy as np
import pytest

from clipkit import ClipkitError
from clipkit.lab import sheet as module
from clipkit.lab.sheet import sheet

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def alt(monkeypatch):
    shown, real = {}, module.figure

    def spy(alt, **options):
        shown["alt"] = alt
        return real(alt=alt, **options)

    monkeypatch.setattr(module, "figure", spy)
    return shown


def test_captions_and_their_faults(alt):
    first = {"first": [("a cat", None)], "second": [("a dog dog", None), ("one dog; not a sentence", False)]}
    sheet([IMAGE, IMAGE], [first, {"first": [("", None)]}])
    told = "Picture 1: first: a cat; second: a dog dog, one dog; not a sentence (wrong). Picture 2: first: nothing."
    assert alt["alt"] == told


def test_phrases_true_and_false(alt):
    sheet([IMAGE], [{"cat": [("has whiskers", True), ("has wheels", False)], "dog": []}])
    assert alt["alt"] == "A picture. cat: has whiskers (true), has wheels (wrong); dog: nothing."


@pytest.mark.parametrize("arguments", [([], []), ([IMAGE], []), ([IMAGE], [{}, {}]), ([IMAGE], [{}])])
def test_pictures_and_texts_must_fit(arguments):
    with pytest.raises(ClipkitError, match="give at least one picture"):
        sheet(*arguments)
