"""A caption as a list of things between a beginning and an end, so that one fact can be changed and all else left as it is.

"a photo of a red cat, two cups and a key in the snow" is "a photo of " + three phrases + " in the snow". This reads the world's
short captions and rewrites; a text of another build (relations between its things, no thing at all) gives None.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from clipkit.world.content_plan import Item
from clipkit.world.english import phrase
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, TEXTURES
from clipkit.world.words import MEASURES, NUMBERS, PLACES, PLURALS, SINGULARS, article, join

_COUNTS = {word: n for n, word in enumerate(NUMBERS) if n} | {"a": 1, "an": 1, "a pair of": 2}
_NOUNS = {SINGULARS[c]: c for c in CATEGORIES} | {PLURALS[c]: c for c in CATEGORIES} | {c: c for c in CATEGORIES}


class Telling(NamedTuple):
    """`before` + `phrases` as a list in prose + `after`; `items` are what the phrases say."""

    before: str
    phrases: tuple[str, ...]
    items: tuple[Item, ...]
    after: str

    @property
    def text(self) -> str:
        """The caption, articles and the verb before the first thing set right."""
        return fix_articles(self.before + join(self.phrases) + self.after)

    @property
    def place(self) -> str:
        """The background that is named, or ""."""
        words = re.findall(r"[a-z]+", f"{self.before} {self.after}")
        return next((b for b in BACKGROUNDS if b in words), "")

    def with_items(self, items: list[Item]) -> Telling:
        """Other things in the same frame; a phrase whose item did not change keeps its words."""
        old = dict(zip(self.items, self.phrases, strict=True))
        before = self.before
        if items and (items[0].count == 1) != (self.items[0].count == 1):
            before = re.sub(r"\b(is|are) $", "is " if items[0].count == 1 else "are ", before)
        return Telling(before, tuple(old.get(i) or phrase(i) for i in items), tuple(items), self.after)

    def with_place(self, place: str) -> Telling:
        """The same with another background; unchanged where none is named."""
        old = self.place
        if not old:
            return self
        move = lambda part: re.sub(rf"\b{old}\b", place, part.replace(PLACES[old], PLACES[place]))  # noqa: E731
        return self._replace(before=move(self.before), after=move(self.after))


@cache
def _noun_phrase() -> re.Pattern:
    one_of = lambda words: "|".join(sorted(map(re.escape, words), key=len, reverse=True))  # noqa: E731
    measures = one_of({m for pair in MEASURES.values() for m in pair})
    named = {
        "count": one_of(_COUNTS),
        "size": one_of(SIZES),
        "texture": one_of(TEXTURES),
        "colour": one_of(COLOURS),
        "noun": one_of(_NOUNS),
    }
    count, size, texture, colour, noun = (f"(?P<{name}>{words})" for name, words in named.items())
    return re.compile(rf"\b{count} (?:{size} )?(?:(?:{measures}) of )?(?:{texture} )?(?:{colour} )?{noun}\b(?P<mixed> of different sizes)?")


def read_telling(text: str) -> Telling | None:
    """The parts of a caption; None where its things do not stand in one list.

    >>> read_telling("a photo of a red cat and two small cups in the snow").phrases
    ('a red cat', 'two small cups')
    >>> read_telling("a photo of a red cat and two small cups in the snow").place
    'snow'
    """
    found = list(_noun_phrase().finditer(text))
    if not found or any(text[a.end() : b.start()] not in (", ", " and ") for a, b in zip(found, found[1:], strict=False)):
        return None
    items = [
        Item(_COUNTS[m["count"]], _NOUNS[m["noun"]], m["colour"] or "", m["texture"] or "", m["size"] or "", bool(m["mixed"]))
        for m in found
    ]
    return Telling(text[: found[0].start()], tuple(m.group() for m in found), tuple(items), text[found[-1].end() :])


def fix_articles(text: str) -> str:
    """ "a" and "an" as the next word wants them.

    >>> fix_articles("a orange cat and an cup")
    'an orange cat and a cup'
    """
    return re.sub(r"\b(?:a|an) (?=([a-z]+))", lambda m: f"{article(m[1])} ", text)
