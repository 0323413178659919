"""Prompts for zero-shot evaluation: templates and class names of every factor of the world."""

from __future__ import annotations

import re

from clipkit.errors import unknown
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, STYLES, SUPERCLASSES, TEXTURES
from clipkit.world.words import HYPERNYM_FORMS, NUMBERS, STYLE_NOUNS

# Templates by factor; the class name goes to "{}" (see `fill` for "a" or "an").
CLASS_TEMPLATES: dict[str, tuple[str, ...]] = {
    "category": (
        "a photo of a {}",
        "a picture of a {}",
        "an image of a {}",
        "a drawing of a {}",
        "there is a {}",
        "a {}",
        "{}",
        "this picture shows a {}",
        "you can see a {}",
        "here is a {}",
        "look, a {}",
        "a photo of the {}",
    ),
    "superclass": ("a photo of a {}", "a picture of a {}", "there is a {}", "a {}", "{}"),
    "colour": ("a photo of a {} thing", "a picture of a {} thing", "a {} thing", "{}", "there is a {} thing"),
    "background": ("{} background", "a {} scene", "a photo with a {} background", "a thing, {} background", "{}"),
    "texture": ("a photo of a {} thing", "a picture of a {} thing", "a {} thing", "{}"),
    "size": ("a photo of a {} thing", "a picture of a {} thing", "a {} thing", "{}"),
    "style": ("{}", "a {}", "a thing in the snow, {}", "a {} of a thing"),
    "count": ("a photo of {}", "a picture of {}", "{}", "this picture shows {}", "you can see {}", "look, {}"),
}


def classnames(factor: str) -> list[str]:
    """Class names of a factor, in the order of its labels in Scenes (counts: a thing to ten things, so label = count - 1).

    >>> classnames("colour")[:2], classnames("count")[:2]
    (['red', 'orange'], ['a thing', 'two things'])

    Raises: ClipkitError for an unknown factor.
    """
    if factor not in _NAMES:
        raise unknown("factor", factor, _NAMES)
    return list(_NAMES[factor])


def fill(template: str, name: str) -> str:
    """`template` with `name` at "{}", and "a" or "an" before it as English wants.

    >>> fill("a photo of a {}", "apple")
    'a photo of an apple'
    """
    if re.match("[aeiou]", name):
        template = re.sub(r"\ba \{\}", "an {}", template)
    return template.replace("{}", name)


_NAMES: dict[str, tuple[str, ...]] = {
    "category": CATEGORIES,
    "superclass": tuple(HYPERNYM_FORMS[s][0] for s in SUPERCLASSES),
    "colour": tuple(COLOURS),
    "background": BACKGROUNDS,
    "texture": TEXTURES,
    "size": SIZES,
    "style": tuple(STYLE_NOUNS[s] for s in STYLES),
    "count": ("a thing", *(f"{n} things" for n in NUMBERS[2:])),
}
