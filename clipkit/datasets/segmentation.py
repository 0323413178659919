"""World scenes for dense tasks: several objects of very different sizes at 128 px, with a label for every pixel.

The 48 categories are cut into two halves, three of each superclass in each: what is trained or tuned on masks sees the
first half only, what is tested shows the second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipkit.datasets.world import stream
from clipkit.errors import ClipkitError, unknown

SIZE = 128
SIDES = (12, 70)  # longer side of an object at 128 px
TRIES = 24  # places tried for each object; the least crowded is taken
SPLITS = ("train", "val", "test")


@dataclass
class LabelledScenes:
    """N pictures of S × S pixels and what each pixel shows.

    Attributes:
        images: (N, S, S, 3) uint8. labels: (N, S, S) int64, 0 the background, 1 + position in `names` an object's category.
        instances: (N, S, S) uint8, 0 or slot + 1. stuff: (N, S, S) uint8, what the background is made of (index into STUFF).
        names: the categories that may occur. sides: (N, K) float32, longer side of each object in pixels, NaN without one.
        scenes: `clipkit.world.Scenes`.
    """

    images: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    stuff: np.ndarray
    names: tuple[str, ...]
    sides: np.ndarray
    scenes: object

    def __len__(self) -> int:
        return len(self.images)

    @property
    def segments(self) -> np.ndarray:
        """(N, S, S) int64, one number for each object and each kind of stuff, without names: what a mask model may learn from."""
        return np.where(self.instances > 0, self.instances.astype(np.int64), 100 + self.stuff.astype(np.int64))


def category_halves() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two halves of the 48 categories, three of each superclass in each: (for training and tuning, for testing).

    >>> [half[:3] for half in category_halves()]
    [('cat', 'bird', 'turtle'), ('dog', 'fish', 'butterfly')]
    """
    from clipkit.world import SUPERCLASSES

    halves = [tuple(c for group in SUPERCLASSES.values() for c in group[first::2]) for first in (0, 1)]
    return halves[0], halves[1]


def segmentation_scenes(
    split: str,
    n: int,
    seed: int = 0,
    size: int = SIZE,
    categories: tuple[str, ...] | None = None,
    styles: tuple[str, ...] = ("flat",),
    objects: tuple[int, int] = (2, 5),
    sides: tuple[float, float] = SIDES,
) -> LabelledScenes:
    """Scenes of `objects` objects whose longer sides are drawn evenly on a logarithmic scale.

    Args:
        split: "test" shows the second half of the categories, "train" and "val" the first; each split and seed is a stream
            of its own, and a smaller n is the start of a larger one.
        categories: other categories in place of the half.
        sides: smallest and largest side, in pixels of a picture of 128; other picture sizes scale them.
    Raises ClipkitError for an unknown split, or sides that are not 3 <= smallest <= largest <= 128.
    """
    from clipkit.world import CATEGORIES, WorldSpec, render, sample_scenes

    if split not in SPLITS:
        raise unknown("split of segmentation scenes", split, SPLITS)
    if not 3 <= sides[0] <= sides[1] <= SIZE:
        raise ClipkitError(f"sides are pixels of a picture of {SIZE}, 3 <= smallest <= largest <= {SIZE}; got {sides}")
    names = tuple(categories or category_halves()[split == "test"])
    spec = WorldSpec(min_objects=objects[0], max_objects=objects[1], categories=names, styles=tuple(styles))
    number = stream(f"segmentation/{split}", seed)
    scenes = _spread(sample_scenes(spec, n, number), number, sides)
    drawn = render(scenes, size=size, masks=True)
    lookup = np.zeros(len(CATEGORIES) + 1, np.int64)  # category -1 (none) is the last entry: background
    for position, name in enumerate(names):
        lookup[CATEGORIES.index(name)] = position + 1
    slots = np.concatenate([np.zeros((n, 1), np.int64), lookup[scenes.category]], axis=1)
    labels = slots[np.arange(n)[:, None, None], drawn.instances]
    long = np.where(scenes.category >= 0, scenes.scale * size, np.nan).astype(np.float32)
    return LabelledScenes(drawn.images, labels, drawn.instances, drawn.stuff, names, long, scenes)


def _spread(scenes, number: int, sides: tuple[float, float]):
    """The same scenes with new sizes and places: large objects first and behind, each where it covers the others least."""
    scale, x, y, depth = (getattr(scenes, name).copy() for name in ("scale", "x", "y", "depth"))
    low, high = (np.log(side / SIZE) for side in sides)
    for i in range(len(scenes)):
        rng = np.random.Generator(np.random.PCG64([number, i]))
        count = int((scenes.category[i] >= 0).sum())
        new = np.sort(np.exp(low + (high - low) * rng.random(count)))[::-1]
        tried = rng.random((count, TRIES, 2))
        for k in range(count):
            place = new[k] / 2 + (1 - new[k]) * tried[k]  # (TRIES, 2), wholly inside
            reach = (new[k] + new[:k]) / 2  # two boxes touch when their centres are this far apart
            gap = np.clip(reach - np.abs(place[:, :1] - x[i, :k]), 0, None) * np.clip(reach - np.abs(place[:, 1:] - y[i, :k]), 0, None)
            best = int(gap.sum(1).argmin())
            x[i, k], y[i, k], scale[i, k], depth[i, k] = *place[best], new[k], k
    return scenes.replace(scale=scale, x=x, y=y, depth=depth)
