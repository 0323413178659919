"""Reading English captions back: what a text states, and which of it is true of a scene.

The reader knows the world's own English (every register but dense alt-text noise), synonyms and hypernyms included.
Words it does not know are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from clipkit.world.content_plan import SceneFacts, Thing, groups, relation_between, side_of, truths
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, HYPERNYMS, SIZES, TEXTURES
from clipkit.world.words import (
    HYPERNYM_FORMS,
    MEASURES,
    NUMBERS,
    PLURALS,
    RELATION_WORDS,
    SIDES,
    STYLE_NOUNS,
    SYNONYM_PLURALS,
    SYNONYMS,
)


class Stated(NamedTuple):
    """Objects a text speaks of. count is None for a bare noun ("cats", "red cat"); noun: a category or a hypernym."""

    noun: str
    count: int | None = None
    colour: str = ""
    texture: str = ""
    size: str = ""
    denied: bool = False
    not_colour: str = ""


@dataclass
class Reading:
    """All that a text states: objects in order; (i, relation, j) and (i, side) by their position; places; styles."""

    items: list[Stated] = field(default_factory=list)
    relations: list[tuple[int, str, int]] = field(default_factory=list)
    sides: list[tuple[int, str]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    denied_places: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    nothing: bool = False


@dataclass
class Checked:
    """Statements of a text, sorted by whether they hold in the scene."""

    true: list[str]
    false: list[str]

    @property
    def ok(self) -> bool:
        """Something is stated, and all of it is true."""
        return bool(self.true) and not self.false

    @property
    def precision(self) -> float:
        """Share of statements that are true; 0 when nothing is stated."""
        return len(self.true) / max(1, len(self.true) + len(self.false))


def ancestors(category: str) -> list[str]:
    """A category and everything above it in the hypernym tree: cat, animal, living thing, thing."""
    chain = [category]
    while chain[-1] in HYPERNYMS:
        chain.append(HYPERNYMS[chain[-1]])
    return chain


@cache
def _lexicon() -> dict[str, tuple[str, str]]:
    """Word or phrase -> (kind, what it stands for)."""
    words: dict[str, tuple[str, str]] = {}
    kinds = (("noun", CATEGORIES), ("colour", COLOURS), ("texture", TEXTURES), ("size", SIZES), ("place", BACKGROUNDS))
    for kind, names in kinds:
        for name in names:
            for synonym in SYNONYMS.get(name, ()):
                words[synonym] = (kind, name)
                if kind == "noun":
                    words[SYNONYM_PLURALS.get(synonym, synonym + "s")] = (kind, name)
            words[name] = (kind, name)
    for c in CATEGORIES:
        words[PLURALS[c]] = words[c] = ("noun", c)
    words["lightning bolt"] = ("noun", "lightning")
    for hypernym, (one, many) in HYPERNYM_FORMS.items():
        words[one] = words[many] = ("noun", hypernym)
    for one, many in MEASURES.values():
        words[f"{one} of"] = words[f"{many} of"] = ("skip", "")
    words |= {w: ("count", str(n)) for n, w in enumerate(NUMBERS) if n}
    words |= dict.fromkeys(("a", "an", "the"), ("count", "1"))
    words |= {"a pair of": ("count", "2"), "pair of": ("count", "2"), "nothing": ("nothing", ""), "not": ("not", "")}
    words |= dict.fromkeys(("no", "without", "without any", "without a", "without an"), ("deny", ""))
    words |= {w: ("relation", r) for r, w in RELATION_WORDS.items()} | {w: ("side", s) for s, w in SIDES.items()}
    words |= {w: ("style", s) for s, w in STYLE_NOUNS.items()}
    words |= dict.fromkeys((",", ";", ":", "and", "with", "is", "are", "both", "all", "but"), ("stop", ""))
    frames = [f"{a} {w}" for a, w in (("a", "photo"), ("a", "picture"), ("an", "image"), ("a", "drawing"), ("the", "picture"))]
    words |= dict.fromkeys((*frames, "photo", "picture", "image", "drawing", "of different sizes"), ("skip", ""))
    words |= {f"{a} {w}": ("style", s) for s, w in STYLE_NOUNS.items() for a in ("a", "the")}
    words |= {f"{a} {b}": ("place", b) for b in BACKGROUNDS for a in ("a", "the")}
    return words


@cache
def _pattern() -> re.Pattern:
    phrases = sorted((w for w in _lexicon() if w not in ",;:"), key=len, reverse=True)
    return re.compile(r"(?<![a-z])(?:" + "|".join(map(re.escape, phrases)) + r")(?![a-z])|[,;:]|\d+")


def parse(text: str) -> Reading:
    """What a text states.

    >>> parse("a photo of two small red apples in the snow").items
    [Stated(noun='apple', count=2, colour='red', texture='', size='small', denied=False, not_colour='')]
    """
    found, lexicon = Reading(), _lexicon()
    pending: dict = {}
    link = ""  # a relation that waits for its second side
    negated = False  # "not" was read: the next colour is denied

    def flush() -> None:
        # Adjectives that no noun followed ("the cat in the snow is red") belong to the last object.
        if pending.get("colour") and found.items and not found.items[-1].colour:
            found.items[-1] = found.items[-1]._replace(colour=pending["colour"])
        pending.clear()

    for match in _pattern().finditer(text.lower()):
        word = match.group()
        kind, value = lexicon.get(word, ("count", word) if word.isdigit() else ("stop", ""))
        if kind == "count":
            if "colour" in pending:
                flush()
            pending["count"] = int(value)
        elif kind == "colour" and negated and found.items:
            found.items[-1] = found.items[-1]._replace(not_colour=value)
            negated = False
        elif kind in ("colour", "texture", "size"):
            pending[kind] = value
        elif kind == "noun":
            found.items.append(Stated(value, **pending))
            if link:
                found.relations.append((len(found.items) - 2, link, len(found.items) - 1))
            pending, link = {}, ""
        elif kind == "deny":
            flush()
            pending["denied"] = True
        elif kind == "relation" and found.items:
            link = value
        elif kind == "side" and found.items:
            found.sides.append((len(found.items) - 1, value))
        elif kind == "place" and negated:
            found.denied_places.append(value)
            negated = False
        elif kind in ("place", "style"):
            (found.places if kind == "place" else found.styles).append(value)
            pending.pop("count", None)
        elif kind == "not":
            negated = True
        elif kind == "nothing":
            found.nothing = True
        elif kind == "stop":
            flush()
    flush()
    return found


def matching(truth: SceneFacts, item: Stated) -> list[Thing]:
    """The objects of a scene that fit a stated noun and its attributes."""
    return [
        t
        for t in truth.things
        if item.noun in ancestors(t.category)
        and item.colour in ("", t.colour)
        and item.texture in ("", t.texture)
        and item.size in ("", t.size)
        and item.not_colour != t.colour
    ]


def _words(item: Stated) -> str:
    adjectives = [w for w in (item.size, item.texture, item.colour) if w]
    noun = " ".join([*adjectives, item.noun]) + (f" that is not {item.not_colour}" if item.not_colour else "")
    lead = "no" if item.denied else "some" if item.count is None else NUMBERS[item.count] if item.count < len(NUMBERS) else str(item.count)
    return f"{lead} {noun}"


def check(scene, text: str, exact: bool = True) -> Checked:
    """Which statements of `text` hold in `scene` (a Scene, or SceneFacts).

    Args:
        exact: a stated number, "a" included, means exactly that many; False: at least that many.

    >>> from clipkit.world.content_plan import SceneFacts, Thing
    >>> check(SceneFacts([Thing("cat", "red", "plain", "small", 0.2, 0.5)], "snow", "flat"), "a blue cat in the snow")
    Checked(true=['in: snow'], false=['one blue cat'])
    """
    truth = scene if isinstance(scene, SceneFacts) else next(truths(scene))
    reading = parse(text)
    sorted_: tuple[list[str], list[str]] = ([], [])  # false, true
    matches = [matching(truth, item) for item in reading.items]
    for item, fit in zip(reading.items, matches, strict=True):
        if item.denied:
            holds = not fit
        elif item.count is None:
            holds = bool(fit)
        else:
            holds = len(fit) == item.count if exact else len(fit) >= item.count
        sorted_[holds].append(_words(item))
    for i, relation, j in reading.relations:
        holds = bool(matches[i] and matches[j]) and relation_between(matches[i], matches[j]) == relation
        sorted_[holds].append(f"{_words(reading.items[i])} {relation} {_words(reading.items[j])}")
    for i, side in reading.sides:
        holds = any(side_of(t) == side for t in matches[i]) and (len(matches[i]) == 1 or not exact)
        sorted_[holds].append(f"{_words(reading.items[i])} at: {side}")
    for place in reading.places:
        sorted_[place == truth.background].append(f"in: {place}")
    for place in reading.denied_places:
        sorted_[place != truth.background].append(f"not in: {place}")
    for style in reading.styles:
        sorted_[style == truth.style].append(f"style: {style}")
    if reading.nothing:
        sorted_[not truth.things].append("nothing there")
    return Checked(true=sorted_[1], false=sorted_[0])


def fidelity(scene, text: str) -> dict[str, float]:
    """How well a text fits a scene: `precision` (share of its statements that are true) and `recall` (share of the
    scene's kinds of objects, their colours and the background that it states truly)."""
    truth = scene if isinstance(scene, SceneFacts) else next(truths(scene))
    reading, said = parse(text), 0
    wanted = 1 + len(groups(truth.things, False)) + (len(groups(truth.things)) if truth.coloured else 0)
    held = [i for i in reading.items if not i.denied and matching(truth, i)]
    said += truth.background in reading.places
    said += sum(any(i.noun == c for i in held) for c, _ in groups(truth.things, False))
    if truth.coloured:
        said += sum(any((i.noun, i.colour) == key for i in held) for key in groups(truth.things))
    return {"precision": check(truth, text).precision, "recall": said / wanted}
