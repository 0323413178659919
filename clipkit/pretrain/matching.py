"""MetaCLIP's matching: which metadata entries stand in a text, letter by letter, between spaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.pretrain.phrases import PhraseCounter

MARKS = ",.;:?!`"
_CHANGES = [*((mark, f" {mark} ") for mark in MARKS), *((gap, " ") for gap in "\t\n\r")]


def spaced(text: str) -> str:
    """A space at either end and around , . ; : ? ! and the back-tick; tabs and line ends become spaces. Nothing else changes.

    Case stays, brackets, quotes, hyphens and "#" stay where they are, and neighbouring spaces are not joined.

    >>> spaced("Red-cat, 3:15!")
    ' Red-cat ,  3 : 15 !  '

    Source: `spacing` of facebookresearch/MetaCLIP, with which it agrees on every text.
    """
    text = f" {text} "
    for old, new in _CHANGES:  # faster than a translation table, which goes letter by letter
        text = text.replace(old, new)
    return text


class SubstringMatcher(PhraseCounter):
    """Which of P metadata entries stand in which texts, by MetaCLIP's rule: " entry " is a part of the spaced text.

    One pass over a text with the automaton of `PhraseCounter`, all overlapping and nested entries included. Texts are
    normalised, entries are not: an entry that holds a comma never matches, as in the released code.

    Args:
        entries: P strings, not blank; two that are the same are both found.
        normalise: what is done to a text; the default is the paper's.

    >>> matcher = SubstringMatcher(["cat", "hot dog", "dog", "Cat"])
    >>> [ids.tolist() for ids in matcher.match(["hot dog, cat.", "Cat(dog)", "hot-dog category"])]
    [[0, 1, 2], [], []]

    Raises: ClipkitError for no entries, or a blank one.

    Source: arXiv:2309.16671, section 3.1 and algorithm 1; `substr_matching` of facebookresearch/MetaCLIP. Its automaton
    keeps one number for entries that are equal, its plain loop all of them; here all are found.
    """

    def __init__(self, entries: Sequence[str], normalise: Callable[[str], str] = spaced):
        super().__init__(entries, normalise=lambda entry: f" {entry} ")  # entries are taken as they are
        self.normalise = normalise

    @property
    def entries(self) -> list[str]:
        """The P metadata entries, in the order of their numbers."""
        return self.phrases

    def match(self, texts: Iterable[str]) -> list[np.ndarray]:
        """For each text the numbers of its entries, ascending, each once: int32 arrays. Raises: ClipkitError for one string."""
        if isinstance(texts, str):
            raise ClipkitError("match wants a list of texts; put the one text into a list")
        return [np.array(self.found(text), dtype=np.int32) for text in texts]
