"""Is a caption a sentence of the world? Exactly decidable, because the world's sentences have a small regular grammar."""

from __future__ import annotations

import re
from functools import cache

from clipkit.language.vocabulary import split_words
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, TEXTURES
from clipkit.world.words import MEASURES, NUMBERS, PLACES, PLURALS, RELATION_WORDS, SCENES, SIDES, SINGULARS, STYLE_LEADS, STYLE_NOUNS


def _any(words) -> str:
    return "(?:" + "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True)) + ")"


@cache
def _patterns() -> tuple[re.Pattern, re.Pattern]:
    """(whole sentence, one noun phrase)."""
    adjectives = f"(?:{_any(TEXTURES)} )?(?:{_any(COLOURS)} )?"
    counted = [c for c in CATEGORIES if c not in MEASURES]

    def nouns(one: bool) -> str:
        plain = _any((SINGULARS if one else PLURALS)[c] for c in counted)
        measured = (f"{measure[not one]} of {adjectives}{(SINGULARS if one else PLURALS)[c]}" for c, measure in MEASURES.items())
        return f"(?:{_any(SIZES)} )?(?:{adjectives}{plain}|{'|'.join(measured)})"

    one = f"(?:an(?= [aeiou])|a(?= [^aeiou])) {nouns(True)}"
    many = f"{_any(NUMBERS[2:])} {nouns(False)}(?: of different sizes)?"
    thing = f"(?:{one}|{many})(?![a-z])"
    things = f"{thing}(?:(?: , {thing})* and {thing})?"
    place = f"(?: {_any(PLACES.values())})?"
    lead = f"(?:{_any(['a photo of', 'a picture of', 'an image of', 'a drawing of', *STYLE_LEADS.values()])} )?"
    style = f"(?: , {_any(STYLE_NOUNS.values())})?"
    related = f"{thing} {_any(RELATION_WORDS.values())} {thing}(?: , with {things} ,)?"
    sided = f"{thing} {_any(SIDES.values())} ,"
    bodies = (
        f"{lead}(?:{related}|{things}){place}{style}",
        f"{sided}{place}{style}",
        f"there (?:is(?= a)|are(?! an? )) {things}{place}",
        f"{things} , {_any(BACKGROUNDS)} background",
        f"{lead}{_any(SCENES.values())}(?: with nothing in it)?{style}",
        f"there is nothing {_any(PLACES.values())}",
        f"{_any(BACKGROUNDS)} background",
    )
    return re.compile("|".join(f"(?:{body})" for body in bodies)), re.compile(thing)


def grammatical(text: str) -> bool:
    """Whether the world could say it: a sentence of the short, the detailed or the brief register, numbers and articles agreeing,
    that names no noun phrase twice ("a cat and a cat" never occurs: the world says "two cats").

    Truth does not matter. Sentences of the other registers are not in this grammar.

    >>> grammatical("two cats and an apple in the snow"), grammatical("two cat in the snow"), grammatical("a cat and a cat")
    (True, False, False)
    """
    words = " ".join(split_words(text))
    sentence, phrase = _patterns()
    if not sentence.fullmatch(words):
        return False
    phrases = phrase.findall(words)
    return len(set(phrases)) == len(phrases)


def grammatical_rate(texts: list[str]) -> float:
    """Share of `texts` that are `grammatical`, 0 to 1; 0 for no texts."""
    return sum(map(grammatical, texts)) / max(1, len(texts))
