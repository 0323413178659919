"""Messages put into nine languages beside English, with gender, number and agreement.

Places, relations and frames are worded so that nouns stay in the nominative ("links eine rote Katze, rechts ein
blauer Hund"): one form table per noun is then enough, and each sentence is one a native reader would accept.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from clipkit.world.content_plan import Item, Message
from clipkit.world.words import join

LANGUAGES: tuple[str, ...] = ("en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja")
_ROMANCE = ("fr", "es", "it", "pt")
# "photo of" before an article or a vowel.
_CONTRACTIONS = {
    "fr": (("de le ", "du "), ("de un", "d'un")),
    "es": (("de el ", "del "),),
    "it": (("di il ", "del "), ("di la ", "della ")),
    "pt": (("de o ", "do "), ("de a ", "da ")),
}


@cache
def tables(language: str) -> SimpleNamespace:
    """The word tables of one language other than English (`lexicon.json`), keyed by the taxonomy's English words.

    nouns: de, fr, es, it, pt, nl: gender, singular, plural (nl: c common, n neuter). ru: gender, nominative singular,
    genitive singular (after 2 to 4), genitive plural (after 5 to 10). zh, ja: counter, noun.
    adjectives: of colours, textures and sizes. One form = invariable; two = singular, plural; four = masculine and feminine
    singular, then plural. de, nl: the stem, or stem and inflected form. ru: masculine, feminine, neuter, plural nominative,
    plural genitive. A leading "+" puts the word on the other side of the noun than the language's habit.
    numbers: one to ten, each masculine, feminine and neuter where they differ. places ("in the snow"), scenes ("the snow"), styles
    (flat is not mentioned) and phrases: one form each.
    """
    words = json.loads(Path(__file__).with_name("lexicon.json").read_text(encoding="utf-8"))
    return SimpleNamespace(language=language, **words[language])


def _by_gender(forms: list[str], gender: str) -> str:
    if not forms:
        return ""
    return forms[min("mfn".index(gender) if gender in "mfn" else 0, len(forms) - 1)]


def _germanic(t: SimpleNamespace, item: Item) -> str:
    gender, singular, plural = t.nouns[item.category]
    words = [_by_gender(t.numbers[item.count - 1], gender)]
    for word in filter(None, (item.size, item.texture, item.colour)):
        stem, *inflected = t.adjectives[word]
        if t.language == "nl":  # only a neuter singular after "een" has no ending
            words.append(stem if gender == "n" and item.count == 1 else inflected[0])
        else:  # strong endings after "ein", and after a bare number
            ending = {"m": "er", "f": "e", "n": "es"}[gender] if item.count == 1 else "e"
            words.append(inflected[0] if inflected else stem + ending)
    return " ".join([*words, singular if item.count == 1 else plural])


def _romance(t: SimpleNamespace, item: Item) -> str:
    gender, singular, plural = t.nouns[item.category]
    feminine, many = gender == "f", item.count > 1
    before, after = [], []
    for word in filter(None, (item.colour, item.texture, item.size)):
        forms = t.adjectives[word]
        form = forms[{1: 0, 2: many, 4: feminine + 2 * many}[len(forms)]]
        # "petit" and "grand" and their like stand before the noun; every other adjective here follows it.
        (before if forms[0].startswith("+") else after).append(form.lstrip("+"))
    one = _by_gender(t.numbers[item.count - 1], gender)
    text = " ".join([one, *before, plural if many else singular, *after])
    if t.language == "it" and not many and not before and feminine and singular[0] in "aeiou":
        return text.replace("una ", "un'", 1)
    return text


def _russian(t: SimpleNamespace, item: Item) -> str:
    gender, nominative, genitive, genitive_plural = t.nouns[item.category]
    # 1: nominative. 2 to 4: genitive singular, adjectives plural (nominative with feminine nouns, else genitive).
    # 5 to 10: everything in the genitive plural.
    if item.count == 1:
        noun, form = nominative, "mfn".index(gender)
    elif item.count < 5:
        noun, form = genitive, 3 if gender == "f" else 4
    else:
        noun, form = genitive_plural, 4
    before, after = [_by_gender(t.numbers[item.count - 1], gender)], []
    for word in filter(None, (item.size, item.texture, item.colour)):
        forms = t.adjectives[word]
        if len(forms) == 1:
            after.append(forms[0].lstrip("+"))
        else:
            before.append(forms[form])
    return " ".join([*filter(None, before), noun, *after])


def _chinese(t: SimpleNamespace, item: Item) -> str:
    counter, noun = t.nouns[item.category]
    size = t.adjectives[item.size][0] if item.size else ""
    texture, colour = (t.adjectives[w][0] if w else "" for w in (item.texture, item.colour))
    adjectives = f"{size}{texture}{colour}" if item.size == "medium" else f"{texture}{colour}{size}"
    return f"{t.numbers[item.count - 1][0]}{counter}{t.phrases['mixed'] if item.mixed else ''}{adjectives}{noun}"


def _japanese(t: SimpleNamespace, item: Item) -> str:
    counter, noun = t.nouns[item.category]
    adjectives = "".join(t.adjectives[w][0] for w in (item.size, item.texture, item.colour) if w)
    return f"{t.phrases['mixed'] if item.mixed else ''}{t.numbers[item.count - 1][0]}{counter}の{adjectives}{noun}"


_PHRASE = {"de": _germanic, "nl": _germanic, "ru": _russian, "zh": _chinese, "ja": _japanese} | dict.fromkeys(_ROMANCE, _romance)


@cache
def _phrase(item: Item, language: str) -> str:
    t = tables(language)
    text = _PHRASE[language](t, item)
    return f"{text} {t.phrases['mixed']}" if item.mixed and language not in ("zh", "ja") else text


def foreign_name(name: str, language: str) -> str:
    """The bare name of a category or background: "Apfel", "яблоко", "苹果"."""
    t = tables(language)
    if name in t.scenes:
        return t.scenes[name].rsplit(" ", 1)[-1]
    return t.nouns[name][-1 if language in ("zh", "ja") else 1]


def say_foreign(message: Message, language: str, detailed: bool) -> str:
    """A short or detailed message in another language.

    >>> from clipkit.world.content_plan import Item, Message
    >>> say_foreign(Message([Item(2, "apple", "red")], background="snow"), "de", detailed=False)
    'zwei rote Äpfel im Schnee'
    """
    t = tables(language)
    if language in ("zh", "ja"):
        return _say_without_spaces(t, message, detailed)
    phrases = [_phrase(i._replace(members=()), language) for i in message.items]
    place = t.places.get(message.background, "") if message.items else ""
    style = t.styles.get(message.style, "") if detailed or message.frame in ("style", "drawing") else ""
    photo = not detailed and message.frame in ("photo", "picture", "image")
    phrases = phrases or [t.scenes[message.background]]
    if message.relation:
        text = f"{_sides(t, message, phrases)}, {place}"
    elif message.side:
        text = f"{phrases[0]} {t.phrases[message.side]}, {place}"
    else:
        if photo and language in _ROMANCE:  # each noun takes the preposition: "une photo d'une pomme et de deux poires"
            *_, of = t.phrases["photo"].split()
            phrases = [_contract(f"{of} {p}", language) for p in phrases]
        text = join(phrases, t.phrases["and"])
        text = f"{text} {place}" if place else text
    if photo:
        lead = t.phrases["photo"]
        text = f"{lead.rsplit(' ', 1)[0] if language in _ROMANCE else lead} {text}"
    elif message.frame == "there" and message.items:
        several = len(message.items) > 1 or message.items[0].count > 1
        text = f"{t.phrases['are' if several else 'is']} {text}"
    return f"{text}, {style}" if style else text


def _contract(text: str, language: str) -> str:
    for plain, short in _CONTRACTIONS[language]:
        if text.startswith(plain):
            return short + text[len(plain) :]
    return text


_FIRST_SIDE = {"left of": ("left", "right"), "right of": ("right", "left"), "above": ("top", "bottom"), "below": ("bottom", "top")}


def _sides(t: SimpleNamespace, message: Message, phrases: list[str]) -> str:
    one, two = (t.phrases[s] for s in _FIRST_SIDE[message.relation])
    parts = [f"{one} {phrases[0]}", f"{two} {phrases[1]}"]
    if phrases[2:]:
        parts.append(f"{t.phrases['with']} {join(phrases[2:], t.phrases['and'])}")
    return ", ".join(parts)


def _say_without_spaces(t: SimpleNamespace, message: Message, detailed: bool) -> str:
    """Chinese and Japanese: the place comes first, and the particles differ."""
    chinese, night = t.language == "zh", message.background == "night"
    comma, of, at = ("，", "的", "是") if chinese else ("、", "の", "に")
    phrases = [_phrase(i._replace(members=()), t.language) for i in message.items]
    style = t.styles.get(message.style, "") if detailed or message.frame in ("style", "drawing") else ""
    place = t.places.get(message.background, "")
    if not phrases:
        text = t.scenes[message.background]
    elif message.relation:
        one, two = (t.phrases[s] for s in _FIRST_SIDE[message.relation])
        rest = f"{comma}{t.phrases['with']}{_join_cjk(t, phrases[2:])}" if phrases[2:] else ""
        text = f"{place}{'' if chinese or night else 'で'}{comma}{one}{at}{phrases[0]}{comma}{two}{at}{phrases[1]}{rest}"
    elif message.frame == "there":
        there = _join_cjk(t, phrases)
        text = f"{place or '这里'}有{there}" if chinese else (f"{place}に" if place else "") + there + t.phrases["is"]
    else:
        text = (f"{place}{of}" if place else "") + _join_cjk(t, phrases)
        if message.side:
            side = t.phrases[message.side]
            text += f"，在{side}" if chinese else f"、{side}" if message.side == "middle" else f"、{side}側"
    if not detailed and message.frame in ("photo", "picture", "image"):
        text = t.phrases["photo"] + text if chinese else text + t.phrases["photo"]
    return f"{text}{comma}{style}" if style else text


def _join_cjk(t: SimpleNamespace, phrases: list[str]) -> str:
    if t.language == "ja":
        return t.phrases["and"].join(phrases)
    return phrases[0] if len(phrases) == 1 else "、".join(phrases[:-1]) + t.phrases["and"] + phrases[-1]
