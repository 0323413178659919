"""How well a metric agrees with a truth: correlations, pairwise accuracy with ties, within groups, with intervals by group.

A *group* is what shares a prompt, a scene or a document. Pooled over groups a metric may look good because it knows which
prompt is easy; within groups it has to order the answers to one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.metrics import kendall

HOW = ("pearson", "spearman", "kendall")
TIES = ("calibrate", "strict", "ignore")


class PairwiseAccuracy(NamedTuple):
    """Share of pairs ordered as the truth orders them, the difference `eps` below which the metric calls a tie, pairs counted."""

    accuracy: float
    eps: float
    pairs: int


class GroupCorrelations(NamedTuple):
    """One number a group (NaN where it is undefined), the groups' labels, and how many groups are undefined."""

    values: np.ndarray
    groups: np.ndarray
    dropped: int

    @property
    def mean(self) -> float:
        """Mean over the groups that have a number; NaN if none has."""
        kept = self.values[~np.isnan(self.values)]
        return float(kept.mean()) if len(kept) else float("nan")


def group_correlations(
    truth: Sequence[float], metric: Sequence[float], group: Sequence | None = None, how: str = "spearman"
) -> GroupCorrelations:
    """Correlation of metric and truth inside each group.

    Args:
        truth, metric: (N,) numbers. group: (N,) labels; None: one group of all.
        how: "spearman" (ties get their mean rank), "pearson" or "kendall" (τ_b).

    Returns: GroupCorrelations; groups where truth or metric is constant, or of one item, have NaN and are counted in `dropped`.
    Raises: ClipkitError for NaN, lengths that differ, an unknown `how`.

    >>> group_correlations([1, 2, 3, 1, 2, 3], [1, 2, 3, 3, 2, 1], [0, 0, 0, 1, 1, 1]).values.tolist()
    [1.0, -1.0]
    """
    checks.one_of("correlation", how, HOW)
    truth, metric = checks.paired(truth, metric)
    names, index = _groups(group, len(truth))
    if how == "kendall":
        rows = _rows(index, len(names))
        values = np.array([kendall(truth[r], metric[r]) for r in rows])
    else:
        if how == "spearman":
            truth, metric = (pd.Series(v).groupby(index).rank().to_numpy() for v in (truth, metric))
        count = np.bincount(index)
        x, y = (v - (np.bincount(index, v) / count)[index] for v in (truth, metric))
        xx, yy, xy = (np.bincount(index, v) for v in (x * x, y * y, x * y))
        flat = (xx <= 1e-18 * np.bincount(index, truth**2)) | (yy <= 1e-18 * np.bincount(index, metric**2)) | (count < 2)
        values = np.where(flat, np.nan, xy / np.sqrt(np.where(flat, 1.0, xx * yy)).clip(1e-300))
    return GroupCorrelations(values.clip(-1, 1), names, int(np.isnan(values).sum()))


def pairwise_accuracy(
    truth: Sequence[float], metric: Sequence[float], ties: str = "calibrate", group: Sequence | None = None, eps: float | None = None
) -> PairwiseAccuracy:
    """Share of pairs on which metric and truth agree: the same order, or a tie for both.

    The metric calls a pair a tie where its two scores differ by at most ε.

    Args:
        ties: "calibrate": the ε with the highest accuracy *on these data* (optimistic: fit ε on others and pass `eps`);
            "strict": ε = 0; "ignore": pairs that either side ties are left out.
        group: (N,) labels: only pairs inside a group count, and each group weighs the same; ε is one for all. None: all pairs.
        eps: a given ε, in place of `ties`.

    Returns: PairwiseAccuracy. Raises: ClipkitError for NaN, lengths that differ, an unknown `ties`, no pair at all.

    Source: arXiv:2305.14324, section 5 (accuracy with tie calibration). All pairs are held in memory: P = N²/2.

    >>> pairwise_accuracy([1, 1, 2], [0.0, 0.1, 5.0])
    PairwiseAccuracy(accuracy=1.0, eps=0.1, pairs=3)
    """
    checks.one_of("treatment of ties", ties, TIES)
    truth, metric = checks.paired(truth, metric)
    names, index = _groups(group, len(truth))
    firsts, seconds, weights = [], [], []
    for rows in _rows(index, len(names)):
        i, j = np.triu_indices(len(rows), 1)
        firsts.append(rows[i])
        seconds.append(rows[j])
        weights.append(np.full(len(i), 1.0 / max(len(i), 1)))
    i, j, weight = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(weights)
    if not len(i):
        raise ClipkitError("there is no pair to compare: every group has one item only; give two or more to a group")
    human, gap = truth[i] - truth[j], metric[i] - metric[j]
    if ties == "ignore" and eps is None:
        kept = (human != 0) & (gap != 0)
        if not kept.any():
            return PairwiseAccuracy(float("nan"), 0.0, 0)
        agree = np.sign(human[kept]) == np.sign(gap[kept])
        inside = np.concatenate([np.full(len(f), n) for n, f in enumerate(firsts)])[kept]
        count = np.bincount(inside, minlength=len(names))
        return PairwiseAccuracy(float((np.bincount(inside, agree, len(names))[count > 0] / count[count > 0]).mean()), 0.0, int(kept.sum()))
    weight = weight / weight.sum()
    size = np.abs(gap)
    right, tied = weight * (np.sign(human) == np.sign(gap)) * (size > 0), weight * (human == 0)
    if eps is None and ties == "strict":
        eps = 0.0
    if eps is not None:
        return PairwiseAccuracy(float(right[size > eps].sum() + tied[size <= eps].sum()), float(eps), len(i))
    # Accuracy at every ε that a pair offers: pairs up to ε win where the truth ties, the rest where the order agrees.
    order = np.argsort(size, kind="stable")
    size = np.concatenate([[0.0], size[order]])
    value = right.sum() + np.concatenate([[0.0], np.cumsum(tied[order] - right[order])])
    last = np.append(size[1:] != size[:-1], True)  # equal gaps are tied together
    best = int(np.flatnonzero(last)[np.argmax(value[last])])
    return PairwiseAccuracy(float(value[best]), float(size[best]), len(i))


def _groups(group: Sequence | None, n: int) -> tuple[np.ndarray, np.ndarray]:
    group = np.zeros(n, dtype=int) if group is None else np.asarray(group)
    if group.shape != (n,):
        raise ClipkitError(f"{n} items and group labels of shape {group.shape}: give one label for each item")
    return np.unique(group, return_inverse=True)


def _rows(index: np.ndarray, groups: int) -> list[np.ndarray]:
    """Positions of the members of each group."""
    order = np.argsort(index, kind="stable")
    return np.split(order, np.cumsum(np.bincount(index, minlength=groups))[:-1])
