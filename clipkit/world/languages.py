"""Messages put into nine languages beside English, with gender, number and agreement.

Places, relations and frames are worded so that nouns stay in the nominative ("links eine rote Katze, rechts ein
blauer Hund"): one form table per noun is then enough, and each sentence is one a native reader would accept.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from clipkit.world import lexicon
from clipkit.world.content_plan import Item, Message
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, STYLES, TEXTURES

LANGUAGES: tuple[str, ...] = ("en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja")
_ROMANCE = ("fr", "es", "it", "pt")
# "photo of" before an article or a vowel.
_CONTRACTIONS = {
    "fr": (("de le ", "du "), ("de un", "d'un")),
    "es": (("de el ", "del "),),
    "it": (("di il ", "del "), ("di la ", "della ")),
    "pt": (("de o ", "do "), ("de a ", "da ")),
}


def _entries(block: str) -> list[tuple[str, ...]]:
    return [tuple(form.replace("_", " ") for form in entry.split()) for entry in block.split("|")]


@cache
def tables(language: str) -> SimpleNamespace:
    """The word tables of one language, keyed by the taxonomy's English words."""
    words = (*COLOURS, *TEXTURES, *SIZES)
    one = lambda table, keys: dict(zip(keys, (e[0] for e in _entries(table[language])), strict=True))  # noqa: E731
    phrases = ("left", "right", "top", "bottom", "middle", "and", "mixed", "is", "are", "photo", "with")
    return SimpleNamespace(
        language=language,
        nouns=dict(zip(CATEGORIES, _entries(lexicon.NOUNS[language]), strict=True)),
        adjectives=dict(zip(words, _entries(lexicon.ADJECTIVES[language]), strict=True)),
        numbers=_entries(lexicon.NUMBERS[language]),
        places=one(lexicon.PLACES, BACKGROUNDS),
        scenes=one(lexicon.SCENES, BACKGROUNDS),
        styles=one(lexicon.STYLES, STYLES[1:]),
        phrases=one(lexicon.PHRASES, phrases),
    )


def _by_gender(forms: tuple[str, ...], gender: str) -> str:
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
        return (_say_chinese if language == "zh" else _say_japanese)(t, message, detailed)
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
        text = _join(t, phrases)
        text = f"{text} {place}" if place else text
    if photo:
        lead = t.phrases["photo"]
        text = f"{lead.rsplit(' ', 1)[0] if language in _ROMANCE else lead} {text}"
    elif message.frame == "there" and message.items:
        several = len(message.items) > 1 or message.items[0].count > 1
        text = f"{t.phrases['are' if several else 'is']} {text}"
    return f"{text}, {style}" if style else text


def _join(t: SimpleNamespace, phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} {t.phrases['and']} {phrases[-1]}"


def _contract(text: str, language: str) -> str:
    for plain, short in _CONTRACTIONS[language]:
        if text.startswith(plain):
            return short + text[len(plain) :]
    return text


_FIRST_SIDE = {"left of": ("left", "right"), "right of": ("right", "left"), "above": ("top", "bottom"), "below": ("bottom", "top")}


def _sides(t: SimpleNamespace, message: Message, phrases: list[str]) -> str:
    one, two = (t.phrases[s] for s in _FIRST_SIDE[message.relation])
    return ", ".join(
        [f"{one} {phrases[0]}", f"{two} {phrases[1]}", *([f"{t.phrases['with']} {_join(t, phrases[2:])}"] if phrases[2:] else [])]
    )


def _say_chinese(t: SimpleNamespace, message: Message, detailed: bool) -> str:
    phrases = [_phrase(i._replace(members=()), "zh") for i in message.items]
    style = t.styles.get(message.style, "") if detailed or message.frame in ("style", "drawing") else ""
    place = t.places.get(message.background, "")
    if not phrases:
        text = t.scenes[message.background]
    elif message.relation:
        one, two = (t.phrases[s] for s in _FIRST_SIDE[message.relation])
        rest = f"，{t.phrases['with']}{_join_cjk(t, phrases[2:])}" if phrases[2:] else ""
        text = f"{place}，{one}是{phrases[0]}，{two}是{phrases[1]}{rest}"
    elif message.frame == "there":
        text = f"{place or '这里'}有{_join_cjk(t, phrases)}"
    else:
        text = (f"{place}的" if place else "") + _join_cjk(t, phrases)
        text += f"，在{t.phrases[message.side]}" if message.side else ""
    if not detailed and message.frame in ("photo", "picture", "image"):
        text = t.phrases["photo"] + text
    return f"{text}，{style}" if style else text


def _say_japanese(t: SimpleNamespace, message: Message, detailed: bool) -> str:
    phrases = [_phrase(i._replace(members=()), "ja") for i in message.items]
    style = t.styles.get(message.style, "") if detailed or message.frame in ("style", "drawing") else ""
    place = t.places.get(message.background, "")
    if not phrases:
        text = t.scenes[message.background]
    elif message.relation:
        one, two = (t.phrases[s] for s in _FIRST_SIDE[message.relation])
        rest = f"、{t.phrases['with']}{_join_cjk(t, phrases[2:])}" if phrases[2:] else ""
        text = f"{place}{'' if message.background == 'night' else 'で'}、{one}に{phrases[0]}、{two}に{phrases[1]}{rest}"
    elif message.frame == "there":
        return (f"{place}に" if place else "") + _join_cjk(t, phrases) + t.phrases["is"] + (f"、{style}" if style else "")
    else:
        text = (f"{place}の" if place else "") + _join_cjk(t, phrases)
        text += f"、{t.phrases[message.side]}側" if message.side in ("left", "right", "top", "bottom") else ""
        text += f"、{t.phrases['middle']}" if message.side == "middle" else ""
    if not detailed and message.frame in ("photo", "picture", "image"):
        text += t.phrases["photo"]
    return f"{text}、{style}" if style else text


def _join_cjk(t: SimpleNamespace, phrases: list[str]) -> str:
    if t.language == "ja":
        return t.phrases["and"].join(phrases)
    return phrases[0] if len(phrases) == 1 else "、".join(phrases[:-1]) + t.phrases["and"] + phrases[-1]
