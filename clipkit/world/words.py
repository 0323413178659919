"""English words for what the world is made of: plurals, articles, places, styles, synonyms; and noun phrases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from clipkit.world.taxonomy import CATEGORIES, HYPERNYMS

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_WORDS = json.loads(Path(__file__).with_name("english.json").read_text(encoding="utf-8"))
PLURALS: dict[str, str] = {c: _WORDS["irregular plurals"].get(c, c + "s") for c in CATEGORIES}
# Nouns that are not counted themselves: "a small bunch of red grapes", "two ears of yellow corn".
MEASURES: dict[str, tuple[str, str]] = {noun: tuple(forms) for noun, forms in _WORDS["measures"].items()}
# What one of a category is called in a sentence where its class name alone would not do.
SINGULARS: dict[str, str] = {c: c for c in CATEGORIES} | {"lightning": "lightning bolt"}

# Hypernyms (taxonomy.HYPERNYMS): one, many.
HYPERNYM_FORMS: dict[str, tuple[str, str]] = {h: (h, h + "s") for h in dict.fromkeys(HYPERNYMS.values()) if h not in ("fruit", "food")} | {
    "fruit": ("piece of fruit", "pieces of fruit"),
    "food": ("food item", "food items"),
}

PLACES: dict[str, str] = _WORDS["places"]  # "in a meadow"
SCENES: dict[str, str] = _WORDS["scenes"]  # the background as the subject: "a photo of a beach", "an empty room"
STYLE_NOUNS: dict[str, str] = _WORDS["styles"]  # the class name; STYLE_LEADS: what stands before "of a red cat"
STYLE_LEADS: dict[str, str] = {s: f"{'' if s == 'pixel' else 'a '}{noun} of" for s, noun in STYLE_NOUNS.items()}

SIDES: dict[str, str] = _WORDS["sides"]  # "on the left"
RELATION_WORDS: dict[str, str] = _WORDS["relations"]
OPPOSITE: dict[str, str] = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

# Words of the "synonym" register. None of them occurs in any other register, so a page can keep them unseen.
SYNONYMS: dict[str, tuple[str, ...]] = {word: tuple(others) for word, others in _WORDS["synonyms"].items()}
SYNONYM_PLACES: dict[str, str] = _WORDS["places of synonyms"]  # "in a {}"
SYNONYM_PLURALS: dict[str, str] = _WORDS["plurals of synonyms"]  # the irregular ones


def article(words: str) -> str:
    """ "a" or "an" by the first letter (no word of this world has a mute h or a "yoo" vowel).

    >>> article("orange cat"), article("hexagon")
    ('an', 'a')
    """
    return "an" if words[0] in "aeiou" else "a"


def number_word(n: int, noun: str) -> str:
    """`noun` (already singular or plural, with its adjectives) with "a", "an" or a number word before it."""
    return f"{article(noun)} {noun}" if n == 1 else f"{NUMBERS[n]} {noun}"


def join(phrases: Iterable[str], last: str = "and") -> str:
    """Phrases as a list in prose; `last` stands before the last.

    >>> join(["a cat", "a dog", "two cups"])
    'a cat, a dog and two cups'
    """
    phrases = list(phrases)
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} {last} {phrases[-1]}"


@cache
def noun_phrase(n: int, category: str, colour: str = "", texture: str = "", size: str = "", lead: str = "a") -> str:
    """Number, size, texture, colour and noun: "a small striped red cat", "two bunches of purple grapes".

    Args:
        n: 1 to 10. category: one of CATEGORIES. colour, texture, size: a word, or "" to say nothing about it.
        lead: "a" for the article or number; "the" for "the cat", "the two cats"; "no" for "no cats"; "" for none.
    """
    inner = " ".join(filter(None, (texture, colour, SINGULARS[category] if n == 1 else PLURALS[category])))
    if category in MEASURES:
        inner = f"{MEASURES[category][n > 1]} of {inner}"
    if size:
        inner = f"{size} {inner}"
    if lead == "a":
        return number_word(n, inner)
    if lead == "the":
        return f"the {inner}" if n == 1 else f"the {NUMBERS[n]} {inner}"
    return f"{lead} {inner}" if lead else inner


@cache
def synonym_phrase(n: int, noun: str, adjectives: str = "") -> str:
    """As `noun_phrase`, with a word of SYNONYMS for noun and adjectives: "two crimson puppies"."""
    noun = noun if n == 1 else SYNONYM_PLURALS.get(noun, noun + "s")
    return number_word(n, f"{adjectives} {noun}" if adjectives else noun)


@cache
def hypernym_phrase(n: int, hypernym: str, colour: str = "") -> str:
    """As `noun_phrase`, for a superclass or what lies above it: "a red animal", "two green pieces of fruit"."""
    noun = HYPERNYM_FORMS[hypernym][n > 1]
    return number_word(n, f"{colour} {noun}" if colour else noun)
