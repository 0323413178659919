"""Accuracy class by class, and what becomes of rare classes and of the others."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


def class_accuracy(logits: Tensor, labels: Tensor) -> np.ndarray:
    """(C,) percent right in each class, of logits (N, C) and labels (N,); NaN for a class without a picture.

    >>> import torch
    >>> class_accuracy(torch.eye(2)[[0, 0, 1]], torch.tensor([0, 1, 1])).tolist()
    [100.0, 50.0]

    Raises: ClipkitError for shapes that do not fit or labels out of range.
    """
    logits, n_classes = checks.features(logits, "logits"), logits.shape[1]
    labels = checks.labels(labels, len(logits), n_classes).cpu()
    truth, right = labels.numpy(), (logits.argmax(1).cpu() == labels).numpy()
    hits, size = np.bincount(truth[right], minlength=n_classes), np.bincount(truth, minlength=n_classes)
    return np.divide(100.0 * hits, size, out=np.full(n_classes, np.nan), where=size > 0)


def tail_and_rest(accuracy: np.ndarray, tail: np.ndarray) -> tuple[float, float]:
    """Mean accuracy over the classes of the tail, and over the others; classes with NaN are passed over.

    Args: accuracy (C,), tail (C,) bool. Raises: ClipkitError when one side has no class left.
    """
    accuracy, tail = np.asarray(accuracy, dtype=float), np.asarray(tail, dtype=bool)
    if accuracy.shape != tail.shape:
        raise ClipkitError(f"one flag for each class is needed: {accuracy.shape} and {tail.shape}")
    sides = [accuracy[side & np.isfinite(accuracy)] for side in (tail, ~tail)]
    if not all(map(len, sides)):
        raise ClipkitError("the tail or the rest has no class with a picture; take more pictures")
    return float(sides[0].mean()), float(sides[1].mean())


def mean_by_part(values, key, n: int = 5) -> list[float]:
    """Means of values (C,) over n parts of the classes of equal size, those with the smallest key (C,) first; NaN is passed over.

    >>> mean_by_part([4.0, 1.0, 3.0], [9, 0, 5], n=3)
    [1.0, 3.0, 4.0]

    Raises: ClipkitError for rows of two lengths or fewer classes than parts.
    """
    values, key = np.asarray(values, dtype=float), np.asarray(key, dtype=float)
    if values.shape != key.shape or len(values) < n:
        raise ClipkitError(f"want two rows of one length, at least {n}; got {values.shape} and {key.shape}")
    return [float(np.nanmean(part)) for part in np.array_split(values[key.argsort(kind="stable")], n)]
