"""Five ways to spoil a caption word by word, so that a classifier can learn what a well-formed one looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clipkit.errors import ClipkitError, unknown

LONGEST, MOST = 3, 3  # words that are repeated or removed at once; how often, or how many words, in a row
TRIES = 50

Words = list[str]


def _repeat(words: Words, vocabulary: Sequence[str], rng: np.random.Generator) -> Words:
    n = int(rng.integers(1, min(LONGEST, len(words)) + 1))
    start = int(rng.integers(len(words) - n + 1))
    gram, out = words[start : start + n], list(words)
    for _ in range(int(rng.integers(1, MOST + 1))):
        at = int(rng.integers(len(out) + 1))
        out[at:at] = gram
    return out


def _remove(words: Words, vocabulary: Sequence[str], rng: np.random.Generator) -> Words:
    if len(words) < 2:
        return words  # nothing would be left
    n = int(rng.integers(1, min(LONGEST, len(words) - 1) + 1))
    start = int(rng.integers(len(words) - n + 1))
    return words[:start] + words[start + n :]


def _insert(words: Words, vocabulary: Sequence[str], rng: np.random.Generator) -> Words:
    out = list(words)
    for _ in range(int(rng.integers(1, MOST + 1))):
        out.insert(int(rng.integers(len(out))), vocabulary[int(rng.integers(len(vocabulary)))])
    return out


def _swap(words: Words, vocabulary: Sequence[str], rng: np.random.Generator) -> Words:
    out = list(words)
    for _ in range(int(rng.integers(1, MOST + 1))):
        out[int(rng.integers(len(out)))] = vocabulary[int(rng.integers(len(vocabulary)))]
    return out


def _shuffle(words: Words, vocabulary: Sequence[str], rng: np.random.Generator) -> Words:
    return [words[i] for i in rng.permutation(len(words))]


_WAYS: dict[str, Callable[[Words, Sequence[str], np.random.Generator], Words]] = {
    "repeat": _repeat,
    "remove": _remove,
    "insert": _insert,
    "swap": _swap,
    "shuffle": _shuffle,
}
CORRUPTION_KINDS: tuple[str, ...] = tuple(_WAYS)


def corrupt_caption(text: str, vocabulary: Sequence[str], kind: str | None = None, rng: np.random.Generator | int = 0) -> str:
    """A caption spoilt in one way; never the caption itself.

    Args:
        text: words between spaces. vocabulary: words that `insert` and `swap` draw from.
        kind: "repeat" copies one to three neighbouring words to one to three places; "remove" drops one to three
            neighbours; "insert" puts one to three random words in (never behind the last); "swap" overwrites one to three
            words, and may hit a place twice; "shuffle" mixes all words. None: each equally often.
        rng: a generator (its state moves on) or a seed.

    Returns: the words joined by spaces.
    Raises: ClipkitError for an unknown kind, a caption without words, an empty vocabulary, and a kind that cannot change
        the caption (shuffling one word, removing the only one).

    As in the authors' code, but a result that equals the caption is drawn again (there, a shuffle may change nothing) and a
    caption shorter than three words is no error.
    Source: arXiv:2205.13115, section 3.3; kinds and numbers from the authors' retrieval/text_utils.py.

    >>> corrupt_caption("a cat in the snow", ["dog", "red"], "remove", rng=3)
    'a the snow'
    """
    rng = np.random.default_rng(rng) if isinstance(rng, int) else rng
    words = text.split()
    if not words:
        raise ClipkitError("an empty caption cannot be spoilt; give a text with at least one word")
    if not len(vocabulary):
        raise ClipkitError("give at least one word as the vocabulary that insert and swap draw from")
    if kind is not None and kind not in _WAYS:
        raise unknown("kind of corruption", kind, CORRUPTION_KINDS)
    for _ in range(TRIES):
        way = kind or CORRUPTION_KINDS[int(rng.integers(len(CORRUPTION_KINDS)))]
        spoilt = _WAYS[way](words, vocabulary, rng)
        if spoilt != words:
            return " ".join(spoilt)
    raise ClipkitError(f"{kind or 'no corruption'!r} cannot change the caption {text!r}; take a longer caption or another kind")
