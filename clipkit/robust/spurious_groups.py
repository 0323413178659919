"""Does a model lean on the background? Groups of pictures chosen by a model's failures, and its drop from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from clipkit import checks
from clipkit.errors import ClipkitError

COMMON, COUNTER, NEITHER = 0, 1, -1


class GroupDrop(NamedTuple):
    """Percent right, mean over the C classes that have both groups; drop = common − counter with its 95 % interval; per_class (C, 2)."""

    common: float
    counter: float
    drop: float
    low: float
    high: float
    per_class: np.ndarray


def accuracy_by_place(correct, labels, places) -> tuple[np.ndarray, np.ndarray]:
    """Percent right (C, P) of class c before background p, NaN where there is no picture, and the number of pictures (C, P).

    >>> accuracy_by_place([1, 0, 1], [0, 0, 1], [0, 0, 1])[0].tolist()
    [[50.0, nan], [nan, 100.0]]

    correct (N,) bool, labels and places (N,) integers from 0. Raises: ClipkitError for shapes or numbers that do not fit.
    """
    correct, labels, places = _rows(correct, labels, places)
    shape = labels.max() + 1, places.max() + 1
    hits, counts = np.zeros(shape), np.zeros(shape, int)
    np.add.at(hits, (labels, places), correct)
    np.add.at(counts, (labels, places), 1)
    return np.divide(100 * hits, counts, out=np.full(shape, np.nan), where=counts > 0), counts


def discover_spurious_groups(
    correct, labels, places, min_gap: float = 5.0, min_n: int = 20, split=None
) -> dict[int, tuple[int, int | None]]:
    """For each class the background on which a reference model is most accurate ("common") and least accurate ("counter").

    Args:
        correct: (N,) bool, of the reference model. labels, places: (N,) integers. min_n: fewest pictures of a cell that may be chosen.
        min_gap: points of accuracy between the two above which a class is kept.
        split: (N,) bool, the pictures that may choose; None for all. Measure on the others: the same ones contain the luck of choosing.

    Returns: class -> (common, counter). Raises: ClipkitError for shapes that do not fit.
    Source: arXiv:2403.11497, section 3; the paper has no `split`, and a threshold of 5 points.
    """
    correct, labels, places = _rows(correct, labels, places)
    chosen = np.ones(len(correct), bool) if split is None else np.asarray(split, dtype=bool)
    if chosen.shape != correct.shape or not chosen.any():
        raise ClipkitError("`split` says of each picture whether it may choose groups: (N,) bool, at least one True")
    accuracy, counts = accuracy_by_place(correct[chosen], labels[chosen], places[chosen])
    found: dict[int, tuple[int, int | None]] = {}
    for c, (row, n) in enumerate(zip(accuracy, counts, strict=True)):
        cells = np.flatnonzero(n >= max(min_n, 1))
        if len(cells) > 1 and np.ptp(row[cells]) > min_gap:
            found[c] = int(cells[row[cells].argmax()]), int(cells[row[cells].argmin()])
    return found


def in_groups(labels, places, groups: Mapping[int, tuple[int, int | None]]) -> np.ndarray:
    """(N,) int8: COMMON 0, COUNTER 1, or NEITHER −1. A counter background of None stands for all but the common one.

    >>> in_groups([0, 0, 0, 1], [0, 1, 2, 0], {0: (1, 2), 1: (1, None)}).tolist()
    [-1, 0, 1, 1]
    """
    labels, places = np.asarray(labels), np.asarray(places)
    found = np.full(labels.shape, NEITHER, np.int8)
    for c, (common, counter) in groups.items():
        found[(labels == c) & ((places != common) if counter is None else (places == counter))] = COUNTER
        found[(labels == c) & (places == common)] = COMMON
    return found


def group_drop(correct, labels, group, draws: int = 1000, seed: int = 0) -> GroupDrop:
    """Accuracy in the common and in the counter group, each a mean over classes, and the drop between them.

    A class counts when it has pictures in both groups. The bootstrap draws classes, and a class keeps its two numbers together.
    Args: correct (N,) bool; labels (N,); group (N,) of `in_groups`. Raises: ClipkitError when no class has both groups.
    Source: arXiv:2403.11497, section 4: class-wise accuracy, averaged over classes and not over pictures.
    """
    correct, labels, group = _rows(correct, labels, np.asarray(group) - NEITHER)
    table = accuracy_by_place(correct, labels, group)[0]  # columns: neither, common, counter
    both = table[np.isfinite(table[:, 1:3]).all(1), 1:3] if table.shape[1] == 3 else []
    if not len(both):
        raise ClipkitError("no class has pictures in both groups; take more pictures, or a smaller min_n or min_gap")
    gaps = both[:, 0] - both[:, 1]
    low, high = np.percentile(np.random.default_rng(seed).choice(gaps, (draws, len(gaps))).mean(1), [2.5, 97.5])
    return GroupDrop(float(both[:, 0].mean()), float(both[:, 1].mean()), float(gaps.mean()), float(low), float(high), both)


def _rows(correct, labels, places) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    correct, n = np.asarray(correct), len(labels)
    checks.at_least(1, pictures=n)
    if correct.shape != (n,):
        raise ClipkitError(f"one answer a picture is needed, right or wrong: {correct.shape} for {n} labels")
    return correct.astype(bool), checks.labels(labels, n).numpy(), checks.labels(places, n, what="places").numpy()
