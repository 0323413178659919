"""Which classes are known and which are not: splits drawn by a seed, because the split decides more than anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clipkit.errors import ClipkitError


class OODSplit(NamedTuple):
    """Names of known classes; unknown ones near to them (same kind of thing); unknown ones of kinds without a known class."""

    known: list[str]
    near: list[str]
    far: list[str]


def class_split(classnames: Sequence[str], n_known: int, seed: int) -> OODSplit:
    """Any list of classes: n_known at random are known, the others near; no class is far, since nothing is known of kinds.

    Raises ClipkitError: n_known not in 1..C − 1.
    """
    if not 1 <= n_known < len(classnames):
        raise ClipkitError(f"of {len(classnames)} classes 1 to {len(classnames) - 1} can be known, got {n_known}")
    order = np.random.default_rng(seed).permutation(len(classnames))
    return OODSplit([classnames[i] for i in sorted(order[:n_known])], [classnames[i] for i in sorted(order[n_known:])], [])


def world_split(seed: int, n_known: int = 20, n_far_kinds: int = 2) -> OODSplit:
    """The world's categories: whole kinds (superclasses) are far; of each other kind some categories are known, the rest near.

    Known categories are spread over the kinds as evenly as they go. Raises ClipkitError: numbers that leave a side empty.
    """
    from clipkit.world import SUPERCLASSES

    kinds = list(SUPERCLASSES)
    rng = np.random.default_rng(seed)
    order = [kinds[i] for i in rng.permutation(len(kinds))]
    if not 1 <= n_far_kinds < len(kinds):
        raise ClipkitError(f"1 to {len(kinds) - 1} kinds can be far, got {n_far_kinds}")
    near_kinds, far_kinds = order[n_far_kinds:], order[:n_far_kinds]
    shuffled = {kind: list(rng.permutation(SUPERCLASSES[kind])) for kind in near_kinds}
    turns = [(place, at) for at, kind in enumerate(near_kinds) for place in range(len(shuffled[kind]))]
    dealt = [shuffled[near_kinds[at]][place] for place, at in sorted(turns)]  # one of each kind, then another of each
    if not len(near_kinds) <= n_known < len(dealt):
        raise ClipkitError(f"with {n_far_kinds} far kinds {len(near_kinds)} to {len(dealt) - 1} categories can be known, got {n_known}")
    every = [category for kind in kinds for category in SUPERCLASSES[kind]]
    known, near = set(dealt[:n_known]), set(dealt[n_known:])
    far = {category for kind in far_kinds for category in SUPERCLASSES[kind]}
    return OODSplit(*([category for category in every if category in side] for side in (known, near, far)))
