"""Which colour belongs to which object? A caption against the same words in another order, and against a wrong word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor


def scene_features(model, scenes) -> Tensor:
    """Unit-norm features (N, D) of scenes drawn at the model's own size."""
    from clipkit.world import render

    return model.image_features(render(scenes, size=model.image_size).images)


def two_way(model, true: Sequence[str], false: Sequence[str], scenes) -> float:
    """Percent of scenes whose true caption scores above the false one (chance: 50; a tie counts as half)."""
    image = scene_features(model, scenes)
    right, wrong = ((image * model.text_features(texts)).sum(1) for texts in (true, false))
    return 100 * ((right > wrong).double() + 0.5 * (right == wrong).double()).mean().item()


def colour_binding(model, n: int, seed: int) -> dict[str, float]:
    """Two plain objects of different category and colour: percent of scenes whose true caption scores above a false one.

    "word_order": "a red cat and a blue car" against "a blue cat and a red car"; the same words, so that a bag of words
    gets 50. "wrong_colour": against "a green cat and a blue car", with a colour that neither object has; a bag of words can
    tell. Both on the same scenes: those among `n` in which categories and colours differ.

    Source: the attribution test of arXiv:2210.01936 (ARO), here on drawn scenes; "wrong_colour" is a control of ours.
    """
    scenes, true, exchanged, wrong = _captions(n, seed)
    return {"word_order": two_way(model, true, exchanged, scenes), "wrong_colour": two_way(model, true, wrong, scenes)}


def word_order(model, n: int, seed: int) -> float:
    """The first of `colour_binding` alone."""
    scenes, true, exchanged, _ = _captions(n, seed)
    return two_way(model, true, exchanged, scenes)


def _captions(n: int, seed: int):
    """Scenes, and for each its caption, the one with colours exchanged, and the one with a colour that is not there."""
    from clipkit.world import CATEGORIES, COLOURS, WorldSpec, fill, sample_scenes

    scenes = sample_scenes(WorldSpec(min_objects=2, max_objects=2, textured=0.0), n, seed)
    (a, b), (p, q) = scenes.category[:, :2].T, scenes.colour[:, :2].T
    keep = (a != b) & (p != q)
    a, b, p, q = a[keep], b[keep], p[keep], q[keep]
    names = tuple(COLOURS)
    third = np.where((p + 1) % len(names) == q, p + 2, p + 1) % len(names)

    def say(first: np.ndarray, second: np.ndarray) -> list[str]:
        phrases = [[fill("a {}", f"{names[c]} {CATEGORIES[k]}") for c, k in zip(*x, strict=True)] for x in ((first, a), (second, b))]
        return [f"{one} and {two}" for one, two in zip(*phrases, strict=True)]

    return scenes[keep], say(p, q), say(q, p), say(third, q)
