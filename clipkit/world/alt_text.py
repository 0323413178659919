"""Text as it is found next to pictures on the web: file names, slogans, hashtags, half the truth, or nothing to do with it."""

from __future__ import annotations

import json
from pathlib import Path

from clipkit.world.content_plan import HashRandom, SceneFacts
from clipkit.world.taxonomy import CATEGORIES, COLOURS
from clipkit.world.words import PLACES, PLURALS, noun_phrase

_WORDS = {kind: tuple(rows) for kind, rows in json.loads(Path(__file__).with_name("alt_text.json").read_text(encoding="utf-8")).items()}


def junk(draw: HashRandom) -> str:
    """Text that says nothing about any picture."""
    kind = draw(6)
    if kind == 0:
        return draw.pick(_WORDS["cameras"]).format(draw(1000)) + draw.pick(("", ".jpg", ".JPG", ".png"))
    if kind == 1:
        return f"{2008 + draw(16)}-{1 + draw(12):02d}-{1 + draw(28):02d} {draw(24):02d}:{draw(60):02d}"
    if kind == 2:
        return draw.pick(
            (f"page {1 + draw(9)} of {10 + draw(90)}", f"{10 + 5 * draw(12)}% off everything", f"product no. {1000 + draw(9000)}")
        )
    return draw.pick(_WORDS["junk"])


def alt_text(truth: SceneFacts, draw: HashRandom, noise: float = 0.3) -> str:
    """A web-like caption of one scene.

    Args:
        noise: probability that the text has nothing to do with the picture; a quarter of it is the probability
            that a text about the picture names a wrong thing or colour. At 0 what is said is true, though little.
    """
    if draw(1000) < 1000 * noise or not truth.things:
        return junk(draw)
    thing = draw.pick(truth.things)
    category, colour, place = thing.category, thing.colour if truth.coloured and draw(2) else "", truth.background
    if draw(1000) < 250 * noise:
        if colour and draw(2):
            colour = draw.pick(tuple(COLOURS))
        else:
            category = draw.pick(CATEGORIES)
    name = f"{colour} {category}" if colour else category
    said = {"name": name, "category": category, "colour": colour, "place": place}
    said |= {"many": PLURALS[category], "where": PLACES[place], "phrase": noun_phrase(1, category, colour)}
    text = _KINDS[draw(len(_KINDS))](draw, said)
    case = draw(8)
    if case == 0:
        return text.upper()
    if case == 1:
        return text.title()
    return text[0].upper() + text[1:] if case == 2 else text


# -- each draws first all that some of its sentences may need, so that the sentence does not change the stream ---------------
def _file(draw: HashRandom, said: dict[str, str]) -> str:
    mark = draw.pick(("-", "_"))
    words = [w for w in (said["colour"], said["category"], said["place"] if draw(2) else "", f"{draw(1000):03d}") if w]
    return mark.join(words) + draw.pick((".jpg", ".png", "-300x200.jpg", ""))


def _sale(draw: HashRandom, said: dict[str, str]) -> str:
    numbers = {"off": 10 + 5 * draw(12), "price": 5 + draw(90)}
    return draw.pick(_WORDS["sale"]).format(**said, **numbers)


def _date(draw: HashRandom, said: dict[str, str]) -> str:
    day = {"day": 1 + draw(28), "month": draw.pick(_WORDS["months"]), "years": [2008 + draw(16) for _ in range(3)]}
    return draw.pick(_WORDS["date"]).format(**said, **day)


def _tags(draw: HashRandom, said: dict[str, str]) -> str:
    words = (said["category"], said["colour"], said["place"] if draw(2) else "", draw.pick(_WORDS["tags"]))
    return " ".join(f"#{w}" for w in draw.shuffled(filter(None, words)))


def _stock(draw: HashRandom, said: dict[str, str]) -> str:
    return draw.pick(_WORDS["stock"]).format(**said)


def _plain(draw: HashRandom, said: dict[str, str]) -> str:
    return draw.pick(_WORDS["plain"]).format(**said)


_KINDS = (_file, _sale, _date, _tags, _stock, _plain, _plain, _plain)
