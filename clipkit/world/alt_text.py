"""Text as it is found next to pictures on the web: file names, slogans, hashtags, half the truth, or nothing to do with it."""

from __future__ import annotations

from clipkit.world.content_plan import Draw, Truth
from clipkit.world.taxonomy import CATEGORIES, COLOURS
from clipkit.world.words import PLACES, PLURALS, noun_phrase

_MONTHS = ("january", "february", "march", "april", "june", "july", "september", "october", "november", "december")
_CAMERAS = ("IMG_{:04d}", "DSC{:05d}", "P10{:05d}", "dsc_{:04d}", "image{:03d}", "scan{:04d}", "photo-{:03d}")
_JUNK = (
    "untitled",
    "click here for details",
    "Image not found",
    "home | news | contact",
    "free shipping on all orders today",
    "photo by admin",
    "view all comments",
    "the best deals of the week",
    "loading...",
    "how to choose the right insurance",
    "Our team wishes you happy holidays",
    "read more about our services",
    "join the newsletter",
    "#tbt #nofilter #love",
    "logo",
    "thumbnail",
    "sponsored content",
    "all rights reserved",
    "a quiet evening with good friends",
    "Ten tips for a better morning",
    "slide show",
    "coming soon",
    "share this with your family",
    "sign in to continue",
)


def junk(draw: Draw) -> str:
    """Text that says nothing about any picture."""
    kind = draw(6)
    if kind == 0:
        return draw.pick(_CAMERAS).format(draw(1000)) + draw.pick(("", ".jpg", ".JPG", ".png"))
    if kind == 1:
        return f"{2008 + draw(16)}-{1 + draw(12):02d}-{1 + draw(28):02d} {draw(24):02d}:{draw(60):02d}"
    if kind == 2:
        return draw.pick(
            (f"page {1 + draw(9)} of {10 + draw(90)}", f"{10 + 5 * draw(12)}% off everything", f"product no. {1000 + draw(9000)}")
        )
    return draw.pick(_JUNK)


def alt_text(truth: Truth, draw: Draw, noise: float = 0.3) -> str:
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
    text = _KINDS[draw(len(_KINDS))](draw, category, colour, name, place)
    case = draw(8)
    if case == 0:
        return text.upper()
    if case == 1:
        return text.title()
    return text[0].upper() + text[1:] if case == 2 else text


def _file(draw: Draw, category: str, colour: str, name: str, place: str) -> str:
    mark = draw.pick(("-", "_"))
    words = [w for w in (colour, category, place if draw(2) else "", f"{draw(1000):03d}") if w]
    return mark.join(words) + draw.pick((".jpg", ".png", "-300x200.jpg", ""))


def _sale(draw: Draw, category: str, colour: str, name: str, place: str) -> str:
    return draw.pick(
        (
            f"buy {name} online, free shipping",
            f"{name} - {10 + 5 * draw(12)}% off",
            f"cheap {PLURALS[category]} for sale",
            f"new {name} only ${5 + draw(90)}.99",
        )
    )


def _date(draw: Draw, category: str, colour: str, name: str, place: str) -> str:
    return draw.pick(
        (
            f"{name}, {1 + draw(28)} {draw.pick(_MONTHS)} {2008 + draw(16)}",
            f"{name} {PLACES[place]} {2008 + draw(16)}",
            f"{place} {2008 + draw(16)} {name}",
        )
    )


def _tags(draw: Draw, category: str, colour: str, name: str, place: str) -> str:
    words = [
        w for w in (category, colour, place if draw(2) else "", draw.pick(("photooftheday", "instagood", "nofilter", "art", "wow"))) if w
    ]
    return " ".join(f"#{w}" for w in draw.shuffled(words))


def _stock(draw: Draw, category: str, colour: str, name: str, place: str) -> str:
    return draw.pick(
        (
            f"{name} stock photo",
            f"royalty free image of {noun_phrase(1, category, colour)}",
            f"{name} clip art",
            f"{name} isolated vector",
            f"{name} wallpaper hd",
        )
    )


def _plain(draw: Draw, category: str, colour: str, name: str, place: str) -> str:
    return draw.pick(
        (
            name,
            f"{name} {place}",
            f"my {name}",
            f"{name} {PLACES[place]}",
            f"{name} :)",
            f"the {name}",
            f"{place} {category}",
            f"pic of {name}",
        )
    )


_KINDS = (_file, _sale, _date, _tags, _stock, _plain, _plain, _plain)
