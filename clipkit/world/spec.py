"""What a world is: the knobs of its distribution, frozen and hashable, checked when made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Self

from clipkit.errors import ClipkitError, unknown
from clipkit.world.taxonomy import CATEGORIES, COLOURS, MAX_OBJECTS, SIZES, STYLES

RESOLUTIONS = (8, 256)  # smallest and largest canvas side


class Spec:
    """What frozen dataclasses of plain values share: JSON there and back, and a hash of the values."""

    def to_dict(self) -> dict:
        """JSON-able; `from_dict` reads it back."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """The spec with these fields (missing ones keep their default). Raises ClipkitError for an unknown one."""
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown(f"field of {cls.__name__}", name, known)
        return cls(**values)

    def fingerprint(self) -> str:
        """sha256 of the spec's values."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class WorldSpec(Spec):
    """A distribution over scenes. Same spec and seed: same scenes, same bytes.

    Attributes:
        size: canvas side in pixels that data sets of this world are rendered at. min_objects, max_objects: objects a scene, 0 to 10.
        count_probs: probability of each number from min to max; None for uniform.
        styles, style_probs: drawing styles and their probabilities (None: uniform).
        categories: which of the 48 occur.
        zipf: exponent of category frequency over a fixed shuffled order of the 48; 0 is uniform.
        background_bias: probability that the background is the first object's home; else uniform.
        colour_bias: probability that an object has its category's typical colour; else uniform.
        same_category: probability that all objects of a scene are of one category, colour and texture.
        textured: probability that an object is striped, dotted or checkered.
        sizes: size words that occur (crowds of five and more are all "medium"). rotate: turn objects by up to 24 degrees.
        occlusion: probability that the second object covers part of the first.
        held_out: (colour, category) pairs that never occur; with only_held_out, the only ones that do.
        caption_noise: share of captions replaced by junk, for the registers that know noise.
    """

    size: int = 32
    min_objects: int = 1
    max_objects: int = 3
    count_probs: tuple[float, ...] | None = None
    styles: tuple[str, ...] = ("flat",)
    style_probs: tuple[float, ...] | None = None
    categories: tuple[str, ...] = CATEGORIES
    zipf: float = 0.0
    background_bias: float = 0.0
    colour_bias: float = 0.0
    same_category: float = 0.0
    textured: float = 0.25
    sizes: tuple[str, ...] = SIZES
    rotate: bool = True
    occlusion: float = 0.0
    held_out: tuple[tuple[str, str], ...] = ()
    only_held_out: bool = False
    caption_noise: float = 0.0

    def __post_init__(self):
        for field in fields(self):  # lists from JSON become tuples, so that a spec is hashable
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(tuple(v) if isinstance(v, list) else v for v in value))
        self._check()

    def _check(self) -> None:
        for name in ("size", "min_objects", "max_objects"):
            if not isinstance(getattr(self, name), int):
                raise ClipkitError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if not 0 <= self.min_objects <= self.max_objects <= MAX_OBJECTS:
            raise ClipkitError(f"objects a scene: 0 <= min <= max <= {MAX_OBJECTS}, got {self.min_objects} to {self.max_objects}")
        if not RESOLUTIONS[0] <= self.size <= RESOLUTIONS[1]:
            raise ClipkitError(f"size must lie in {RESOLUTIONS[0]}..{RESOLUTIONS[1]} pixels, got {self.size}")
        for kind, names, known in (("style", self.styles, STYLES), ("category", self.categories, CATEGORIES), ("size", self.sizes, SIZES)):
            if not names:
                raise ClipkitError(f"a world needs at least one {kind}")
            for name in names:
                if name not in known:
                    raise unknown(kind, name, known)
            if len(set(names)) < len(names):
                raise ClipkitError(f"a {kind} is named twice in {names}; weights go into the probabilities")
        for name, wanted in (("count_probs", self.max_objects - self.min_objects + 1), ("style_probs", len(self.styles))):
            given = getattr(self, name)
            if given is not None and not (len(given) == wanted and min(given) >= 0 and abs(sum(given) - 1) <= 1e-6):
                raise ClipkitError(f"{name} wants {wanted} probabilities that sum to 1, got {given}")
        for name in ("background_bias", "colour_bias", "same_category", "textured", "occlusion", "caption_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ClipkitError(f"{name} is a probability, 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.zipf < float("inf"):
            raise ClipkitError(f"zipf must be a number, 0 or more, got {self.zipf}")
        if any(not isinstance(pair, tuple) or len(pair) != 2 for pair in self.held_out):
            raise ClipkitError(f"held_out is a list of (colour, category) pairs, got {self.held_out}")
        for colour, category in self.held_out:
            if colour not in COLOURS:
                raise unknown("colour", colour, COLOURS)
            if category not in CATEGORIES:
                raise unknown("category", category, CATEGORIES)
        if not self.allowed_pairs():
            raise ClipkitError("held_out leaves no (colour, category) pair to draw; hold out fewer pairs")

    def allowed_pairs(self) -> set[tuple[str, str]]:
        """The (colour, category) pairs that may occur."""
        held = set(self.held_out)
        every = {(colour, category) for category in self.categories for colour in COLOURS}
        return every & held if self.only_held_out else every - held
