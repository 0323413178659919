"""What a prompt's score may be misled by: how common its words are in captions, and whether what it names is in the pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from clipkit.errors import ClipkitError


def words_of(text: str) -> list[str]:
    """Lower-case words of a text or template, the place of the class name left out.

    >>> words_of("A photo of a {}, 4 July")
    ['a', 'photo', 'of', 'a', 'july']
    """
    return re.findall(r"[^\W\d_]+", text.replace("{}", " ").lower())


def word_frequency(templates: Sequence[str], captions: Iterable[str]) -> np.ndarray:
    """(P,) mean over a template's words of log10(1 + captions that hold the word, for 1,000); NaN for one without words.

    Raises: ClipkitError without captions.
    """
    captions = list(captions)
    if not captions:
        raise ClipkitError("word frequencies need captions")
    count = Counter(word for caption in captions for word in set(words_of(caption)))
    rate = {word: np.log10(1 + 1000 * found / len(captions)) for word, found in count.items()}
    means = [[rate.get(word, 0.0) for word in words_of(template)] for template in templates]
    return np.array([np.mean(row) if row else np.nan for row in means])


def concept_share(concepts: Sequence[tuple[str, str] | None], scenes) -> np.ndarray:
    """(P,) share of scenes that show what a prompt names, a (factor, value) of the world; NaN where it names nothing.

    Factors of objects are looked up in the first object. Raises: ClipkitError for an unknown factor or value.
    """
    from clipkit.world import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, STYLES, SUPERCLASS_OF, SUPERCLASSES, TEXTURES

    first = scenes.category[:, 0]
    kinds = np.array([list(SUPERCLASSES).index(SUPERCLASS_OF[c]) for c in CATEGORIES])
    known = {
        "background": (BACKGROUNDS, scenes.background),
        "style": (STYLES, scenes.style),
        "colour": (tuple(COLOURS), scenes.colour[:, 0]),
        "texture": (TEXTURES, scenes.texture[:, 0]),
        "size": (SIZES, scenes.size[:, 0]),
        "category": (CATEGORIES, first),
        "superclass": (tuple(SUPERCLASSES), np.where(first >= 0, kinds[first], -1)),
    }
    shares = np.full(len(concepts), np.nan)
    for p, concept in enumerate(concepts):
        if concept is None:
            continue
        factor, value = concept
        if factor not in known or value not in known[factor][0]:
            raise ClipkitError(f"a prompt names {value!r} as {factor!r}, which the world does not have")
        shares[p] = np.mean(known[factor][1] == known[factor][0].index(value))
    return shares


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's correlation of two rows of numbers, positions with a NaN left out; 0 where one of them does not vary."""
    from scipy.stats import rankdata

    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 3:
        raise ClipkitError("a rank correlation needs at least three numbers on both sides")
    x, y = (rankdata(row[both]) for row in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0
