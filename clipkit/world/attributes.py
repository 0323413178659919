"""What is true of each category, in sentences without its name: a language model's lists whose mistakes are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, HOME, SUPERCLASS_OF, SUPERCLASSES, TYPICAL_COLOUR
from clipkit.world.words import HYPERNYM_FORMS, PLACES, article

OWN_SENTENCES = 5  # of parts, shape and use in a category's list, the most telling first


@dataclass(frozen=True, eq=False)
class Attributes:
    """P sentences about C = 48 categories.

    Attributes:
        texts: P sentences ("it has long whiskers"), none with a category's name.
        kinds: P of "colour", "place", "kind", "part", "shape", "use".
        true: (C, P) bool, of which category each sentence is true. A colour is the typical one, a place the home: both can
            be seen only in worlds with colour_bias and background_bias.
        listed: (C, P) bool, the list of each category: up to eight true sentences and two planted false ones.
    """

    texts: tuple[str, ...]
    kinds: tuple[str, ...]
    true: np.ndarray
    listed: np.ndarray

    def lists(self, only_true: bool = False) -> dict[str, list[str]]:
        """Category -> its list, the planted mistakes left out if asked for."""
        wanted = self.listed & self.true if only_true else self.listed
        return {category: [self.texts[p] for p in np.flatnonzero(row)] for category, row in zip(CATEGORIES, wanted, strict=True)}


@cache
def category_attributes() -> Attributes:
    """Sentences of `attributes.json` with those that follow from the taxonomy: typical colour, home, kind.

    >>> found = category_attributes()
    >>> found.texts[:2], found.true[CATEGORIES.index("cat"), :2].tolist()
    (('it is usually red', 'it is usually orange'), [False, True])
    """
    written = json.loads(Path(__file__).with_name("attributes.json").read_text(encoding="utf-8"))
    rows = [(f"it is usually {c}", "colour", {k for k in CATEGORIES if TYPICAL_COLOUR[k] == c}) for c in COLOURS]
    rows += [(f"it is often seen {PLACES[b]}", "place", {k for k in CATEGORIES if HOME[k] == b}) for b in BACKGROUNDS]
    forms = {s: HYPERNYM_FORMS[s][0] for s in SUPERCLASSES}
    rows += [(f"it is {article(forms[s])} {forms[s]}", "kind", {k for k in CATEGORIES if SUPERCLASS_OF[k] == s}) for s in SUPERCLASSES]
    rows += [(row["text"], row["kind"], set(row["true_of"])) for row in written["sentences"]]
    texts = tuple(text for text, _, _ in rows)
    true = np.array([[category in of for _, _, of in rows] for category in CATEGORIES])
    listed = true.copy()
    taxonomy = len(COLOURS) + len(BACKGROUNDS) + len(SUPERCLASSES)
    for c, category in enumerate(CATEGORIES):
        own = taxonomy + np.flatnonzero(true[c, taxonomy:])
        telling = own[np.argsort(true[:, own].sum(0), kind="stable")]  # true of few categories: says much
        listed[c, telling[OWN_SENTENCES:]] = False
        listed[c, [texts.index(text) for text in written["false"][category]]] = True
    return Attributes(texts, tuple(kind for _, kind, _ in rows), true, listed)
