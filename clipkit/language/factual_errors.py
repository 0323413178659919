"""Captions spoilt fact by fact, with the truth about each: how much is true, how much of what there is to say is said, how fluent.

These corruptions know what a caption states. (Those that know words only, by their place in the row, are
`clipkit.language.word_noise`.)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.language.parsed_caption import Telling, fix_articles, read_telling
from clipkit.language.vocabulary import split_words
from clipkit.language.word_noise import corrupt_caption
from clipkit.world.caption_negatives import absent_category
from clipkit.world.caption_parser import fidelity
from clipkit.world.content_plan import HashRandom, Item, SceneFacts, groups, states, truths
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS
from clipkit.world.words import PLACES, noun_phrase

FALSE = ("wrong_colour", "swapped_colours", "wrong_category", "wrong_count", "wrong_place", "added_object")
TRUE = ("dropped_object", "dropped_colour", "paraphrase", "padding", "negation")
FLUENCY = ("shuffled", "repeated", "truncated", "lost_articles")
KINDS = FALSE + TRUE + FLUENCY
_PADDING = ("this picture shows what we see : ", "look , here you can see ", "you can see in this picture ")
_PATTERNS = ("{things} {place}", "you can see {things} {place}", "this picture shows {things} {place}", "look, {things} {place}",
             "{place} there {be} {things}", "against a {b} background {be} {things}", "the {b} background is behind {things}",
             "a {b} scene with {things}", "{things}: that is what we see {place}")  # fmt: skip


class Graded(NamedTuple):
    """A text and the truth about it, each 0 to 1: statements that are true, key facts that are stated, words in their place."""

    text: str
    precision: float
    recall: float
    fluency: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def quality(self) -> float:
        """Mean of `f1` and fluency."""
        return (self.f1 + self.fluency) / 2


def corrupt_text(text: str, kind: str, scene, rate: float = 0.5, seed: int | HashRandom = 0) -> Graded | None:
    """A caption made worse (or only different) in one way, graded against its scene; None where the kind is impossible.

    Args:
        text: a caption of the `short` or `rewrite` register (see `tellings`).
        kind: one of KINDS. False facts: "wrong_colour", "swapped_colours", "wrong_category", "wrong_count", "wrong_place",
            "added_object". Still true: "dropped_object", "dropped_colour", "paraphrase", "padding" (an empty phrase before it),
            "negation" (denies what is not there). No fact changed, but fluency: "shuffled", "repeated" (some words one to three times
            more, whatever the rate), "lost_articles"; "truncated" loses facts with its end.
        scene: a Scene or Truth. rate: share of the things, or of the words, that is hit; at least one.
        seed: a number, or a Draw that goes on.

    Raises: ClipkitError for an unknown kind, or a rate outside 0..1.
    """
    if kind not in KINDS:
        raise unknown("kind of corruption", kind, KINDS)
    if not 0 < rate <= 1:
        raise ClipkitError(f"rate is a share above 0 and at most 1, got {rate}")
    truth = scene if isinstance(scene, SceneFacts) else next(truths(scene))
    draw = (
        seed if isinstance(seed, HashRandom) else HashRandom(states(np.array([zlib.crc32(text.encode())], dtype=np.uint64), kind, seed)[0])
    )
    if kind in FLUENCY:
        if len(text.split()) < 2:
            return None
        spoilt = _spoil(text, kind, rate, draw)
        return None if spoilt == text else grade(truth, spoilt, parent=text, content=spoilt if kind == "truncated" else text)
    telling = read_telling(text)
    if telling is None:
        return None
    changed = _change(telling, kind, truth, rate, draw)
    return None if changed is None or changed == text else grade(truth, changed)


def grade(scene, text: str, parent: str | None = None, content: str | None = None) -> Graded:
    """The truth about a text. `parent`: the well-formed text it was spoilt from; `content`: the text its facts are read from.

    Fluency is 1 − (words to change, add or take away to reach the parent) / (words of the longer one).
    """
    found = fidelity(scene, text if content is None else content)
    a, b = split_words(text), split_words(text if parent is None else parent)
    return Graded(text, found["precision"], found["recall"], 1 - word_distance(a, b) / max(len(a), len(b), 1))


def word_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein's distance in words.

    >>> word_distance("a red cat".split(), "a cat sits".split())
    2
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def _spoil(text: str, kind: str, rate: float, draw: HashRandom) -> str:
    words = text.split()
    n = max(1, round(rate * len(words)))
    if kind == "truncated":
        return " ".join(words[: max(1, len(words) - n)])
    if kind == "lost_articles":
        at = draw.shuffled(i for i, w in enumerate(words) if w in ("a", "an", "the"))
        gone = set(at[: math.ceil(rate * len(at))])
        return " ".join(w for i, w in enumerate(words) if i not in gone)
    if kind == "repeated":
        return corrupt_caption(text, words, "repeat", np.random.default_rng(draw(2**31)))
    for _ in range(20):  # the chosen words change places among themselves; drawn again where that changes nothing
        at, out = sorted(draw.shuffled(range(len(words)))[: max(2, n)]), list(words)
        for i, w in zip(at, draw.shuffled([words[i] for i in at]), strict=True):
            out[i] = w
        if out != words:
            break
    return " ".join(out)


def _change(telling: Telling, kind: str, truth: SceneFacts, rate: float, draw: HashRandom) -> str | None:
    items, present = list(telling.items), {t.category for t in truth.things}
    hits = draw.shuffled(range(len(items)))[: max(1, round(rate * len(items)))]
    counts = {category: len(same) for (category, _), same in groups(truth.things, False).items()}
    if kind == "paraphrase":
        return _paraphrase(telling, draw)
    if kind == "padding":
        return draw.pick(_PADDING).replace(" :", ":").replace(" ,", ",") + telling.text
    if kind == "negation":
        return f"{telling.text}, but no {noun_phrase(1, absent_category(truth, draw), lead='')}"
    if kind == "wrong_place":
        return telling.with_place(draw.pick([b for b in BACKGROUNDS if b != truth.background])).text if telling.place else None
    if kind == "added_object":
        for _ in hits:
            colour = draw.pick(list(COLOURS)) if any(i.colour for i in items) else ""
            items.insert(draw(len(items) + 1), Item(1 + draw(2), draw.pick([c for c in CATEGORIES if c not in present]), colour))
    elif kind == "dropped_object":
        if len(items) < 2:
            return None
        items = [i for at, i in enumerate(items) if at not in hits[: len(items) - 1]]
    elif kind == "dropped_colour":
        hits = [at for at in hits if items[at].colour] or [at for at, i in enumerate(items) if i.colour][:1]
        for at in hits:
            items[at] = items[at]._replace(colour="", count=counts.get(items[at].category, items[at].count))
        if len({i.category for i in items}) < len(items):
            return None  # "a cat and a red cat": it is not clear any more what is meant
    elif kind == "swapped_colours":
        pairs = [(a, b) for a in range(len(items)) for b in range(a) if items[a].colour and items[b].colour]
        pairs = [(a, b) for a, b in pairs if items[a].colour != items[b].colour and items[a].category != items[b].category]
        if not pairs:
            return None
        a, b = draw.pick(pairs)
        items[a], items[b] = items[a]._replace(colour=items[b].colour), items[b]._replace(colour=items[a].colour)
    else:
        if kind == "wrong_colour":
            hits = [at for at in hits if items[at].colour] or [at for at, i in enumerate(items) if i.colour][:1]
        for at in hits:
            items[at] = _false_item(items[at], kind, truth, present, draw)
    return telling.with_items(items).text if items != list(telling.items) else None


def _false_item(item: Item, kind: str, truth: SceneFacts, present: set[str], draw: HashRandom) -> Item:
    if kind == "wrong_colour":
        shown = {t.colour for t in truth.things if t.category == item.category}
        return item._replace(colour=draw.pick([c for c in COLOURS if c not in shown and c != item.colour]))
    if kind == "wrong_category":
        return item._replace(category=draw.pick([c for c in CATEGORIES if c not in present]))
    return item._replace(count=draw.pick([n for n in range(1, 6) if n != item.count]))


def _paraphrase(telling: Telling, draw: HashRandom) -> str | None:
    """The same facts in another frame, the things in another order; None where no place is named."""
    place = telling.place
    if not place:
        return None
    telling = telling.with_items(draw.shuffled(telling.items))
    things = telling._replace(before="", after="").text
    be = "is" if telling.items[0].count == 1 else "are"
    return fix_articles(draw.pick(_PATTERNS).format(things=things, place=PLACES[place], b=place, be=be))
