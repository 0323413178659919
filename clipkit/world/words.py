"""English words for what the world is made of: plurals, articles, places, styles, synonyms; and noun phrases."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from clipkit.world.taxonomy import CATEGORIES, HYPERNYMS

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_IRREGULAR = {
    "bus": "buses",
    "butterfly": "butterflies",
    "cactus": "cacti",
    "cherry": "cherries",
    "cross": "crosses",
    "fish": "fish",
    "leaf": "leaves",
    "lightning": "lightning bolts",
    "grapes": "grapes",
    "corn": "corn",
    "broccoli": "broccoli",
}
PLURALS: dict[str, str] = {c: _IRREGULAR.get(c, c + "s") for c in CATEGORIES}
# Nouns that are not counted themselves: "a small bunch of red grapes", "two ears of yellow corn".
MEASURES: dict[str, tuple[str, str]] = {"grapes": ("bunch", "bunches"), "corn": ("ear", "ears"), "broccoli": ("head", "heads")}
# What one of a category is called in a sentence where its class name alone would not do.
SINGULARS: dict[str, str] = {c: c for c in CATEGORIES} | {"lightning": "lightning bolt"}

# Hypernyms (taxonomy.HYPERNYMS): one, many.
HYPERNYM_FORMS: dict[str, tuple[str, str]] = {h: (h, h + "s") for h in dict.fromkeys(HYPERNYMS.values()) if h not in ("fruit", "food")} | {
    "fruit": ("piece of fruit", "pieces of fruit"),
    "food": ("food item", "food items"),
}

PLACES: dict[str, str] = {
    "meadow": "in a meadow",
    "beach": "on a beach",
    "sea": "in the sea",
    "snow": "in the snow",
    "desert": "in the desert",
    "night": "at night",
    "city": "in a city",
    "room": "in a room",
}
# The background as the subject: "a photo of a beach", "an empty room".
SCENES: dict[str, str] = {
    "meadow": "a meadow",
    "beach": "a beach",
    "sea": "the sea",
    "snow": "a snow scene",
    "desert": "the desert",
    "night": "a night scene",
    "city": "a city",
    "room": "a room",
}
# Style as a noun (class name), and what stands before "of a red cat".
STYLE_NOUNS: dict[str, str] = {
    "flat": "flat drawing",
    "shaded": "shaded drawing",
    "sketch": "pencil sketch",
    "pixel": "pixel art",
    "pastel": "pastel painting",
    "blueprint": "blueprint",
    "negative": "photo negative",
}
STYLE_LEADS: dict[str, str] = {s: f"{'' if s == 'pixel' else 'a '}{noun} of" for s, noun in STYLE_NOUNS.items()}

SIDES: dict[str, str] = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
}
RELATION_WORDS: dict[str, str] = {"left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"}
OPPOSITE: dict[str, str] = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

# Words of the "synonym" register. None of them occurs in any other register, so a page can keep them unseen.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "cat": ("kitten", "feline"), "dog": ("puppy", "hound"), "bird": ("songbird", "sparrow"), "fish": ("goldfish", "trout"),
    "turtle": ("tortoise", "terrapin"), "butterfly": ("moth", "swallowtail"),
    "apple": ("pippin", "russet"), "banana": ("plantain", "cavendish"), "cherry": ("morello", "maraschino"),
    "grapes": ("muscat", "currant"), "pear": ("conference", "bartlett"), "watermelon": ("melon", "citrullus"),
    "carrot": ("taproot", "daucus"), "mushroom": ("toadstool", "fungus"), "corn": ("cob", "sweetcorn"),
    "pumpkin": ("squash", "gourd"), "eggplant": ("aubergine", "brinjal"), "broccoli": ("calabrese", "brassica"),
    "car": ("automobile", "sedan"), "bus": ("coach", "omnibus"), "bicycle": ("bike", "cycle"), "airplane": ("aircraft", "jet"),
    "boat": ("vessel", "dinghy"), "rocket": ("spaceship", "spacecraft"),
    "cup": ("mug", "beaker"), "lamp": ("lantern", "luminaire"), "chair": ("seat", "stool"), "clock": ("timepiece", "watch"),
    "key": ("latchkey", "passkey"), "umbrella": ("parasol", "brolly"),
    "circle": ("disc", "dot"), "square": ("quadrate", "box"), "triangle": ("wedge", "trigon"), "hexagon": ("hexangle", "honeycomb"),
    "ring": ("hoop", "annulus"), "cross": ("plus", "crucifix"),
    "tree": ("oak", "maple"), "fir": ("spruce", "conifer"), "flower": ("blossom", "bloom"), "cactus": ("saguaro", "succulent"),
    "leaf": ("frond", "leaflet"), "palm": ("coconut", "palmetto"),
    "star": ("pentagram", "asterisk"), "heart": ("valentine", "ticker"), "arrow": ("pointer", "dart"), "moon": ("crescent", "luna"),
    "lightning": ("thunderbolt", "flash"), "note": ("quaver", "semiquaver"),
    "red": ("crimson", "scarlet"), "orange": ("tangerine", "apricot"), "yellow": ("golden", "lemon"), "green": ("emerald", "viridian"),
    "blue": ("azure", "cobalt"), "purple": ("violet", "mauve"), "pink": ("rosy", "salmon"), "brown": ("chestnut", "umber"),
    "white": ("ivory", "snowy"), "black": ("ebony", "inky"),
    "striped": ("banded", "stripy"), "dotted": ("spotted", "speckled"), "checkered": ("chequered", "tartan"),
    "small": ("tiny", "little"), "large": ("huge", "big"),
    "meadow": ("pasture", "grassland"), "beach": ("seashore", "coast"), "sea": ("ocean", "deep"), "snow": ("frost", "ice"),
    "desert": ("sahara", "wasteland"), "night": ("midnight", "darkness"), "city": ("town", "metropolis"), "room": ("parlour", "chamber"),
}  # fmt: skip
SYNONYM_PLACES: dict[str, str] = {
    "meadow": "in a {}",
    "beach": "on a {}",
    "sea": "in the {}",
    "snow": "in the {}",
    "desert": "in the {}",
    "night": "in the {}",
    "city": "in a {}",
    "room": "in a {}",
}
SYNONYM_PLURALS = {
    "goldfish": "goldfish", "trout": "trout", "aircraft": "aircraft", "spacecraft": "spacecraft", "puppy": "puppies", "brolly": "brollies",
    "fungus": "fungi", "plus": "pluses",
    "squash": "squashes", "crucifix": "crucifixes", "dinghy": "dinghies", "coach": "coaches", "omnibus": "omnibuses", "box": "boxes",
    "watch": "watches", "flash": "flashes", "moth": "moths", "calabrese": "calabrese", "brassica": "brassica",
    "annulus": "annuli", "citrullus": "citrulluses", "daucus": "daucuses", "maraschino": "maraschinos",
}  # fmt: skip


def article(words: str) -> str:
    """ "a" or "an" by the first letter (no word of this world has a mute h or a "yoo" vowel).

    >>> article("orange cat"), article("hexagon")
    ('an', 'a')
    """
    return "an" if words[0] in "aeiou" else "a"


def number_word(n: int, noun: str) -> str:
    """`noun` (already singular or plural, with its adjectives) with "a", "an" or a number word before it."""
    return f"{article(noun)} {noun}" if n == 1 else f"{NUMBERS[n]} {noun}"


def join(phrases: Iterable[str]) -> str:
    """Phrases as a list in prose.

    >>> join(["a cat", "a dog", "two cups"])
    'a cat, a dog and two cups'
    """
    phrases = list(phrases)
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


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
