"""The scenes that the shipped question answerers learnt from, and the ways in which they were asked (`clipkit.pretrain.recipes`)."""

from __future__ import annotations

import numpy as np

from clipkit.world.question_answers import figure_question
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import HELD_OUT_PAIRS

LESSON_WORLD = {
    "min_objects": 1, "max_objects": 4, "count_probs": (0.25, 0.4, 0.2, 0.15), "same_category": 0.08, "held_out": HELD_OUT_PAIRS,
}  # fmt: skip
# Ways to ask whether a text is true of the picture. The last three are never asked in a lesson.
WORDINGS: tuple[str, ...] = (
    figure_question("{}"),
    'does the picture match "{}"?',
    'is "{}" true of this picture?',
    'does this picture show "{}"?',
    'please answer yes or no. does the figure match "{}"?',
    '"{}": is it true of this figure?',
)
ASKED = 3  # so many of WORDINGS occur in the lessons


def lesson_scenes(n: int, seed: int, held_out: bool = False, **world) -> Scenes:
    """n scenes of LESSON_WORLD, in a third of them the second thing like the first, so that numbers vary within a scene.

    held_out: only pairs of HELD_OUT_PAIRS, which the lessons never show. `world`: changes to the WorldSpec.
    """
    scenes = sample_scenes(WorldSpec(**{**LESSON_WORLD, "only_held_out": held_out, **world}), n, seed)
    twins = (np.random.default_rng([seed, 77]).random(n) < 0.33) & (scenes.count >= 2)
    changed = {name: getattr(scenes, name).copy() for name in ("category", "colour", "texture")}
    for values in changed.values():
        values[twins, 1] = values[twins, 0]
    return scenes.replace(**changed)
