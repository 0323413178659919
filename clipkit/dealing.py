"""Pictures of a data set that cannot make new ones, dealt out among the seeds of a run like cards.

Seeds that share pictures are no independent repeats: the spread over them is too small, and an interval made from it covers
the truth far less often than it says. Dealt pictures are independent, so that Student's interval over the seeds is right.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_seeds: list[int] = []  # of the run at hand


def deal_among(seeds: Iterable[int]) -> None:
    """Name the seeds of the run: from now on no two of them are dealt the same picture. `lab.start` calls this."""
    _seeds[:] = seeds


def hand_of(seed: int) -> tuple[int, int]:
    """(which hand a seed gets, how many hands there are); (0, 1), everything, for a seed that is not of the run."""
    return (_seeds.index(seed), len(_seeds)) if seed in _seeds else (0, 1)


def dealt(labels: np.ndarray | int, seed: int) -> np.ndarray:
    """Positions of the seed's pictures, ascending int64: with labels (N,) as many of each class for every seed, give or take one.

    Without labels `labels` is the number of pictures. The hands together are all pictures.

    >>> deal_among([7, 8])
    >>> sorted([*dealt(5, 7), *dealt(5, 8)]), dealt(5, 99).tolist()
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    >>> deal_among([])
    """
    labels = np.zeros(labels, dtype=np.int64) if np.ndim(labels) == 0 else np.asarray(labels)
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    hand, hands = hand_of(seed)
    return np.sort(by_class[hand::hands])
