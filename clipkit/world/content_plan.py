"""From a scene to what a caption will say: plain truth, groups of equal objects, relations, and a small random stream.

A caption is made in two steps, so that languages and wordings share the first: choose facts (a `Message`), then
put them into words. Nothing here touches a global random generator: choices come from a hash of the scene's seed,
the register and the caller's seed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURLESS_STYLES, COLOURS, SIZES, STYLES, TEXTURES

_MASK = (1 << 64) - 1
# Centres must be this far apart along an axis (share of the canvas) before a relation is stated.
RELATION_MARGIN = 0.12


class Thing(NamedTuple):
    """One object: words for its attributes, and its centre (0..1, y downwards)."""

    category: str
    colour: str
    texture: str
    size: str
    x: float
    y: float


class SceneFacts(NamedTuple):
    """All that a caption may say about a scene."""

    things: list[Thing]
    background: str
    style: str

    @property
    def coloured(self) -> bool:
        """Whether colours can be seen in this style."""
        return self.style not in COLOURLESS_STYLES


class Item(NamedTuple):
    """Some equal objects as one phrase; an empty attribute is not mentioned."""

    count: int
    category: str
    colour: str = ""
    texture: str = ""
    size: str = ""
    mixed: bool = False  # "of different sizes"
    members: tuple[Thing, ...] = ()


class Message(NamedTuple):
    """What to say: items in order, relation of the first to the second, side of a lone item, place, style, frame."""

    items: list[Item]
    relation: str = ""
    side: str = ""
    background: str = ""
    style: str = ""
    frame: str = ""


class HashRandom:
    """A stream of small random integers: `draw(n)` is in 0..n-1 (Knuth's MMIX congruential generator, upper bits)."""

    __slots__ = ("state",)

    def __init__(self, state: int):
        self.state = state

    def __call__(self, n: int) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & _MASK
        return (self.state >> 33) % n

    def pick(self, choices):
        """One of a sequence."""
        return choices[self(len(choices))]

    def shuffled(self, items) -> list:
        """A shuffled copy (Fisher and Yates)."""
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self(i + 1)
            items[i], items[j] = items[j], items[i]
        return items


def states(seeds: np.ndarray, salt: str, seed: int) -> list[int]:
    """First states of the streams of scenes with these uint64 `seeds`, for one purpose (`salt`) and caller's seed."""
    with np.errstate(over="ignore"):
        z = np.asarray(seeds, dtype=np.uint64) + np.uint64((zlib.crc32(f"{salt}/{seed}".encode()) * 0x9E3779B97F4A7C15) & _MASK)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64's finaliser
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return (z ^ (z >> np.uint64(31))).tolist()


def _names(index: np.ndarray, names) -> list:
    return np.array([*names, ""], dtype=object)[index].tolist()  # -1, an empty slot, gives ""


def truths(scenes) -> Iterator[SceneFacts]:
    """The truth of each of `scenes` (Scenes, or one Scene), without building Scene objects."""
    if hasattr(scenes, "objects"):
        things = [Thing(o.category, o.colour, o.texture, o.size, float(o.x), float(o.y)) for o in scenes.objects]
        yield SceneFacts(things, scenes.background, scenes.style)
        return
    columns = (
        _names(scenes.category, CATEGORIES),
        _names(scenes.colour, COLOURS),
        _names(scenes.texture, TEXTURES),
        _names(scenes.size, SIZES),
        scenes.x.tolist(),
        scenes.y.tolist(),
    )
    places, styles = _names(scenes.background, BACKGROUNDS), _names(scenes.style, STYLES)
    for *rows, background, style in zip(*columns, places, styles, strict=True):
        yield SceneFacts([Thing(*values) for values in zip(*rows, strict=True) if values[0]], background, style)


def seeds_of(scenes) -> np.ndarray:
    """Seeds of Scenes, or of one Scene as an array of one, uint64."""
    return np.atleast_1d(np.asarray(scenes.seed, dtype=np.uint64))


def groups(things: list[Thing], colour: bool = True) -> dict[tuple[str, str], list[Thing]]:
    """Objects of one category (and colour, unless `colour` is False) together, in order of first appearance."""
    found: dict[tuple[str, str], list[Thing]] = {}
    for thing in things:
        found.setdefault((thing.category, thing.colour if colour else ""), []).append(thing)
    return found


def full_items(truth: SceneFacts) -> list[Item]:
    """Every object, with size and texture where they are not the usual ones.

    Unequal objects of one category and colour are told apart ("a plain red cat and a striped red cat") when there are
    at most three, else counted together ("five red cats of different sizes"): each stated number is then exact.
    """
    items = []
    for (category, colour), members in groups(truth.things, truth.coloured).items():
        looks: dict[tuple[str, str], list[Thing]] = {}
        for m in members:
            looks.setdefault((m.texture, m.size), []).append(m)
        textures, sizes = {t for t, _ in looks}, {s for _, s in looks}
        if len(looks) > 1 and len(members) > 3:
            texture = members[0].texture if len(textures) == 1 and members[0].texture != "plain" else ""
            size = members[0].size if len(sizes) == 1 and members[0].size != "medium" else ""
            items.append(Item(len(members), category, colour, texture, size, len(sizes) > 1, tuple(members)))
            continue
        for (texture, size), same in looks.items():
            # A contrast within the group has to be named on both sides.
            texture = "" if texture == "plain" and len(textures) == 1 else texture
            size = "" if size == "medium" and len(sizes) == 1 else size
            items.append(Item(len(same), category, colour, texture, size, False, tuple(same)))
    return items


def relation_between(first, second) -> str:
    """The relation that every object of `first` has to every one of `second`, or "": the axis of the larger distance."""
    found = ""
    for a in first:
        for b in second:
            dx, dy = b.x - a.x, b.y - a.y
            if max(abs(dx), abs(dy)) < RELATION_MARGIN:
                return ""
            relation = ("left of" if dx > 0 else "right of") if abs(dx) >= abs(dy) else ("above" if dy > 0 else "below")
            if found not in ("", relation):
                return ""
            found = relation
    return found


def related_pairs(things: Iterable[Thing]) -> Iterator[tuple[Thing, str, Thing]]:
    """(a, relation of a to b, b) of every two objects that have one, in order."""
    return ((a, relation, b) for a, b in combinations(things, 2) if (relation := relation_between([a], [b])))


def side_of(thing: Thing) -> str:
    """Where in the picture an object is: "left", "right", "top", "bottom", "middle", or "" when it is between them."""
    dx, dy = thing.x - 0.5, thing.y - 0.5
    if max(abs(dx), abs(dy)) < 0.08:
        return "middle"
    if abs(dx) >= abs(dy):
        return "" if abs(dx) < 0.14 else ("left" if dx < 0 else "right")
    return "" if abs(dy) < 0.14 else ("top" if dy < 0 else "bottom")


def short_message(truth: SceneFacts, draw: HashRandom) -> Message:
    """At most three kinds of objects, usually with colour, often with the place, in one of several frames."""
    pick, with_colour, with_place, narrow, with_texture = draw(16), draw(4) > 0, draw(8) < 5, draw(4) == 0, draw(2) == 0
    if not truth.things:
        return Message([], background=truth.background, style=truth.style, frame=_FRAMES[pick])
    with_colour = with_colour and truth.coloured
    items = []
    for (category, colour), members in groups(truth.things, with_colour).items():
        texture = members[0].texture
        if not with_texture or texture == "plain" or any(m.texture != texture for m in members):
            texture = ""
        items.append(Item(len(members), category, colour, texture, "", False, tuple(members)))
    if len(items) > 1:
        items = draw.shuffled(items)[: 1 + draw(2) if narrow else 3]
    frame = _FRAMES[pick]
    if truth.style != "flat" and frame == "photo":
        frame = "style"
    return Message(items, background=truth.background if with_place or frame == "background" else "", style=truth.style, frame=frame)


_FRAMES = ("bare",) * 5 + ("photo",) * 5 + ("picture", "image", "there", "drawing", "style", "background")


def detailed_message(truth: SceneFacts, draw: HashRandom) -> Message:
    """Every object with its attributes, one relation or the side of a lone object, the place, and an unusual style."""
    items = full_items(truth)
    if len(items) > 1:
        items = draw.shuffled(items)
        relation = relation_between(items[0].members, items[1].members)
        return Message(items, relation=relation, background=truth.background, style=truth.style)
    side = side_of(items[0].members[0]) if items and items[0].count == 1 else ""
    return Message(items, side=side, background=truth.background, style=truth.style)
