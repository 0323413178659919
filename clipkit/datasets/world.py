"""`world`: pictures from `clipkit.world`, labelled by the factor that a page asks about."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.images import ArrayImages
from clipkit.errors import ClipkitError, unknown

SIZES_OF_SPLITS = {"train": 4096, "val": 512, "test": 1024}  # images when n is not given
FACTORS = ("category", "superclass", "colour", "background", "texture", "size", "style", "count", "colour_category")
OF_SCENES = ("background", "style", "count")  # factors that a scene with several objects has too
LOOKS = 6  # with `per_class`, at most 2^6 scenes are sampled for one that is wanted


def load(
    tail: str,
    split: str,
    root: object,
    seed: int,
    *,
    n: int | None = None,
    per_class: int | None = None,
    factor: str | None = None,
    narrow: bool = False,
    spec=None,
    pixels: int | None = None,
    captions: tuple[str, ...] = ("short", "detailed"),
    language: str = "en",
    **knobs,
) -> Dataset:
    """Fresh scenes: each (split, seed) is a stream of its own, and a smaller n is the start of a larger one.

    Args:
        n: how many scenes. per_class: in place of n, the first so many scenes of each class in the stream.
        factor: what labels tell: "category" (default), "superclass", "colour", "texture", "size" of the single
            object, or "background", "style", "count" of the scene. Scenes have one object unless `spec`, the
            knobs `min_objects`, `max_objects`, `count_probs` or factor="count" say otherwise; scenes with
            several objects have no labels unless the factor is one of the scene. "colour_category" tells colour
            and category together ("red car"), always narrow.
        narrow: name only the classes that the spec can draw (its categories, sizes, styles, numbers of objects,
            and the pairs that are not held out) instead of all that the world has.
        spec: a WorldSpec; `knobs` are fields of it that are changed (or set, without `spec`).
        pixels: side of the images when it differs from the spec's size.
        captions: registers, one caption each, in this order.
    """
    from clipkit import world

    if split not in SIZES_OF_SPLITS:
        raise unknown("split of world", split, SIZES_OF_SPLITS)
    if factor is not None and factor not in FACTORS:
        raise unknown("factor", factor, FACTORS)
    if n is not None and per_class is not None:
        raise ClipkitError(f"world: give n={n} or per_class={per_class}, not both")
    if min(n or 1, per_class or 1) < 1 or n == 0 or per_class == 0:
        raise ClipkitError(f"world: n must be at least 1, not {n if per_class is None else per_class}")
    spec = world_spec(spec, factor, knobs)
    if per_class is None:
        scenes = world.sample_scenes(spec, SIZES_OF_SPLITS[split] if n is None else n, stream(split, seed))
    else:
        scenes = _of_each_class(spec, factor or "category", per_class, stream(split, seed))
    single = bool((np.asarray(scenes.category)[:, 1:] < 0).all())
    if not single and factor is not None and factor not in OF_SCENES:
        raise ClipkitError(f"factor={factor!r} needs scenes of one object; leave out max_objects, or use one of {', '.join(OF_SCENES)}")
    factor = factor or ("category" if single else None)
    labels, names = (None, None) if factor is None else (labels_of(scenes, factor), factor_names(factor))
    if factor is not None and (narrow or factor == "colour_category"):
        present = present_classes(spec, factor)
        place = {label: i for i, label in enumerate(present)}
        labels, names = np.array([place.get(label, -1) for label in labels.tolist()]), [names[label] for label in present]
    told = [world.caption_batch(scenes, register, seed, language) for register in captions]
    return Dataset(
        name="world",
        split=split,
        images=ArrayImages(world.render(scenes, size=pixels).images, [f"scene {i}" for i in range(len(scenes))]),
        labels=labels,
        classnames=names,
        templates=templates(factor),
        captions=[list(row) for row in zip(*told, strict=True)] if told else None,
        scenes=scenes,
    )


def _of_each_class(spec, factor: str, k: int, seed: int):
    """The first k scenes of each class that the spec can draw, in the order of the stream; looks at a bounded part of it.

    Raises ClipkitError when a class is too rare for that.
    """
    from clipkit.world import sample_scenes

    present = present_classes(spec, factor)
    n = 2 * k * len(present) + 64
    for _ in range(LOOKS):
        scenes = sample_scenes(spec, n, seed)
        labels = labels_of(scenes, factor)
        by_class = np.argsort(labels, kind="stable")
        turn = np.empty(n, dtype=np.int64)
        turn[by_class] = np.arange(n) - np.searchsorted(labels[by_class], labels[by_class])
        size = np.bincount(labels, minlength=max(present) + 1)[present]
        if size.min() >= k:
            return scenes[np.flatnonzero(turn < k)]
        n *= 2
    rare = factor_names(factor)[present[int(size.argmin())]]
    raise ClipkitError(
        f"world: only {size.min()} of {n // 2} scenes show {rare!r}, {k} of each class are asked for; ask for fewer, or use n"
    )


def stream(split: str, seed: int) -> int:
    """Seed of the scenes of one split; hashed, so that (train, 1) and (test, 0) share nothing."""
    return int.from_bytes(hashlib.sha256(f"{split}/{seed}".encode()).digest()[:4], "big")


def world_spec(spec, factor: str | None, knobs: dict):
    """The WorldSpec meant by `spec` and changed fields; one object a scene unless something says otherwise."""
    from clipkit.world import WorldSpec

    fields = [f.name for f in dataclasses.fields(WorldSpec)]
    for knob in knobs:
        if knob not in fields:
            raise unknown("option of world", knob, [*fields, "per_class", "factor", "narrow", "spec", "pixels", "captions", "language"])
    if spec is not None:
        return dataclasses.replace(spec, **knobs)
    if factor != "count" and not {"min_objects", "max_objects", "count_probs"} & set(knobs):
        knobs = {"max_objects": 1, **knobs}
    return WorldSpec(**knobs)


def labels_of(scenes, factor: str) -> np.ndarray:
    """(N,) int64 positions in `factor_names(factor)`; factors of objects are those of the first object."""
    from clipkit.world import CATEGORIES, COLOURS, SUPERCLASS_OF, SUPERCLASSES

    if factor == "count":
        return (np.asarray(scenes.category) >= 0).sum(axis=1).astype(np.int64) - 1
    if factor == "colour_category":
        return np.asarray(scenes.category)[:, 0].astype(np.int64) * len(COLOURS) + np.asarray(scenes.colour)[:, 0]
    if factor == "superclass":
        of_category = np.array([list(SUPERCLASSES).index(SUPERCLASS_OF[c]) for c in CATEGORIES])
        return of_category[np.asarray(scenes.category)[:, 0]]
    column = np.asarray(getattr(scenes, factor))
    return (column[:, 0] if column.ndim == 2 else column).astype(np.int64)


def factor_names(factor: str) -> list[str]:
    """All class names of a factor; "colour_category" has a colour and a category, category by category.

    >>> factor_names("colour_category")[:2], len(factor_names("colour_category"))
    (['red cat', 'orange cat'], 480)
    """
    from clipkit.world import CATEGORIES, COLOURS, classnames

    if factor == "colour_category":
        return [f"{colour} {category}" for category in CATEGORIES for colour in COLOURS]
    return list(classnames(factor))


def present_classes(spec, factor: str) -> list[int]:
    """Positions in `factor_names(factor)` of the classes that the spec can draw, ascending."""
    from clipkit.world import CATEGORIES, COLOURS, SIZES, STYLES, SUPERCLASS_OF, SUPERCLASSES

    pairs = spec.allowed_pairs()
    categories = {category for _, category in pairs}
    rules = {
        "category": (CATEGORIES, categories),
        "superclass": (SUPERCLASSES, {SUPERCLASS_OF[category] for category in categories}),
        "colour": (COLOURS, {colour for colour, _ in pairs}),
        "size": (SIZES, set(spec.sizes)),
        "style": (STYLES, set(spec.styles)),
        "colour_category": (factor_names("colour_category"), {" ".join(pair) for pair in pairs}),
    }
    if factor == "count":
        return list(range(max(spec.min_objects, 1) - 1, spec.max_objects))
    if factor not in rules:  # backgrounds and textures: all of them
        return list(range(len(factor_names(factor))))
    every, drawn = rules[factor]
    return [i for i, name in enumerate(every) if name in drawn]


def templates(factor: str | None) -> list[str]:
    """The world's prompt templates for a factor; those of categories serve for "red car" too."""
    from clipkit.world import CLASS_TEMPLATES

    return list(CLASS_TEMPLATES["category" if factor in (None, "colour_category") else factor])
