"""The world: pictures, captions and masks whose every cause is known.

    spec = WorldSpec(max_objects=2)
    scenes = sample_scenes(spec, 100, seed=0)
    pictures = render(scenes, size=64, masks=True)
    captions = caption_batch(scenes, "detailed")
"""

from __future__ import annotations

from clipkit.world.captions import CLASS_TEMPLATES, LANGUAGES, REGISTERS, caption, caption_batch, classnames
from clipkit.world.render import Rendered, render
from clipkit.world.sample import category_probabilities, sample_scenes, single_objects
from clipkit.world.scene import Object, Scene, Scenes, relations
from clipkit.world.spec import WorldSpec
from clipkit.world.sprites import part_names
from clipkit.world.styles import apply_style
from clipkit.world.taxonomy import (
    BACKGROUNDS,
    CATEGORIES,
    COLOURS,
    HYPERNYMS,
    SIZES,
    STUFF,
    STYLES,
    SUPERCLASS_OF,
    SUPERCLASSES,
    TEXTURES,
)

__all__ = [
    "BACKGROUNDS",
    "CATEGORIES",
    "CLASS_TEMPLATES",
    "COLOURS",
    "HYPERNYMS",
    "LANGUAGES",
    "REGISTERS",
    "SIZES",
    "STUFF",
    "STYLES",
    "SUPERCLASSES",
    "SUPERCLASS_OF",
    "TEXTURES",
    "Object",
    "Rendered",
    "Scene",
    "Scenes",
    "WorldSpec",
    "apply_style",
    "caption",
    "caption_batch",
    "category_probabilities",
    "classnames",
    "part_names",
    "relations",
    "render",
    "sample_scenes",
    "single_objects",
]
