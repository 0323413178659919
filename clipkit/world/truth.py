"""More truth than masks and boxes: counts, depth, scenes with objects taken away or hidden, crops and crowds."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.world.rendering import render
from clipkit.world.sample import single_objects
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import CATEGORIES

LATTICE, MOST_GATHERED = 32, 200  # a gathering stands on points of a 32 x 32 lattice
HIDER = (122, 116, 110)  # colour of an occluder


# -- what is there ------------------------------------------------------------------------------
def counts(scenes: Scenes) -> np.ndarray:
    """How many of each category: (N, 48) int64."""
    return (scenes.category[:, :, None] == np.arange(len(CATEGORIES))).sum(axis=1)


def depth_map(scenes: Scenes, instances: np.ndarray) -> np.ndarray:
    """(N, S, S) uint8: 0 for the background, else 1 + the paint rank of the object that is seen (larger is nearer).

    Args:
        instances: the masks of the same scenes (`render(scenes, masks=True).instances`).
    """
    if len(instances) != len(scenes):
        raise ClipkitError(f"{len(scenes)} scenes and {len(instances)} masks do not belong together")
    order = np.where(scenes.category >= 0, scenes.depth, 32767).argsort(axis=1, kind="stable")
    rank = 1 + order.argsort(axis=1, kind="stable")
    table = np.concatenate([np.zeros((len(scenes), 1), np.int64), rank], axis=1).astype(np.uint8)
    return table[np.arange(len(scenes))[:, None, None], instances]


def without(scenes: Scenes, slots: int | np.ndarray | None = None) -> Scenes:
    """The same scenes with objects taken away: all (None), one slot, or those where `slots` (N, K) bool is True."""
    if slots is None:
        gone = np.ones(scenes.category.shape, bool)
    elif np.ndim(slots) == 0:
        gone = np.arange(scenes.category.shape[1]) == slots
    else:
        gone = np.asarray(slots, bool)
    return scenes.replace(category=np.where(gone, -1, scenes.category))


# -- hidden and cropped ---------------------------------------------------------------------------
class Occluded(NamedTuple):
    """Pictures (N, S, S, 3) uint8 with one object partly covered.

    visible, hidden (N, S, S) bool: the parts of the object that can and cannot be seen, as rendered before covering;
    share (N,) float64: hidden part of it. Scenes whose slot is empty have share NaN and are left as they are.
    """

    images: np.ndarray
    visible: np.ndarray
    hidden: np.ndarray
    share: np.ndarray


def occlude(scenes: Scenes, share: float = 0.5, slot: int = 0, size: int | None = None, seed: int = 0) -> Occluded:
    """Cover an object with a plain board from one side until at least `share` of its pixels are hidden. For `holistic_robustness`.

    The side (left, right, top, bottom) depends on the scene's own seed and `seed`.

    Raises: ClipkitError for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ClipkitError(f"share is a part of the object, 0 to 1, got {share}")
    drawn = render(scenes, size, masks=True)
    images, target = drawn.images, drawn.instances == slot + 1
    hidden = np.zeros_like(target)
    for i, mask in enumerate(target):
        if not mask.any() or share == 0:
            continue
        side = int(scene_stream(scenes, i, seed, "occlude").integers(4))
        turned = np.rot90(mask, side)  # cover from the left of the turned mask
        covered = np.cumsum(turned.sum(axis=0))
        edge = int(np.searchsorted(covered, share * covered[-1])) + 1
        rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
        board = np.zeros_like(turned)
        board[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : edge] = True
        board = np.rot90(board, -side)
        images[i][board] = HIDER
        hidden[i] = mask & board
    with np.errstate(invalid="ignore"):
        parts = hidden.sum(axis=(1, 2)) / target.sum(axis=(1, 2))
    return Occluded(images, target & ~hidden, hidden, parts)


# -- crowds -------------------------------------------------------------------------------------
def gatherings(spec: WorldSpec, n: int, seed: int, count: tuple[int, int] = (0, 80), bunching: float = 1.2) -> Scenes:
    """Crowds that bunch up, of objects 5 to 9 pixels long at 128 px, to be rendered at that size. For `clip_ebc`.

    A log-Gaussian Cox process: the logarithm of how thickly a place is settled is a sum of a dozen random waves, with standard
    deviation `bunching` (0: evenly). Every object has a point of its own on a lattice of four pixels, so no two centres fall
    together, though objects overlap. All numbers from the least to the most are equally frequent, and a scene has as many slots as the
    most. Objects are drawn from `spec` one by one (its biases and held-out pairs hold), backgrounds and styles from the first; with
    `spec.same_category` all of a crowd look alike.

    Raises: ClipkitError when `count` is not 0 <= least <= most <= 200, most at least 1, or `bunching` is negative.
    """
    least, most = count
    if not 0 <= least <= most <= MOST_GATHERED or most < 1 or bunching < 0:
        raise ClipkitError(f"a gathering has 0 to {MOST_GATHERED} objects, least first, and bunches by 0 or more; got {count}, {bunching}")
    out = _many(spec, n, most, seed)
    place = (np.stack(np.divmod(np.arange(LATTICE**2), LATTICE), axis=1) + 0.5) / LATTICE  # (1024, 2)
    for i in range(n):
        rng = scene_stream(out, i, seed, "gathering")
        number = least + int(rng.random() * (most - least + 1))
        alike = rng.random() < spec.same_category
        waves, phase = rng.normal(0, 1.2, (12, 2)), rng.random(12)
        height = np.cos(2 * np.pi * (place @ waves.T + phase)).sum(axis=1) * bunching / np.sqrt(6)
        # The smallest of exponential times with these rates: a draw without replacement.
        points = np.argsort(-np.log1p(-rng.random(LATTICE**2)) * np.exp(-height), kind="stable")[:most]
        out.scale[i] = np.floor((5 + 4 * rng.random(most)) * 2) / 256
        for name, column in (("x", points % LATTICE), ("y", points // LATTICE)):
            getattr(out, name)[i] = np.floor((column + rng.random(most)) / LATTICE * 1024) / 1024
        _settle(out, i, number, alike)
    return out


def _many(spec: WorldSpec, n: int, most: int, seed: int) -> Scenes:
    """n scenes with `most` slots, the objects drawn one by one; where they stand is not settled yet."""
    one = single_objects(dataclasses.replace(spec, same_category=0.0), n * most, seed)
    first = one[::most]
    out = dict.fromkeys(f.name for f in dataclasses.fields(Scenes))
    for name in out:
        column = getattr(one, name)
        out[name] = column[:, 0].reshape(n, most).copy() if column.ndim == 2 else getattr(first, name)
    return Scenes(**out)


def _settle(out: Scenes, i: int, number: int, alike: bool) -> None:
    """Scene i has its first `number` objects, all small, painted in the order of their slots, perhaps all of one kind."""
    for name in ("category", "colour", "texture") if alike else ():
        getattr(out, name)[i] = getattr(out, name)[i, 0]
    out.depth[i] = np.arange(out.depth.shape[1])
    out.size[i] = 0
    out.category[i, number:] = -1


def scene_stream(scenes: Scenes, i: int, seed: int, purpose: str) -> np.random.Generator:
    """A generator that depends on scene i itself, on a seed and on what it is for; not on the place in the batch."""
    words = [seed, int.from_bytes(purpose.encode(), "big"), int(scenes.seed[i])]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
