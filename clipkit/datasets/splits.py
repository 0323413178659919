"""The three parts of a data set, and what people call them."""

from __future__ import annotations

SPLITS = ("train", "val", "test")
_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing", "tst"),
}
_SPLIT_OF = {word: split for split, others in _WORDS.items() for word in others}


def split_of(word: str) -> str | None:
    """Which of "train", "val" and "test" a folder's name or a table's cell means, in any case; None when it is something else.

    >>> split_of(" Training"), split_of("valid"), split_of("cat")
    ('train', 'val', None)
    """
    return _SPLIT_OF.get(word.strip().casefold())


def words_for(split: str) -> tuple[str, ...]:
    """Other names under which a split may be found, the usual one first."""
    return _WORDS.get(split_of(split) or "", (split,))
