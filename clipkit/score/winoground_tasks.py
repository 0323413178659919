"""Two pictures, two texts of the same words: which goes with which?

`winoground` counts; `quadruples` draws such tasks from the world, from (colour, category) pairs the answerer never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown

KINDS = ("colours", "sides", "counts", "roles")


class Winoground(NamedTuple):
    """Right or wrong for each of N tasks, bool (N,): `text` (both pictures get their text), `image` (both texts their picture), `group`."""

    text: np.ndarray
    image: np.ndarray
    group: np.ndarray

    def percent(self, rows: np.ndarray | None = None) -> dict[str, float]:
        """Percent right of all tasks, or of the rows (N,) bool."""
        return {n: 100 * float(v[rows].mean() if rows is not None else v.mean()) for n, v in self._asdict().items()}


def winoground(scores: Tensor | np.ndarray) -> Winoground:
    """Scores (N, 2, 2), picture i with text j, to what is right. A tie is wrong. Chance: 25, 25 and 16.7 %.

    text: s00 > s01 and s11 > s10; image: s00 > s10 and s11 > s01; group: both.

    Raises: ClipkitError for another shape, or NaN.
    Source: arXiv:2204.03162, eq. 1–3.

    >>> winoground(np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.8], [0.5, 0.6]]])).percent()
    {'text': 100.0, 'image': 50.0, 'group': 50.0}
    """
    s = np.asarray(scores.detach().cpu() if isinstance(scores, Tensor) else scores, dtype=np.float64)
    if s.ndim != 3 or s.shape[1:] != (2, 2):
        raise ClipkitError(f"scores are (N, 2, 2), picture by text, got {s.shape}")
    if np.isnan(s).any():
        raise ClipkitError("the scores hold NaN; a pair that could not be scored must be counted, not passed on")
    text = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    image = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    return Winoground(text, image, text & image)


@dataclass
class Quadruples:
    """N tasks. images uint8 (2N, S, S, 3), the two of a task one after the other; texts (2N) likewise; kind (N,) of KINDS."""

    images: np.ndarray
    texts: list[str]
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def scores(self, scorer, seen=None) -> Tensor:
        """(N, 2, 2) by a Scorer, four pairs a task. `seen`: of scorer.see(images), if it is there already."""
        seen = scorer.see(self.images) if seen is None else seen
        n = len(self)
        image = np.repeat(np.arange(2 * n), 2)  # 0 0 1 1 2 2 3 3 …
        text = (np.arange(4 * n) % 2) + 2 * (np.arange(4 * n) // 4)  # 0 1 0 1 2 3 2 3 …
        chosen = [seen[i] for i in image] if isinstance(seen, list) else seen[torch.from_numpy(image)]
        return scorer.pairs(chosen, [self.texts[i] for i in text]).view(n, 2, 2)


def quadruples(
    n: int, seed: int, held_out: bool = True, kinds: Sequence[str] = KINDS, size: int = 32, categories: Sequence[str] | None = None
) -> Quadruples:
    """n tasks of each kind from the world; the two pictures differ in the named respect only.

    "colours": a red cat and a blue dog, against a blue cat and a red dog. "counts": two of the one and one of the other, exchanged.
    "sides": the left and the right one, told by "left" against "right". "roles": any relation, told by exchanging the two things
    in the sentence. Colours are always said.

    Args:
        held_out: all (colour, category) pairs are from HELD_OUT_PAIRS, which no lesson shows; False: none is.
        categories: which occur (all by default).

    Raises: ClipkitError for an unknown kind.
    """
    from clipkit.world import render
    from clipkit.world.scene import Scenes

    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of task", kind, KINDS)
    first, second, texts = [], [], []
    for kind in kinds:
        a, b, said = _tasks(kind, n, np.random.default_rng([seed, KINDS.index(kind), int(held_out)]), held_out, categories)
        first.append(a)
        second.append(b)
        texts += said
    images = [render(Scenes.concatenate(part), size).images for part in (first, second)]
    both = np.stack(images, axis=1).reshape(-1, *images[0].shape[1:])
    return Quadruples(both, texts, np.repeat(np.array(kinds), n))


def _tasks(kind: str, n: int, rng: np.random.Generator, held_out: bool, categories: Sequence[str] | None):
    """Scenes of the first and second pictures (n each), and 2n texts."""
    from clipkit.world.sample import sample_scenes
    from clipkit.world.spec import WorldSpec
    from clipkit.world.taxonomy import CATEGORIES, COLOURS
    from clipkit.world.words import RELATION_WORDS, noun_phrase

    things = 3 if kind == "counts" else 2
    scenes = sample_scenes(WorldSpec(min_objects=things, max_objects=things), 6 * n, int(rng.integers(2**31)))
    dx, dy = scenes.x[:, 1] - scenes.x[:, 0], scenes.y[:, 1] - scenes.y[:, 0]
    level = np.abs(dx) >= np.abs(dy)
    clear = np.maximum(np.abs(dx), np.abs(dy)) > 0.2
    fits = {"sides": clear & level, "roles": clear}.get(kind, np.ones(len(scenes), bool))
    rows = np.flatnonzero(fits)[:n]
    if len(rows) < n:
        raise ClipkitError(f"only {len(rows)} of {n} scenes fit a task of kind {kind}; ask for fewer")
    scenes, dx, dy, level = scenes[rows], dx[rows], dy[rows], level[rows]
    pairs = [_two_things(rng, held_out, categories) for _ in range(n)]
    one, two = (np.array([[p[i][k] for p in pairs] for k in (0, 1)]) for i in (0, 1))  # (2, n): category, colour
    slots = np.array([[0, 0, 1], [0, 1, 1]] if kind == "counts" else [[0, 1], [1, 0]])  # which thing stands in which slot
    a, b = (_filled(scenes, one, two, slots[0]), _filled(scenes, one, two, slots[1 if kind == "counts" else 0]))
    if kind == "colours":
        b.colour[:, :2] = a.colour[:, [1, 0]]
    elif kind in ("sides", "roles"):
        b.x = np.where(level[:, None], 1 - b.x, b.x).astype(np.float32)
        b.y = np.where(level[:, None], b.y, 1 - b.y).astype(np.float32)
    texts = []
    names, colours = CATEGORIES, tuple(COLOURS)
    for i in range(n):
        (c0, h0), (c1, h1) = ((names[x[0, i]], colours[x[1, i]]) for x in (one, two))
        p, q = noun_phrase(1, c0, h0), noun_phrase(1, c1, h1)
        if kind == "colours":
            texts += [f"{p} and {q}", f"{noun_phrase(1, c0, h1)} and {noun_phrase(1, c1, h0)}"]
        elif kind == "counts":
            texts += [f"{noun_phrase(2, c0, h0)} and {q}", f"{p} and {noun_phrase(2, c1, h1)}"]
        else:
            words = [RELATION_WORDS[r] for r in (("left of", "right of") if level[i] else ("above", "below"))]
            word, other = words if (dx[i] if level[i] else dy[i]) > 0 else words[::-1]
            texts += [f"{p} {word} {q}", f"{p} {other} {q}" if kind == "sides" else f"{q} {word} {p}"]
    return a, b, texts


def _two_things(rng: np.random.Generator, held_out: bool, categories: Sequence[str] | None = None) -> list[tuple[int, int]]:
    """Two (category, colour) of different category and colour; with the colours exchanged they are as (un)known as before."""
    from clipkit.world.taxonomy import CATEGORIES, COLOURS, HELD_OUT_PAIRS

    held = set(HELD_OUT_PAIRS)
    colours = list(COLOURS)
    known_kinds = [CATEGORIES.index(c) for c in categories or CATEGORIES]
    while True:
        a, b = rng.choice(known_kinds, 2, replace=False)
        i, j = rng.choice(len(colours), 2, replace=False)
        known = [(colours[c], CATEGORIES[k]) in held for c in (i, j) for k in (a, b)]
        if all(k == held_out for k in known):
            return [(int(a), int(i)), (int(b), int(j))]


def _filled(scenes, one: np.ndarray, two: np.ndarray, slots: np.ndarray):
    """The scenes with thing one (0) or two (1) in each slot; (2, n) arrays of category and colour."""
    category, colour = scenes.category.copy(), scenes.colour.copy()
    for slot, which in enumerate(slots):
        thing = (one, two)[which]
        category[:, slot], colour[:, slot] = thing
    return scenes.replace(category=category, colour=colour)
