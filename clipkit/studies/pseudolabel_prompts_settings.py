"""The three settings of learning with few labels or none: which pictures come with a label, and which classes are in question."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown

SETTINGS = ("semi_supervised", "transductive", "unsupervised")


@dataclass(frozen=True, eq=False)
class LimitedLabels:
    """One setting on one pool of pictures.

    Attributes:
        labelled: (L,) rows of the pool whose labels are known; L may be 0.
        unlabelled: (U,) rows whose labels are hidden.
        classes: (A,) labels a hidden picture can have: all, or the unseen ones in the transductive setting.
        seen: (C,) bool, classes with labels.
    """

    labelled: Tensor
    unlabelled: Tensor
    classes: Tensor
    seen: Tensor


def limited_labels(labels: Tensor, setting: str, n_classes: int, shots: int = 2, seen_share: float = 0.62, seed: int = 0) -> LimitedLabels:
    """Hide labels (N,) of a pool, given in random order, as a setting of the paper does.

    - "semi_supervised": the first `shots` of each class keep theirs.
    - "transductive": a random `seen_share` of the classes (at least one class stays unseen, and one seen) keep all; the
      hidden pictures are those of the other classes, and it is known that they are.
    - "unsupervised": all are hidden.

    Raises ClipkitError: an unknown setting, a label out of range, one class only in the transductive setting, no picture left.
    Source: arXiv:2306.01669, section 3.1; 2 labels a class and 62 % of the classes are its numbers.
    """
    if setting not in SETTINGS:
        raise unknown("setting", setting, SETTINGS)
    labels = torch.as_tensor(labels).long().cpu()
    if not len(labels) or labels.min() < 0 or labels.max() >= n_classes:
        raise ClipkitError(f"labels must be some of 0 … {n_classes - 1}, at least one")
    seen = torch.ones(n_classes, dtype=torch.bool)
    if setting == "semi_supervised":
        from clipkit.features.few_shot import turns

        known = torch.as_tensor(turns(labels.numpy()) < shots)
    elif setting == "transductive":
        if n_classes < 2:
            raise ClipkitError("the transductive setting needs at least two classes, one seen and one unseen")
        count = min(max(1, math.floor(seen_share * n_classes + 0.5)), n_classes - 1)
        seen[torch.as_tensor(np.random.default_rng(seed).permutation(n_classes)[count:])] = False
        known = seen[labels]
    else:
        seen[:] = False
        known = torch.zeros(len(labels), dtype=torch.bool)
    if known.all():
        raise ClipkitError(f"every picture has a label in the {setting} setting; give more pictures a class or fewer shots")
    classes = (~seen).nonzero().flatten() if setting == "transductive" else torch.arange(n_classes)
    return LimitedLabels(known.nonzero().flatten(), (~known).nonzero().flatten(), classes, seen)


def harmonic_accuracy(predicted: Tensor, labels: Tensor, seen: Tensor) -> float:
    """Percent right: harmonic mean of seen and unseen classes' pictures where there are both, else plain accuracy.

    >>> harmonic_accuracy(torch.tensor([0, 0, 1, 0]), torch.tensor([0, 0, 1, 1]), torch.tensor([True, False]))
    66.66666666666667

    Args: predicted, labels: (N,). seen: (C,) bool.
    Source: arXiv:2306.01669, section 4 (transductive results).
    """
    right, first = (predicted == labels).double(), seen.to(labels.device)[labels]
    if not first.any() or first.all():
        return 100 * right.mean().item()
    a, b = right[first].mean().item(), right[~first].mean().item()
    return 100 * 2 * a * b / (a + b) if a + b else 0.0
