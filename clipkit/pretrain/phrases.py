"""Counting phrases in captions: many thousands at once, whole words only, whatever the case (Aho and Corasick)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np

from clipkit.errors import ClipkitError

_QUOTES = re.compile(r"[\"'‘’“”`]")
_GAP = re.compile(r"[\W_]+")


def plain_words(text: str) -> str:
    """Folded case, quotes dropped, everything else that is no letter or digit a space; one space at either end.

    >>> plain_words("Red-Cat_023.jpg: the cat's!")
    ' red cat 023 jpg the cats '

    Source: arXiv:2401.12425's released parser, which drops quotes and lets SQLite's full-text index split the rest.
    """
    return f" {_GAP.sub(' ', _QUOTES.sub('', text.casefold())).strip()} "


class PhraseCounter:
    """Which of P phrases stand in which captions.

    All phrases are looked for in one pass over a caption, in a time that does not depend on P
    (pyahocorasick). A phrase matches whole words: "cat" is in "a cat." and not in "a category".

    Args:
        phrases: P phrases; two that are the same after `normalise` are both counted.
        normalise: text -> text with a space at either end, applied to phrases and captions.

    >>> counter = PhraseCounter(["cat", "hot dog"])
    >>> counter.count(["A cat and a cat", "Hot-dog!", "category"]).tolist()
    [1, 1]

    Raises: ClipkitError for no phrases, or one of which nothing is left after `normalise`.
    Source: Aho and Corasick, Efficient string matching (1975).
    """

    def __init__(self, phrases: Sequence[str], normalise: Callable[[str], str] = plain_words):
        if isinstance(phrases, str) or not len(phrases):
            raise ClipkitError("a phrase counter needs a list of at least one phrase")
        self.phrases, self.normalise = list(phrases), normalise
        self._ids: dict[str, list[int]] = {}
        for p, phrase in enumerate(self.phrases):
            key = normalise(phrase)
            if not key.strip():
                raise ClipkitError(f"phrase {phrase!r} holds no letter or digit, so it would match everywhere; take it out")
            self._ids.setdefault(key, []).append(p)

    @cached_property
    def _automaton(self):
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for key, ids in self._ids.items():
            automaton.add_word(key, tuple(ids))
        automaton.make_automaton()
        return automaton

    def found(self, caption: str) -> list[int]:
        """Numbers of the phrases in one caption, ascending, each once."""
        return sorted({p for _, ids in self._automaton.iter(self.normalise(caption)) for p in ids})

    def matches(self, captions: Iterable[str]):
        """scipy.sparse.csr_array (N, P) bool: phrase p stands in caption n."""
        from scipy.sparse import csr_array

        columns, ends = [], [0]
        for caption in captions:
            columns += self.found(caption)
            ends.append(len(columns))
        data = np.ones(len(columns), dtype=bool)
        return csr_array((data, np.array(columns, dtype=np.int64), np.array(ends)), shape=(len(ends) - 1, len(self.phrases)))

    def count(self, captions: Iterable[str]) -> np.ndarray:
        """(P,) int64: captions in which each phrase stands, however often it does."""
        total = np.zeros(len(self.phrases), dtype=np.int64)
        for caption in captions:
            total[self.found(caption)] += 1
        return total
