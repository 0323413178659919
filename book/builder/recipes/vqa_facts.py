"""Texts about a scene that are true or false with equal chance: one fact, two facts, or a whole caption.

No text names a pair of HELD_OUT_PAIRS. What is drawn, and in which order, decides the lessons: a change here changes them all.
"""

from __future__ import annotations

from typing import NamedTuple

from clipkit.language.vocabulary import split_words
from clipkit.world.caption_negatives import absent_category
from clipkit.world.content_plan import HashRandom, SceneFacts, groups, related_pairs
from clipkit.world.pairs import swap
from clipkit.world.propositions import false_facts, plural, true_facts
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, HELD_OUT_PAIRS, TEXTURES
from clipkit.world.words import OPPOSITE, PLACES, RELATION_WORDS, noun_phrase

_HELD = frozenset(HELD_OUT_PAIRS)
_SINGULAR = {word: c for c in CATEGORIES for word in (c, plural(c).split()[0], plural(c))}
TrueOrFalse = tuple[str, bool] | None  # a text and whether it is true; None where the scene allows none


def names_held_out(text: str) -> bool:
    """Whether a colour and a category of the text, wherever they stand, are a held-out pair."""
    return any((colour, category) in _HELD for colour in split_words(text) if colour in COLOURS for category in _named(text))


def _named(text: str) -> set[str]:
    """Categories that a text names, singular or plural."""
    return {_SINGULAR[word] for word in split_words(text) if word in _SINGULAR}


class Phrase(NamedTuple):
    """Words for one fact; subject: the category it speaks of ("" for the place)."""

    text: str
    subject: str


def atomic(truth: SceneFacts, draw: HashRandom) -> TrueOrFalse:
    """One fact as a phrase ("a red cat") or a statement ("the cat is red")."""
    yes = bool(draw(2))
    if draw(5) < 2:
        found = [f for f in (true_facts(truth) if yes else false_facts(truth, draw)) if not names_held_out(f.text)]
        kinds = sorted({f.kind for f in found})
        fact = draw.pick([f for f in found if f.kind == draw.pick(kinds)] or found)
        return fact.text, fact.holds
    made = _phrase(truth, draw, yes)
    return (made.text, yes) if made else None


def relation(truth: SceneFacts, draw: HashRandom) -> TrueOrFalse:
    """Two things and on which side of the other the one is."""
    yes = bool(draw(2))
    made = _relation(truth, groups(truth.things, False), draw, yes)
    return (made.text, yes) if made else None


def which_side(truth: SceneFacts, draw: HashRandom) -> tuple[str, str] | None:
    """On which side of one thing is the other? An open question teaches relations; yes and no alone hardly do."""
    found = _pair(groups(truth.things, False), draw)
    if not found:
        return None
    a, related, b = found
    one, two = (noun_phrase(1, t.category, lead="the") for t in (a, b))
    return f"on which side of {two} is {one}?", related.removesuffix(" of")


def _phrase(truth: SceneFacts, draw: HashRandom, yes: bool, without: str = "") -> Phrase | None:
    """A phrase about one thing, one number, one relation or the place; about no category that the text `without` names."""
    kinds = groups(truth.things, False)
    for make in draw.shuffled((_existence, _count, _texture, _place, _colour, _colour) + 4 * (_relation,)):
        made = make(truth, kinds, draw, yes)
        if made and not (_named(made.text) & _named(without)):
            return made
    return None


def _existence(truth: SceneFacts, kinds: dict, draw: HashRandom, yes: bool) -> Phrase | None:
    single = [c for (c, _), members in kinds.items() if len(members) == 1]
    if not single:
        return None
    category = draw.pick(single) if yes else absent_category(truth, draw)
    return Phrase(noun_phrase(1, category), category)


def _count(truth: SceneFacts, kinds: dict, draw: HashRandom, yes: bool) -> Phrase:
    (category, _), members = draw.pick(list(kinds.items()))
    wrong = draw.pick([k for k in range(1, 5) if k != len(members)])
    return Phrase(noun_phrase(len(members) if yes else wrong, category), category)


