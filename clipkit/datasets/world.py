"""`world`: pictures from `clipkit.world`, labelled by the factor that a page asks about."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.images import ArrayImages
from clipkit.errors import ClipkitError, unknown

SIZES_OF_SPLITS = {"train": 4096, "val": 512, "test": 1024}  # images when n is not given
FACTORS = ("category", "superclass", "colour", "background", "texture", "size", "style", "count")
OF_SCENES = ("background", "style", "count")  # factors that a scene with several objects has too


def load(
    tail: str,
    split: str,
    root: object,
    seed: int,
    *,
    n: int | None = None,
    factor: str | None = None,
    spec=None,
    pixels: int | None = None,
    captions: tuple[str, ...] = ("short", "detailed"),
    language: str = "en",
    **knobs,
) -> Dataset:
    """Fresh scenes: each (split, seed) is a stream of its own, and a smaller n is the start of a larger one.

    Args:
        factor: what labels tell: "category" (default), "superclass", "colour", "texture", "size" of the single
            object, or "background", "style", "count" of the scene. Scenes have one object unless `spec`, the
            knobs `min_objects`, `max_objects`, `count_probs` or factor="count" say otherwise; scenes with
            several objects have no labels unless the factor is one of the scene.
        spec: a WorldSpec; `knobs` are fields of it that are changed (or set, without `spec`).
        pixels: side of the images when it differs from the spec's size.
        captions: registers, one caption each, in this order.
    """
    from clipkit import world

    if split not in SIZES_OF_SPLITS:
        raise unknown("split of world", split, SIZES_OF_SPLITS)
    if factor is not None and factor not in FACTORS:
        raise unknown("factor", factor, FACTORS)
    n = SIZES_OF_SPLITS[split] if n is None else n
    if n < 1:
        raise ClipkitError(f"world: n must be at least 1, not {n}")
    spec = world_spec(spec, factor, knobs)
    scenes = world.sample_scenes(spec, n, stream(split, seed))
    single = bool((np.asarray(scenes.category)[:, 1:] < 0).all())
    if not single and factor is not None and factor not in OF_SCENES:
        raise ClipkitError(f"factor={factor!r} needs scenes of one object; leave out max_objects, or use one of {', '.join(OF_SCENES)}")
    factor = factor or ("category" if single else None)
    classnames = None if factor is None else list(world.classnames(factor))
    return Dataset(
        name="world",
        split=split,
        images=ArrayImages(world.render(scenes, size=pixels).images, [f"scene {i}" for i in range(n)]),
        labels=None if factor is None else labels_of(scenes, factor),
        classnames=classnames,
        templates=templates(factor),
        captions=[list(row) for row in zip(*(world.caption_batch(scenes, r, seed, language) for r in captions), strict=True)],
        scenes=scenes,
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
            raise unknown("option of world", knob, [*fields, "factor", "spec", "pixels", "captions", "language"])
    if spec is not None:
        return dataclasses.replace(spec, **knobs)
    if factor != "count" and not {"min_objects", "max_objects", "count_probs"} & set(knobs):
        knobs = {"max_objects": 1, **knobs}
    return WorldSpec(**knobs)


def labels_of(scenes, factor: str) -> np.ndarray:
    """(N,) int64 positions in `world.classnames(factor)`; factors of objects are those of the first object."""
    from clipkit.world import CATEGORIES, SUPERCLASS_OF, SUPERCLASSES

    if factor == "count":
        return (np.asarray(scenes.category) >= 0).sum(axis=1).astype(np.int64) - 1
    if factor == "superclass":
        of_category = np.array([list(SUPERCLASSES).index(SUPERCLASS_OF[c]) for c in CATEGORIES])
        return of_category[np.asarray(scenes.category)[:, 0]]
    column = np.asarray(getattr(scenes, factor))
    return (column[:, 0] if column.ndim == 2 else column).astype(np.int64)


def templates(factor: str | None) -> list[str]:
    """The world's prompt templates for a factor."""
    from clipkit.world import CLASS_TEMPLATES

    return list(CLASS_TEMPLATES[factor or "category"])
