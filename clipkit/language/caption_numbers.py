"""Numbers in captions: which one is stated, and the same caption with another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clipkit.errors import ClipkitError
from clipkit.world.words import NUMBERS

COUNTS = tuple(range(2, 11))  # two to ten
_NUMBER = re.compile(rf"(?<![\w-])(?<!number )(?:{'|'.join(NUMBERS[n] for n in COUNTS)})(?![\w-])", re.IGNORECASE)
# A number before one of these counts no things: "a two year old", "a four wheeler", "a three man tent".
_MEASURE = re.compile(r"\s+(?:years?|months?|feet|foot|inch(?:es)?|met(?:er|re)s?|miles?|wheel\w*|legged|man|way|story|lane)\b", re.I)


def stated_count(caption: str) -> int | None:
    """The number of things that a caption states in a word, two to ten; None without one, with several, or where it measures.

    >>> [stated_count(s) for s in ("Two dogs often run", "a two-year-old", "two men and three dogs", "ten feet of snow")]
    [2, None, None, None]
    """
    found = list(_NUMBER.finditer(caption))
    if len(found) != 1 or _MEASURE.match(caption, found[0].end()):
        return None
    return NUMBERS.index(found[0].group().lower())


def swap_number(caption: str, count: int, new: int) -> str:
    """The caption with another number in the place of `count`, in the same case; parts of words and of "two-seater" stay.

    All numbers are two to ten, so that the noun stays a plural: "one dogs" would give the answer away.

    >>> swap_number("Ten men often attend", 10, 3)
    'Three men often attend'

    Raises ClipkitError: a number that is not two to ten; a caption that does not state `count` exactly once.
    """
    for n in (count, new):
        if n not in COUNTS:
            raise ClipkitError(f"numbers are two to ten, got {n}: with one the noun would have to change, and give the answer away")
    found = [m for m in _NUMBER.finditer(caption) if m.group().lower() == NUMBERS[count]]
    if len(found) != 1:
        raise ClipkitError(f"{caption!r} states {NUMBERS[count]!r} {len(found)} times; it has to be once")
    (a, b), old = found[0].span(), found[0].group()
    word = NUMBERS[new].upper() if old.isupper() else NUMBERS[new].title() if old[0].isupper() else NUMBERS[new]
    return caption[:a] + word + caption[b:]


def counterfactual_captions(captions: Sequence[str], counts: Sequence[int]) -> list[list[str]]:
    """For each caption the nine that state two, three, ... ten; the one at counts[i] − 2 is the caption itself."""
    return [[swap_number(caption, n, new) for new in COUNTS] for caption, n in zip(captions, counts, strict=True)]
