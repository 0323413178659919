"""What the world is made of: names and colours shared by the drawings, the sampler and the grammar."""

from __future__ import annotations

SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "animal": ("cat", "dog", "bird", "fish", "turtle", "butterfly"),
    "fruit": ("apple", "banana", "cherry", "grapes", "pear", "watermelon"),
    "vegetable": ("carrot", "mushroom", "corn", "pumpkin", "eggplant", "broccoli"),
    "vehicle": ("car", "bus", "bicycle", "airplane", "boat", "rocket"),
    "household object": ("cup", "lamp", "chair", "clock", "key", "umbrella"),
    "shape": ("circle", "square", "triangle", "hexagon", "ring", "cross"),
    "plant": ("tree", "fir", "flower", "cactus", "leaf", "palm"),
    "symbol": ("star", "heart", "arrow", "moon", "lightning", "note"),
}
CATEGORIES: tuple[str, ...] = tuple(c for group in SUPERCLASSES.values() for c in group)
SUPERCLASS_OF: dict[str, str] = {c: s for s, group in SUPERCLASSES.items() for c in group}

# The hypernym tree above the superclasses; the root is "thing".
HYPERNYMS: dict[str, str] = {
    **SUPERCLASS_OF,
    "animal": "living thing",
    "plant": "living thing",
    "fruit": "food",
    "vegetable": "food",
    "vehicle": "artefact",
    "household object": "artefact",
    "shape": "sign",
    "symbol": "sign",
    "living thing": "thing",
    "food": "thing",
    "artefact": "thing",
    "sign": "thing",
}

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 45, 48),
    "orange": (245, 133, 32),
    "yellow": (250, 210, 40),
    "green": (44, 160, 66),
    "blue": (45, 100, 220),
    "purple": (132, 64, 178),
    "pink": (245, 130, 180),
    "brown": (130, 80, 44),
    "white": (245, 245, 245),
    "black": (44, 44, 50),
}
# The colour a category has when nothing says otherwise ("typical colour").
TYPICAL_COLOUR: dict[str, str] = {
    "cat": "orange", "dog": "brown", "bird": "blue", "fish": "orange", "turtle": "green", "butterfly": "purple",
    "apple": "red", "banana": "yellow", "cherry": "red", "grapes": "purple", "pear": "green", "watermelon": "red",
    "carrot": "orange", "mushroom": "red", "corn": "yellow", "pumpkin": "orange", "eggplant": "purple", "broccoli": "green",
    "car": "red", "bus": "yellow", "bicycle": "blue", "airplane": "white", "boat": "blue", "rocket": "white",
    "cup": "blue", "lamp": "yellow", "chair": "brown", "clock": "white", "key": "yellow", "umbrella": "purple",
    "circle": "blue", "square": "red", "triangle": "green", "hexagon": "orange", "ring": "pink", "cross": "black",
    "tree": "green", "fir": "green", "flower": "pink", "cactus": "green", "leaf": "green", "palm": "green",
    "star": "yellow", "heart": "red", "arrow": "black", "moon": "yellow", "lightning": "yellow", "note": "black",
}  # fmt: skip

BACKGROUNDS: tuple[str, ...] = ("meadow", "beach", "sea", "snow", "desert", "night", "city", "room")
# Where a category is at home, for worlds whose backgrounds follow the object.
HOME: dict[str, str] = {
    "cat": "room", "dog": "meadow", "bird": "snow", "fish": "sea", "turtle": "beach", "butterfly": "meadow",
    "apple": "meadow", "banana": "beach", "cherry": "snow", "grapes": "desert", "pear": "room", "watermelon": "beach",
    "carrot": "meadow", "mushroom": "night", "corn": "meadow", "pumpkin": "night", "eggplant": "room", "broccoli": "snow",
    "car": "city", "bus": "city", "bicycle": "city", "airplane": "snow", "boat": "sea", "rocket": "night",
    "cup": "room", "lamp": "room", "chair": "room", "clock": "city", "key": "desert", "umbrella": "beach",
    "circle": "desert", "square": "city", "triangle": "sea", "hexagon": "desert", "ring": "sea", "cross": "snow",
    "tree": "meadow", "fir": "snow", "flower": "meadow", "cactus": "desert", "leaf": "sea", "palm": "beach",
    "star": "night", "heart": "room", "arrow": "desert", "moon": "night", "lightning": "night", "note": "city",
}  # fmt: skip
# Labels of the background's own regions ("stuff"), for dense truth.
STUFF: tuple[str, ...] = ("sky", "grass", "sand", "water", "snowfield", "dune", "night sky", "hill", "building", "road", "wall", "floor")
TEXTURES: tuple[str, ...] = ("plain", "striped", "dotted", "checkered")
SIZES: tuple[str, ...] = ("small", "medium", "large")
# "flat" is the pretraining style; the others are domain shifts unless a WorldSpec mixes them in.
STYLES: tuple[str, ...] = ("flat", "shaded", "sketch", "pixel", "pastel", "blueprint", "negative")
# Styles in which an object's colour cannot be seen (captions then leave it out).
COLOURLESS_STYLES: frozenset[str] = frozenset({"blueprint", "negative"})
MAX_OBJECTS = 10
# (colour, category) pairs for tests of composition, which no lesson of the question answerer shows or says. The categories of one
# class (of five) lack the same two colours: a red and a blue thing can exchange colours and both stay unseen.
HELD_OUT_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (colour, category) for j, category in enumerate(CATEGORIES) for i, colour in enumerate(COLOURS) if (i + 3 * j) % 5 == 0
)
