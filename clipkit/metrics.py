"""Percent right and rank correlation: the two numbers that nearly every page reports."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


def percent(right) -> float:
    """Percent of true ones among answers of any shape, at least one; of numbers in 0..1, their mean in percent.

    >>> percent([True, False, True, True])
    75.0
    """
    right = checks.tensor(right, "answers")
    if not right.numel():
        raise ClipkitError("there is no answer to take a percentage of; take more pictures")
    return 100 * right.double().mean().item()


def percent_right(predicted, labels) -> float:
    """Percent of pictures whose label is predicted. Args: predicted: labels (N,), or logits (N, C). labels: (N,).

    >>> percent_right(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), [0, 0])
    50.0

    Raises ClipkitError: shapes that do not fit, no picture. NaN among logits counts as torch's argmax takes it.
    """
    predicted, labels = checks.tensor(predicted, "predictions"), checks.tensor(labels, "labels")
    predicted = predicted.argmax(1) if predicted.ndim == 2 else predicted
    checks.same_shape(predicted, labels, what="predictions and labels")
    return percent(predicted == labels.to(predicted.device))


def class_means(features: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Means (C, D) and counts (C,) int64 of the classes; the mean of a class without features is 0."""
    counts = torch.bincount(labels, minlength=n_classes)
    sums = features.new_zeros(n_classes, features.shape[1]).index_add(0, labels, features)
    return sums / counts.clamp(min=1).to(features)[:, None], counts


def spearman(x, y) -> float:
    """Spearman's ρ of two vectors (N,), ties at their mean rank; NaN where one of them is constant.

    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 4]), 4)
    0.8
    """
    from scipy.stats import spearmanr

    x, y = checks.paired(x, y)
    return float("nan") if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0 else float(spearmanr(x, y).statistic)


def kendall(x, y, variant: str = "b") -> float:
    """Kendall's τ of two vectors (N,); NaN where one of them is constant.

    τ_b = (C − D) / √((P − T_x)(P − T_y)); τ_c = 2(C − D) / (n² (k − 1)/k) with k the smaller number of distinct values.
    C, D: pairs in the same and in opposite order; P all pairs; T pairs tied in the one.

    >>> round(kendall([1, 2, 3, 3], [1, 3, 2, 4]), 4)
    0.5477
    """
    from scipy.stats import kendalltau

    checks.one_of("variant of Kendall's tau", variant, ("b", "c"))
    x, y = checks.paired(x, y)
    return float("nan") if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0 else float(kendalltau(x, y, variant=variant).statistic)
