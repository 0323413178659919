"""Which colour belongs to which object? A caption against the same words in another order, and against a wrong word."""

from __future__ import annotations

import numpy as np

from clipkit.pretrain.probes import two_way


def colour_binding(model, n: int, seed: int) -> dict[str, float]:
    """Two plain objects of different category and colour: percent of scenes whose true caption scores above a false one.

    "word_order": "a red cat and a blue car" against "a blue cat and a red car"; the same words, so that a bag of words
    gets 50. "wrong_colour": against "a green cat and a blue car", with a colour that neither object has; a bag of words can
    tell. Both on the same scenes: those among `n` in which categories and colours differ.

    Source: the attribution test of arXiv:2210.01936 (ARO), here on drawn scenes; "wrong_colour" is a control of ours.
    "word_order" equals that of `clipkit.pretrain.probes.relations_and_order` at the same n and seed.
    """
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

    return {
        "word_order": two_way(model, say(p, q), say(q, p), scenes[keep]),
        "wrong_colour": two_way(model, say(p, q), say(third, q), scenes[keep]),
    }
