"""What every few-shot head asks of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit.adapt.cache import cache_values, matrix
from clipkit.errors import ClipkitError

__all__ = ["class_means", "fitted", "matrix", "support"]


def support(
    features: Tensor, labels: Tensor, text_weights: Tensor | None = None, n_classes: int | None = None
) -> tuple[Tensor, Tensor, int]:
    """Checked features (N, D), labels (N,) int64 on their device, and the number of classes C.

    C is the number of text weights if there are any, else `n_classes`, else the largest label plus one.

    Raises ClipkitError: shapes that do not match, NaN, no rows, labels that are not whole numbers in [0, C).
    """
    features = matrix(features, "features")
    if text_weights is not None:
        if matrix(text_weights, "text weights").shape[1] != features.shape[1]:
            raise ClipkitError(
                f"features have {features.shape[1]} dimensions, text weights {text_weights.shape[1]}: take both from one model"
            )
        if n_classes is not None and n_classes != len(text_weights):
            raise ClipkitError(f"n_classes = {n_classes}, but there are text weights of {len(text_weights)} classes; leave n_classes out")
        n_classes = len(text_weights)
    labels = cache_values(labels, len(features), n_classes).to(features.device)
    if labels.ndim != 1:
        raise ClipkitError(f"labels: want ({len(features)},) integers, got {tuple(labels.shape)}")
    return features, labels, int(labels.max()) + 1 if n_classes is None else n_classes


def fitted(head, name: str, features: Tensor) -> Tensor:
    """Checked test features for a head whose fitted attribute is `name` (its last dimension is D), on that attribute's device and dtype."""
    weight = getattr(head, name, None)
    if weight is None:
        raise ClipkitError(f"this {type(head).__name__} is not fitted: call fit(features, labels, ...) first")
    if matrix(features, "features").shape[1] != weight.shape[-1]:
        raise ClipkitError(f"features have {features.shape[1]} dimensions, this {type(head).__name__} was fitted on {weight.shape[-1]}")
    return features.to(weight)


def class_means(features: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Means (C, D) and counts (C,) int64 of the classes; the mean of a class without features is 0."""
    counts = torch.bincount(labels, minlength=n_classes)
    sums = features.new_zeros(n_classes, features.shape[1]).index_add(0, labels, features)
    return sums / counts.clamp(min=1).to(features)[:, None], counts
