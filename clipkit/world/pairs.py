"""Minimal pairs: a true caption and a false one that differs in one word, or in the order of the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clipkit.world.content_plan import (
    HashRandom,
    Item,
    Message,
    SceneFacts,
    detailed_message,
    groups,
    relation_between,
)
from clipkit.world.english import phrase, say_detailed
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, TEXTURES
from clipkit.world.words import NUMBERS, OPPOSITE, PLACES, RELATION_WORDS, noun_phrase


def one_word(
    truth: SceneFacts, message: Message, kind: str, draw: HashRandom, say: Callable[[Message], str] = say_detailed
) -> tuple[str, str] | None:
    """A message in words, and the same with one word made wrong; None where there is no such word."""
    true = say(message)
    for other in _changed(truth, message, kind, draw):
        false = say(other)
        if differing_words(true, false) == 1:
            return true, false
    return None


def differing_words(a: str, b: str) -> int:
    """Number of places at which two texts of equally many words differ; -1 if their lengths do.

    >>> differing_words("a red cat", "a blue cat")
    1
    """
    one, two = a.split(), b.split()
    return sum(x != y for x, y in zip(one, two, strict=True)) if len(one) == len(two) else -1


def _changed(truth: SceneFacts, message: Message, kind: str, draw: HashRandom) -> Iterable[Message]:
    """Messages that are wrong in one fact of `kind`, in random order."""
    if kind == "background":
        if message.background:
            yield from (message._replace(background=b) for b in draw.shuffled(BACKGROUNDS) if b != truth.background)
        return
    if kind == "relation":
        if message.relation:
            yield message._replace(relation=OPPOSITE[message.relation])
        return
    choices: list[tuple[int, Item]] = []
    for at, item in enumerate(message.items):
        if kind == "count":
            choices += [(at, item._replace(count=n)) for n in range(2, len(NUMBERS)) if 1 < item.count != n]
            continue
        words, present = {
            "category": (CATEGORIES, {t.category for t in truth.things}),
            "colour": (COLOURS if item.colour else (), {t.colour for t in truth.things}),
            "texture": (TEXTURES[1:] if item.texture not in ("", "plain") else (), {t.texture for t in truth.things}),
            "size": (SIZES if item.size else (), {t.size for t in truth.things if t.category == item.category}),
        }[kind]
        choices += [(at, item._replace(**{kind: w})) for w in words if w not in present]
    for at, item in draw.shuffled(choices):
        yield message._replace(items=[*message.items[:at], item, *message.items[at + 1 :]])


def swap(truth: SceneFacts, what: str, draw: HashRandom) -> tuple[str, str] | None:
    """Two kinds of objects, and the same sentence with colours, textures, counts or the two sides of a relation exchanged."""
    if what == "colour" and not truth.coloured:
        return None
    by_look: dict[tuple[str, str], list] = {}
    for t in truth.things:
        look = {"colour": t.colour, "texture": t.texture}.get(what, "")
        by_look.setdefault((t.category, look), []).append(t)
    items = []
    for (category, look), members in (groups(truth.things, truth.coloured) if what == "relation" else by_look).items():
        item = Item(len(members), category, members=tuple(members))
        items.append(item._replace(**{"colour" if what == "relation" else what: look}) if look else item)
    place = f" {PLACES[truth.background]}" if draw(2) else ""
    for at, a in enumerate(order := draw.shuffled(items)):
        for b in order[at + 1 :]:
            if what == "relation":
                found = relation_between(a.members, b.members)
                if found:
                    word = RELATION_WORDS[found]
                    return f"{phrase(a)} {word} {phrase(b)}{place}", f"{phrase(b)} {word} {phrase(a)}{place}"
                continue
            one, two = getattr(a, what), getattr(b, what)
            if a.category == b.category or one == two:
                continue
            c, d = a._replace(**{what: two}), b._replace(**{what: one})
            if what == "texture" and "plain" in (one, two):
                continue
            # "a blue cat and a red dog" may be true as well when there are more than two objects.
            if what != "count" and all(len(by_look.get((i.category, getattr(i, what)), ())) == i.count for i in (c, d)):
                continue
            return f"{phrase(a)} and {phrase(b)}{place}", f"{phrase(c)} and {phrase(d)}{place}"
    return None


def swapped(truth: SceneFacts, draw: HashRandom) -> str:
    """A false caption by exchange: colours, sides of a relation, textures or counts, whichever is possible, at random.

    Where none is (one object, or equal ones) one word of the detailed caption is made wrong instead: a colour, or the
    category where colours cannot be seen; an empty scene gets another background.
    """
    for what in draw.shuffled(("colour", "colour", "relation", "relation", "texture", "count")):
        found = swap(truth, what, draw)
        if found:
            return found[1]
    if not truth.things:
        return say_detailed(next(iter(_changed(truth, Message([], background=truth.background, style=truth.style), "background", draw))))
    message = detailed_message(truth, draw)
    for kind in ("colour", "category"):
        found = one_word(truth, message, kind, draw) if kind == "category" or truth.coloured else None
        if found:
            return found[1]
    # Every colour and article in use: deny nothing, name a pair of things that cannot be there.
    absent = draw.pick([c for c in CATEGORIES if all(t.category != c for t in truth.things)])
    return noun_phrase(2, absent)
