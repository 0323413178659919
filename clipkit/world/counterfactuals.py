"""Typical and untypical: where a category is at home, what colour it usually has, and scenes turned one way or the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.world.sample import HOME_OF, TYPICAL_OF, single_objects
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS


def balanced(n: int, seed: int, spec: WorldSpec | None = None) -> Scenes:
    """n scenes of one object in which every category of `spec` occurs equally often (to within one), in turn.

    All else is drawn as `spec` says (default: uniform). A biased background or colour would follow the category that
    was drawn first and is then exchanged, and held-out pairs could come back, so such specs are refused.

    Raises: ClipkitError for a spec with a bias of background or colour, or with held-out pairs.
    """
    spec = replace(spec or WorldSpec(), min_objects=1, max_objects=1, count_probs=None)
    if spec.background_bias or spec.colour_bias or spec.held_out:
        raise ClipkitError("balanced scenes need a spec without background_bias, colour_bias and held_out; turn the scenes afterwards")
    categories = np.array([CATEGORIES.index(c) for c in spec.categories])
    return single_objects(spec, n, seed).replace(category=categories[np.arange(n) % len(categories)])


def at_home(scenes: Scenes) -> Scenes:
    """The same scenes before the home background of their first object."""
    return scenes.replace(background=HOME_OF[_first(scenes)])


def elsewhere(scenes: Scenes, seed: int) -> Scenes:
    """The same scenes before one of the seven other backgrounds, drawn by lot."""
    away = np.random.default_rng(seed).integers(1, len(BACKGROUNDS), len(scenes))
    return scenes.replace(background=(HOME_OF[_first(scenes)] + away) % len(BACKGROUNDS))


def in_typical_colour(scenes: Scenes) -> Scenes:
    """The same scenes, every object in the typical colour of its category."""
    return scenes.replace(colour=TYPICAL_OF[scenes.category])


def in_other_colour(scenes: Scenes, seed: int) -> Scenes:
    """The same scenes, every object in one of the nine other colours, drawn by lot."""
    away = np.random.default_rng(seed).integers(1, len(COLOURS), scenes.colour.shape)
    return scenes.replace(colour=(TYPICAL_OF[scenes.category] + away) % len(COLOURS))


def _first(scenes: Scenes) -> np.ndarray:
    """(N,) category of the first object. Raises: ClipkitError when a scene has none."""
    category = scenes.category[:, 0]
    if (category < 0).any():
        raise ClipkitError("a scene without a first object has no home; leave such scenes out")
    return category
