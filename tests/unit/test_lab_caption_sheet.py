"""The caption sheet says all it shows in its alternative text."""

import numpy as np
import pytest

from clipkit import ClipkitError
from clipkit.lab import caption_sheet as module
from clipkit.lab.caption_sheet import caption_sheet

IMAGE = np.zeros((8, 8, 3), np.uint8)


def test_faults_are_in_the_alternative_text(monkeypatch):
    shown = {}
    real = module.figure

    def spy(alt, **options):
        shown["alt"] = alt
        return real(alt=alt, **options)

    monkeypatch.setattr(module, "figure", spy)
    caption_sheet([IMAGE, IMAGE], [{"first": ("a cat", []), "second": ("a dog dog", ["one dog", "not a sentence"])}, {"first": ("", [])}])
    assert shown["alt"] == "Picture 1: first: a cat; second: a dog dog (wrong: one dog, not a sentence). Picture 2: first: ."


@pytest.mark.parametrize("arguments", [([], []), ([IMAGE], []), ([IMAGE], [{}, {}])])
def test_pictures_and_captions_must_fit(arguments):
    with pytest.raises(ClipkitError):
        caption_sheet(*arguments)