def _colour(truth: SceneFacts, kinds: dict, draw: HashRandom, yes: bool) -> Phrase | None:
    found = [(c, members) for (c, _), members in kinds.items() if len({m.colour for m in members}) == 1]
    if not found:
        return None
    category, members = draw.pick(found)
    colour = members[0].colour
    if not yes:
        allowed = _other_colours(members[0])
        there = [c for c in allowed if any(t.colour == c for t in truth.things)]
        colour = draw.pick(there if there and draw(2) else allowed)
    return Phrase(noun_phrase(len(members), category, colour), category)


def _other_colours(thing) -> list[str]:
    return [c for c in COLOURS if c != thing.colour and (c, thing.category) not in _HELD]


def _texture(truth: SceneFacts, kinds: dict, draw: HashRandom, yes: bool) -> Phrase | None:
    found = [members[0] for members in kinds.values() if len(members) == 1 and (not yes or members[0].texture != "plain")]
    if not found:
        return None
    thing = draw.pick(found)
    texture = thing.texture if yes else draw.pick([t for t in TEXTURES[1:] if t != thing.texture])
    return Phrase(noun_phrase(1, thing.category, texture=texture), thing.category)


def _pair(kinds: dict, draw: HashRandom):
    return next(related_pairs(draw.shuffled(members[0] for members in kinds.values() if len(members) == 1)), None)


def _relation(truth: SceneFacts, kinds: dict, draw: HashRandom, yes: bool) -> Phrase | None:
    found = _pair(kinds, draw)
    if not found:
        return None
    a, related, b = found
    said = RELATION_WORDS[related if yes else OPPOSITE[related]]
    return Phrase(f"{noun_phrase(1, a.category)} {said} {noun_phrase(1, b.category)}", a.category)


def _place(truth: SceneFacts, kinds: dict, draw: HashRandom, yes: bool) -> Phrase:
    place = truth.background if yes else draw.pick([b for b in BACKGROUNDS if b != truth.background])
    return Phrase(f"a picture {PLACES[place]}", "")


def conjunction(truth: SceneFacts, draw: HashRandom) -> TrueOrFalse:
    """Two facts in one text; false: exactly one of them. Colours with a relation, two phrases, or two statements."""
    yes, first = bool(draw(2)), bool(draw(2))  # first: whether the first fact is the false one
    one, two = yes or not first, yes or first
    form = draw(4)
    found = _pair(groups(truth.things, False), draw) if form == 0 else None
    if found:
        a, related, b = found
        colours = [a.colour, b.colour]
        if not one:
            at = draw(2)
            colours[at] = draw.pick(_other_colours((a, b)[at]))
        said = RELATION_WORDS[related if two else OPPOSITE[related]]
        return f"{noun_phrase(1, a.category, colours[0])} {said} {noun_phrase(1, b.category, colours[1])}", yes
    if form == 1:
        facts = [true_facts(truth) if holds else false_facts(truth, draw) for holds in (one, two)]
        a, b = (draw.pick([f for f in part if not names_held_out(f.text)]) for part in facts)
        return (f"{a.text}, and {b.text}", yes) if a.text != b.text else None
    a = _phrase(truth, draw, one)
    b = _phrase(truth, draw, two, without=a.text) if a and a.subject else None
    if not a or not b:
        return None
    return (f"{a.text} and {b.text}" if b.subject else f"{a.text} {b.text.removeprefix('a picture ')}"), yes


def one_caption(truth: SceneFacts, draw: HashRandom) -> TrueOrFalse:
    """A caption of two kinds of things, or the same with colours, numbers, textures or sides exchanged."""
    yes = bool(draw(2))
    pair = caption_pair(truth, draw)
    return (pair[not yes], yes) if pair else None


def caption_pair(truth: SceneFacts, draw: HashRandom) -> tuple[str, str] | None:
    """(true, false) by exchange; where nothing can be exchanged, two facts of which one is made false. No held-out pair of words."""
    for what in draw.shuffled(("colour", "colour", "relation", "relation", "count", "texture")):
        pair = swap(truth, what, draw)
        if pair and not any(_held_phrase(text) for text in pair):
            return pair
    for _ in range(4):
        made = [conjunction(truth, draw) for _ in range(4)]
        true, false = [m[0] for m in made if m and m[1]], [m[0] for m in made if m and not m[1]]
        if true and false:
            return true[0], false[0]
    return None


def _held_phrase(text: str) -> bool:
    words = split_words(text)
    return any((colour, _SINGULAR.get(noun)) in _HELD for colour, noun in zip(words, words[1:], strict=False))
