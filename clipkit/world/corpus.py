"""Captions as a crawl would give them: every class under several names, words that mean something else, and nonsense.

The pictures are scenes of one object. What each caption speaks of is known, so that an estimate of a class's
frequency has a truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.world.alt_text import junk
from clipkit.world.captions import caption_batch
from clipkit.world.content_plan import HashRandom
from clipkit.world.taxonomy import CATEGORIES
from clipkit.world.words import PLURALS, SYNONYM_PLURALS, SYNONYMS, article

NAMES: dict[str, tuple[str, ...]] = {c: (c, *SYNONYMS[c]) for c in CATEGORIES}  # what a category may be called
REGISTERS = {"short": 0.5, "alt_text": 0.3, "detailed": 0.2}


def spellings(name: str) -> list[str]:
    """A name and its plural, as they may stand in a caption.

    >>> spellings("cherry"), spellings("puppy")
    (['cherry', 'cherries'], ['puppy', 'puppies'])
    """
    return list(dict.fromkeys((name, PLURALS.get(name) or SYNONYM_PLURALS.get(name, name + "s"))))


@cache
def other_meanings() -> dict[str, tuple[str, ...]]:
    """Name -> sentences in which it means something else ("press conference"), for the names that have such."""
    found = json.loads(Path(__file__).with_name("homonyms.json").read_text(encoding="utf-8"))
    known = {name for names in NAMES.values() for name in names}
    for word in found:
        if word not in known:
            raise unknown("name with another meaning", word, sorted(known))
    return {word: tuple(rows) for word, rows in found.items()}


def name_shares(seed: int, shares: tuple[float, ...] = (0.7, 0.25, 0.05)) -> dict[str, dict[str, float]]:
    """Category -> name -> how often the crawl calls it so: the shares in an order drawn by lot for each category."""
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ClipkitError(f"each category has three names, so three shares that sum to 1 are needed, got {shares}")
    rng = np.random.default_rng(seed)
    return {c: dict(zip(names, rng.permutation(shares).tolist(), strict=True)) for c, names in NAMES.items()}


@dataclass(frozen=True, eq=False)
class Corpus:
    """N captions beside N scenes.

    Attributes:
        captions: N texts.
        spoken: (N,) int64, the category a caption speaks of, as a visible thing; -1 for none (junk, another meaning).
        sense: (N,) bool, true where a name stands in another meaning.
    """

    captions: list[str]
    spoken: np.ndarray
    sense: np.ndarray

    def frequency(self) -> np.ndarray:
        """(48,) captions that speak of each category."""
        return np.bincount(self.spoken[self.spoken >= 0], minlength=len(CATEGORIES))


def crawl(
    scenes, usage: Mapping[str, Mapping[str, float]], seed: int, other: float = 0.15, noise: float = 0.1, half: int | None = None
) -> Corpus:
    """Web-like captions of single-object scenes.

    Args:
        scenes: Scenes with one object each. usage: see `name_shares`.
        other: share of captions in which a name means something else; noise: share that says nothing at all.
        half: 0 or 1 uses every second of the sentences with another meaning, so that a judge can be tested on new ones.

    Raises: ClipkitError for scenes of several objects, or shares that are not probabilities.
    """
    category = np.asarray(scenes.category)
    if len(category) and ((category[:, 0] < 0).any() or (category[:, 1:] >= 0).any()):
        raise ClipkitError("a crawl needs scenes of exactly one object; set min_objects = max_objects = 1")
    if min(other, noise) < 0 or other + noise > 1 or half not in (None, 0, 1):
        raise ClipkitError(f"other and noise are shares with a sum of at most 1, half is None, 0 or 1; got {other}, {noise}, {half}")
    rng = np.random.default_rng([seed, 48])
    first, coin = category[:, 0], rng.random(len(category))
    captions = caption_batch(scenes, REGISTERS, seed=seed, noise=0.0)
    spoken, sense = first.astype(np.int64), coin < other
    words = list(other_meanings())
    for i, caption in enumerate(captions):
        if sense[i]:
            rows = other_meanings()[words[rng.integers(len(words))]]
            rows = rows if half is None else rows[half::2]
            captions[i], spoken[i] = _dress(rows[rng.integers(len(rows))], rng), -1
        elif coin[i] < other + noise:
            captions[i], spoken[i] = junk(HashRandom(int(rng.integers(2**62)))), -1
        else:
            own = CATEGORIES[first[i]]
            captions[i] = rename(caption, own, str(rng.choice(list(usage[own]), p=list(usage[own].values()))))
    return Corpus(captions, spoken, sense)


def rename(caption: str, category: str, name: str) -> str:
    """The caption with another name for its category, number and article put right; case by case as it was.

    >>> rename("a photo of an apple", "apple", "pippin"), rename("CHEAP DOGS FOR SALE", "dog", "puppy")
    ('a photo of a pippin', 'CHEAP PUPPIES FOR SALE')
    """
    if name == category:
        return caption
    one, many = (spellings(name) * 2)[:2]
    forms = {PLURALS[category]: many, "lightning bolt": one, category: one}

    def put(match: re.Match) -> str:
        new = forms.get(match["noun"].lower(), one)
        return _as(match["noun"], new) if not match["article"] else f"{_as(match['article'], article(new))} {_as(match['noun'], new)}"

    nouns = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.sub(rf"(?:\b(?P<article>an?)\s)?(?<![a-z])(?P<noun>{nouns})(?![a-z])", put, caption, flags=re.IGNORECASE)


def _as(old: str, new: str) -> str:
    """`new` in the case of `old`: capitals, a capital first letter, or small."""
    return new.upper() if old.isupper() and len(old) > 1 else new[0].upper() + new[1:] if old[0].isupper() else new


def _dress(sentence: str, rng: np.random.Generator) -> str:
    """Small differences, as between pages that say the same."""
    tails = ("", "", " | news", f", {2008 + rng.integers(16)}", " - free guide", " (updated)", "...", f" #{rng.integers(1, 99)}")
    text = sentence + tails[rng.integers(8)]
    return (text, text, text.title(), text.upper(), text[0].upper() + text[1:])[rng.integers(5)]
