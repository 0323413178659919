"""Scenes: what is where. A batch is a struct of arrays; one scene, when asked for, speaks in names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from dataclasses import replace as dataclass_replace
from itertools import combinations

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.world.content_plan import relation_between
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, MAX_OBJECTS, SIZES, STYLES, TEXTURES

_COLOURS = tuple(COLOURS)


@dataclass(frozen=True)
class Object:
    """One object in names. x, y: centre; scale: longer side; all as shares of the canvas."""

    category: str
    colour: str
    texture: str = "plain"
    size: str = "medium"
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.5
    angle: int = 0
    flip: bool = False
    depth: int = 0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Nominal box (x0, y0, x1, y1), shares of the canvas; `render` gives the exact one in pixels."""
        half = self.scale / 2
        return (self.x - half, self.y - half, self.x + half, self.y + half)


@dataclass(frozen=True)
class Scene:
    """One scene in names."""

    objects: tuple[Object, ...]
    background: str = "meadow"
    style: str = "flat"
    seed: int = 0


@dataclass
class Scenes:
    """N scenes of up to K = 10 objects; category is -1 in empty slots.

    category, colour, texture, size, angle (N, K) int16 (indices; degrees); scale, x, y (N, K) float32;
    flip (N, K) bool; depth (N, K) int16, larger is nearer; background, style (N,) int16; seed (N,) uint64.
    """

    category: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    size: np.ndarray
    scale: np.ndarray
    angle: np.ndarray
    flip: np.ndarray
    x: np.ndarray
    y: np.ndarray
    depth: np.ndarray
    background: np.ndarray
    style: np.ndarray
    seed: np.ndarray

    def __len__(self) -> int:
        return len(self.background)

    def __getitem__(self, key):
        if isinstance(key, (int, np.integer)):
            return self._scene(int(key))
        return Scenes(**{f.name: getattr(self, f.name)[key] for f in fields(self)})

    def __iter__(self):
        return (self._scene(i) for i in range(len(self)))

    @property
    def count(self) -> np.ndarray:
        """Objects a scene, (N,) int64."""
        return (self.category >= 0).sum(1)

    def replace(self, **arrays) -> Scenes:
        """The same scenes with some arrays changed: one factor turned, all else equal. Scalars and names are spread."""
        names = {"category": CATEGORIES, "colour": _COLOURS, "texture": TEXTURES, "size": SIZES, "background": BACKGROUNDS, "style": STYLES}
        known = {f.name for f in fields(self)}
        for name, value in arrays.items():
            if name not in known:
                raise unknown("factor of a scene", name, known)
            if isinstance(value, str):
                if value not in names.get(name, ()):
                    raise unknown(name, value, names.get(name, ()))
                value = names[name].index(value)
            old = getattr(self, name)
            value = np.asarray(value)
            limit = len(names.get(name, ())) or None
            if limit and value.size and (value.max() >= limit or value.min() < (-1 if name == "category" else 0)):
                raise ClipkitError(f"{name} indices lie in 0..{limit - 1}, got {value.min()}..{value.max()}")
            if name in ("category", "colour", "texture", "size") and value.ndim <= 1:
                value = np.where(self.category >= 0, value[:, None] if value.ndim else value, old)
            arrays[name] = np.broadcast_to(value, old.shape).astype(old.dtype)
        return dataclass_replace(self, **arrays)

    @classmethod
    def concatenate(cls, parts: Sequence[Scenes]) -> Scenes:
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    @classmethod
    def empty(cls, n: int) -> Scenes:
        """n scenes without objects."""
        slots, one = (n, MAX_OBJECTS), (n,)
        return cls(
            **{k: np.full(slots, v, np.int16) for k, v in (("category", -1), ("colour", 0), ("texture", 0), ("size", 1), ("angle", 0))},
            **{k: np.zeros(slots, np.float32) for k in ("scale", "x", "y")},
            flip=np.zeros(slots, bool), depth=np.zeros(slots, np.int16),
            background=np.zeros(one, np.int16), style=np.zeros(one, np.int16), seed=np.zeros(one, np.uint64),
        )  # fmt: skip

    @classmethod
    def from_list(cls, scenes: Sequence[Scene]) -> Scenes:
        """Scenes written by hand. Raises ClipkitError for unknown names or more than ten objects."""
        out = cls.empty(len(scenes))
        index = lambda kind, name, names: names.index(name) if name in names else _raise(unknown(kind, name, names))  # noqa: E731
        for i, s in enumerate(scenes):
            if len(s.objects) > MAX_OBJECTS:
                raise ClipkitError(f"scene {i} has {len(s.objects)} objects; {MAX_OBJECTS} is the most")
            out.background[i] = index("background", s.background, BACKGROUNDS)
            out.style[i] = index("style", s.style, STYLES)
            out.seed[i] = s.seed
            for k, o in enumerate(s.objects):
                out.category[i, k] = index("category", o.category, CATEGORIES)
                out.colour[i, k] = index("colour", o.colour, _COLOURS)
                out.texture[i, k] = index("texture", o.texture, TEXTURES)
                out.size[i, k] = index("size", o.size, SIZES)
                for name in ("scale", "x", "y", "angle", "flip", "depth"):
                    getattr(out, name)[i, k] = getattr(o, name)
        return out

    def _scene(self, i: int) -> Scene:
        if not -len(self) <= i < len(self):
            raise IndexError(f"scene {i} of {len(self)}")
        objects = tuple(
            Object(
                CATEGORIES[self.category[i, k]], _COLOURS[self.colour[i, k]], TEXTURES[self.texture[i, k]], SIZES[self.size[i, k]],
                float(self.x[i, k]), float(self.y[i, k]), float(self.scale[i, k]), int(self.angle[i, k]),
                bool(self.flip[i, k]), int(self.depth[i, k]),
            )
            for k in range(self.category.shape[1]) if self.category[i, k] >= 0
        )  # fmt: skip
        return Scene(objects, BACKGROUNDS[self.background[i]], STYLES[self.style[i]], int(self.seed[i]))


def _raise(error: Exception):
    raise error


def relations(scene: Scene) -> list[tuple[int, str, int]]:
    """(i, relation, j) for i < j, along the axis in which the centres differ most; none when they are too close to tell.

    >>> scene = Scene((Object("cat", "red", x=0.2), Object("dog", "blue", x=0.8)))
    >>> relations(scene)
    [(0, 'left of', 1)]
    """
    pairs = combinations(enumerate(scene.objects), 2)
    return [(i, relation, j) for (i, a), (j, b) in pairs if (relation := relation_between([a], [b]))]
