"""Messages put into English sentences: the short and the detailed register, and what other registers share."""

from __future__ import annotations

from clipkit.world.content_plan import Item, Message
from clipkit.world.words import PLACES, RELATION_WORDS, SCENES, SIDES, STYLE_LEADS, STYLE_NOUNS, join, noun_phrase

_LEADS = {"photo": "a photo of ", "picture": "a picture of ", "image": "an image of ", "drawing": "a drawing of "}


def phrase(item: Item) -> str:
    """An item in English: "two small red apples", "five red cats of different sizes"."""
    text = noun_phrase(item.count, item.category, item.colour, item.texture, item.size)
    return text + " of different sizes" if item.mixed else text


def be(item: Item) -> str:
    """ "is" or "are"."""
    return "is" if item.count == 1 else "are"


def say_short(message: Message) -> str:
    """A short message in English: "a photo of a red cat", "two red apples in the snow"."""
    frame, place = message.frame, message.background
    if not message.items:
        body = SCENES[place]
        if frame == "there":
            return f"there is nothing {PLACES[place]}"
        if frame == "background":
            return f"{place} background"
    else:
        body = join(phrase(i) for i in message.items)
        if frame == "background":
            return f"{body}, {place} background"
        if place:
            body = f"{body} {PLACES[place]}"
        if frame == "there":
            return f"there {be(message.items[0])} {body}"
    if frame == "style":
        return f"{STYLE_LEADS[message.style]} {body}"
    return _LEADS.get(frame, "") + body


def say_detailed(message: Message) -> str:
    """A detailed message in English: "a small red cat to the left of two green apples on a beach, pencil sketch"."""
    style = "" if message.style == "flat" else f", {STYLE_NOUNS[message.style]}"
    if not message.items:
        return f"{SCENES[message.background]} with nothing in it{style}"
    phrases, comma = [phrase(i) for i in message.items], ""
    if message.relation:
        body = f"{phrases[0]} {RELATION_WORDS[message.relation]} {phrases[1]}"
        if len(phrases) > 2:
            body, comma = f"{body}, with {join(phrases[2:])}", ","
    elif message.side:
        body, comma = f"{phrases[0]} {SIDES[message.side]}", ","
    else:
        body = join(phrases)
    return f"{body}{comma} {PLACES[message.background]}{style}"
