"""Captions about what is not there: negations, wrong numbers, exchanged attributes, and their true partners."""

from __future__ import annotations

from clipkit.world.content_plan import HashRandom, Message, SceneFacts, groups
from clipkit.world.taxonomy import CATEGORIES, COLOURS, SUPERCLASS_OF, SUPERCLASSES
from clipkit.world.words import PLACES, PLURALS, SCENES, SINGULARS, noun_phrase


def absent_category(truth: SceneFacts, draw: HashRandom) -> str:
    """A category that is not in the picture; half of the time of the superclass of one that is."""
    present = {t.category for t in truth.things}
    if truth.things and draw(2):
        near = [c for c in SUPERCLASSES[SUPERCLASS_OF[draw.pick(truth.things).category]] if c not in present]
        if near:
            return draw.pick(near)
    return draw.pick([c for c in CATEGORIES if c not in present])


def _deny(truth: SceneFacts, draw: HashRandom, category: str, others: list) -> str:
    """A sentence that denies `category`; `others` are groups that may be affirmed beside it."""
    kind = draw(7 if others else 5)
    name = category if category in ("grapes", "corn", "broccoli") else SINGULARS[category]
    if kind == 0:
        return f"{draw.pick(('a photo', 'a picture', 'an image'))} with no {name}"
    if kind == 1:
        return f"{draw.pick(('a photo', 'a picture', 'an image'))} without {noun_phrase(1, category)}"
    if kind == 2:
        return f"{SCENES[truth.background]} without any {PLURALS[category]}"
    if kind == 3:
        return f"there {'are' if category == 'grapes' else 'is'} no {name} {PLACES[truth.background]}"
    if kind == 4:
        return f"no {PLURALS[category]} {PLACES[truth.background]}"
    (other, colour), members = draw.pick(others)
    return f"{'a photo of ' if kind == 5 else ''}{noun_phrase(len(members), other, colour)} but no {name}"


def negation(truth: SceneFacts, draw: HashRandom) -> str:
    """A true negation: "a photo with no cat", "a beach without any keys", "a red apple but no pear", "a cat that is not red"."""
    found = groups(truth.things, truth.coloured)
    if found and truth.coloured and draw(6) == 0:
        category = draw.pick(truth.things).category
        shown = [t.colour for t in truth.things if t.category == category]
        left = [c for c in COLOURS if c not in shown]
        if left:
            return f"{noun_phrase(len(shown), category)} that {'is' if len(shown) == 1 else 'are'} not {draw.pick(left)}"
    return _deny(truth, draw, absent_category(truth, draw), list(found.items()))


def false_negation(truth: SceneFacts, draw: HashRandom) -> str:
    """A negation that the picture contradicts: it denies a category that is there. Without objects: denies the place."""
    if not truth.things:
        return f"a photo that is not {PLACES[truth.background]}"
    category = draw.pick(truth.things).category
    found = groups(truth.things, truth.coloured)
    return _deny(truth, draw, category, [(key, members) for key, members in found.items() if key[0] != category])


def wrong_count(message: Message, draw: HashRandom) -> Message:
    """The message with one number replaced by another from two to ten (it has to have an item)."""
    at = draw(len(message.items))
    item = message.items[at]
    count = draw.pick([n for n in range(2, 11) if n != item.count])
    return message._replace(items=[*message.items[:at], item._replace(count=count), *message.items[at + 1 :]])
