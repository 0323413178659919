"""Prompts for zero-shot evaluation: templates and class names of every factor of the world."""

from __future__ import annotations

import json
import re
from pathlib import Path

from clipkit.errors import unknown
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, STYLES, SUPERCLASSES, TEXTURES
from clipkit.world.words import HYPERNYM_FORMS, NUMBERS, STYLE_NOUNS

# Templates by factor; the class name goes to "{}" (see `fill` for "a" or "an").
CLASS_TEMPLATES: dict[str, tuple[str, ...]] = {
    factor: tuple(templates)
    for factor, templates in json.loads(Path(__file__).with_name("class_templates.json").read_text(encoding="utf-8")).items()
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
