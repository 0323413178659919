"""Accuracy by group, and of the worst one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clipkit import checks
from clipkit.metrics import percent as percent_of


class GroupAccuracy(NamedTuple):
    """Percent right. groups (G,), NaN where a group has no picture; worst: smallest of the others; average over pictures."""

    groups: Tensor
    sizes: Tensor
    worst: float
    average: float


def group_accuracy(predictions: Tensor, labels: Tensor, groups: Tensor) -> GroupAccuracy:
    """Percent right in each group of pictures.

    Args: predictions, labels, groups: (N,) integers; groups from 0.
    Raises: ClipkitError for shapes that differ, no picture, a negative group.
    Source: the worst-group measure of arXiv:1911.08731. Released code of PerceptionCLIP counts an empty group as 0 %;
        here it is left out.

    >>> group_accuracy(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), torch.tensor([0, 0, 2])).worst
    0.0
    """
    checks.same_shape(predictions, labels, groups, what="predictions, labels and groups")
    checks.at_least(1, pictures=len(groups))
    groups = checks.labels(groups, len(groups), what="groups")
    right = (predictions == labels).double()
    sizes = torch.bincount(groups)
    percent = 100 * torch.bincount(groups, weights=right) / sizes  # 0/0 is NaN
    return GroupAccuracy(percent, sizes, percent[sizes > 0].min().item(), percent_of(right))
