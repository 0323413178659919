"""From a text to a scene: a generator that draws what a text states and leaves the rest to chance.

    scenes = draw_texts(["a large red cat in the snow, pencil sketch"], seed=0)
    pictures = render(scenes).images

It takes the place of a text-to-image model in the world, and it is an ideal one: it obeys every word it knows.
`garble` and `deaf` make it less so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.world.caption_parser import Stated, ancestors, parse
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, MAX_OBJECTS, SIZES, STYLES, TEXTURES
from clipkit.world.words import PLACES, STYLE_NOUNS, noun_phrase

# What a text may state of an object or of the scene, besides the noun.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS), "texture": TEXTURES, "size": SIZES, "background": BACKGROUNDS, "style": STYLES,
}  # fmt: skip
_OF_OBJECTS = ("colour", "texture", "size")
# The same attributes as zero-shot questions: attribute -> word -> prompt with {} for the noun.
WORLD_QUESTIONS: Mapping[str, Mapping[str, str]] = {
    **{kind: {word: f"a {word} {{}}" for word in ATTRIBUTES[kind]} for kind in _OF_OBJECTS},
    "background": {word: f"a {{}} {PLACES[word]}" for word in BACKGROUNDS},
    "style": {word: f"a {{}}, {STYLE_NOUNS[word]}" for word in STYLES},
}
_PLACE_OF_SIDE = {"left": (0.25, 0.5), "right": (0.75, 0.5), "top": (0.5, 0.25), "bottom": (0.5, 0.75), "middle": (0.5, 0.5)}


def describe(category: str, colour: str = "", texture: str = "", size: str = "", background: str = "", style: str = "") -> str:
    """One object in the words of the register "detailed"; "" says nothing, and neither do "plain", "medium" and "flat".

    >>> describe("cat", "red", "striped", "large", "snow", "sketch")
    'a large striped red cat in the snow, pencil sketch'

    Raises ClipkitError for an unknown word.
    """
    given = {"colour": colour, "texture": texture, "size": size, "background": background, "style": style}
    for kind, value in given.items():
        if value and value not in ATTRIBUTES[kind]:
            raise unknown(kind, value, ATTRIBUTES[kind])
    if category not in CATEGORIES:
        raise unknown("category", category, CATEGORIES)
    text = noun_phrase(1, category, colour, "" if texture == "plain" else texture, "" if size == "medium" else size)
    text += f" {PLACES[background]}" if background else ""
    return text + (f", {STYLE_NOUNS[style]}" if style not in ("", "flat") else "")


def attributes_of(scenes: Scenes) -> dict[str, list[str]]:
    """The words of ATTRIBUTES that are true of each scene and its first object: attribute -> N words."""
    columns = {kind: np.asarray(getattr(scenes, kind)) for kind in ATTRIBUTES}
    return {kind: [ATTRIBUTES[kind][i] for i in (c[:, 0] if c.ndim == 2 else c)] for kind, c in columns.items()}


def draw_texts(texts: Sequence[str], seed: int, garble: float = 0.0, deaf: Sequence[str] = (), own_style: str = "flat") -> Scenes:
    """One scene for each text.

    Nouns, numbers, colours, textures, sizes, backgrounds, styles and sides are obeyed; relations and negations are
    not. What is not stated is drawn by chance, but for the style, which is then `own_style`. Objects told of twice
    with the same noun in different sentences are one. A text without any noun gives an empty background.

    Args:
        seed: same texts and seed, same scenes.
        garble: probability that a stated attribute (not the noun, not the number) is replaced by a random other one.
        deaf: kinds of attributes, of ATTRIBUTES, that the generator does not understand: as if not stated.

    Raises ClipkitError: garble outside [0, 1], an unknown kind or style, more than ten objects in a text.
    """
    if not 0 <= garble <= 1:
        raise ClipkitError(f"garble is a probability, 0 to 1, got {garble}")
    for kind in deaf:
        if kind not in ATTRIBUTES:
            raise unknown("kind of attribute", kind, ATTRIBUTES)
    if own_style not in STYLES:
        raise unknown("style", own_style, STYLES)
    rng = np.random.default_rng(seed)
    wanted = [_wanted(text) for text in texts]
    counts = np.array([len(objects) for objects, *_ in wanted], dtype=int)
    parts, order = [], []
    for n in np.unique(counts):  # what nothing is said about: a random scene with as many objects
        rows = np.flatnonzero(counts == n)
        spec = WorldSpec(min_objects=int(n), max_objects=int(n), styles=(own_style,))
        parts.append(sample_scenes(spec, len(rows), int(rng.integers(2**31))))
        order.append(rows)
    if not parts:
        return Scenes.empty(0)
    scenes = Scenes.concatenate(parts)[np.argsort(np.concatenate(order), kind="stable")]

    def heard(kind: str, value: str) -> int | None:
        """Index of what the generator takes a stated word for; None if it passes over it."""
        if not value:
            return None
        choices = ATTRIBUTES[kind]
        slip, other = rng.random() < garble, int(rng.integers(len(choices) - 1))  # drawn for every word, so that streams agree
        if kind in deaf:
            return None
        at = choices.index(value)
        return (other if other < at else other + 1) if slip else at

    for i, (objects, sides, place, style) in enumerate(wanted):
        for k, item in enumerate(objects):
            kinds = [c for c in CATEGORIES if item.noun in ancestors(c)]  # a hypernym is drawn as one of its kinds
            scenes.category[i, k] = CATEGORIES.index(kinds[int(rng.integers(len(kinds)))])
            for kind in _OF_OBJECTS:
                found = heard(kind, getattr(item, kind))
                if found is not None:
                    getattr(scenes, kind)[i, k] = found
                    if kind == "size":
                        scenes.scale[i, k] = _side(found, len(objects), rng)
            if k in sides:
                scenes.x[i, k], scenes.y[i, k] = _PLACE_OF_SIDE[sides[k]]
        for kind, value in (("background", place), ("style", style)):
            found = heard(kind, value)
            if found is not None:
                getattr(scenes, kind)[i] = found
    return scenes


def _wanted(text: str) -> tuple[list[Stated], dict[int, str], str, str]:
    """The objects that a text asks for, one entry each; the sides of some of them by position; place and style."""
    items: list[Stated] = []
    sides: dict[int, str] = {}
    place = style = ""
    for sentence in text.split(". "):
        reading, at = parse(sentence), []
        known = {item.noun: i for i, item in enumerate(items)}
        for item in reading.items:
            if item.denied:
                at.append(None)
            elif item.noun in known:  # the same thing again: what is new about it is added
                i = known[item.noun]
                new = {a: getattr(item, a) or getattr(items[i], a) for a in _OF_OBJECTS}
                items[i] = items[i]._replace(count=max(items[i].count or 1, item.count or 1), **new)
                at.append(i)
            else:
                items.append(item)
                at.append(len(items) - 1)
        sides |= {at[i]: side for i, side in reading.sides if at[i] is not None}
        place, style = (reading.places or [place])[-1], (reading.styles or [style])[-1]
    objects: list[Stated] = []
    starts = []
    for item in items:
        starts.append(len(objects))
        objects += [item] * (item.count or 1)
    if len(objects) > MAX_OBJECTS:
        raise ClipkitError(f"{text!r} asks for {len(objects)} objects; {MAX_OBJECTS} is the most a scene holds")
    return objects, {starts[i]: side for i, side in sides.items() if (items[i].count or 1) == 1}, place, style


def _side(size: int, company: int, rng: np.random.Generator) -> float:
    from clipkit.world.sample import ALONE, COMPANY, SMALLEST

    side = ALONE[size] if company == 1 else COMPANY[size] * np.sqrt(2 / company)
    return max(float(side) * (0.94 + 0.12 * rng.random()), SMALLEST)
