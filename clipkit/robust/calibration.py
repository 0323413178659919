"""Does a model's confidence mean what it says? Reliability, expected calibration error, temperature."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence, accuracy and share of the examples in equal-width confidence bins.

    Args: probabilities (N, C), rows summing to 1; labels (N,) int64.
    Returns: three (bins,) tensors; empty bins hold 0.
    Raises ClipkitError: shapes or labels that do not fit, NaN, rows that do not sum to 1 (logits), bins below 1.
    """
    probabilities = checks.probabilities(probabilities)
    labels = checks.labels(labels, len(probabilities), probabilities.shape[1])
    checks.at_least(1, bins=bins)
    confidence, prediction = probabilities.double().max(1)
    correct = (prediction == labels).double()
    # Bin k holds confidences in (k/bins, (k+1)/bins].
    index = (torch.ceil(confidence * bins).long() - 1).clamp(0, bins - 1)
    count = torch.zeros(bins, dtype=torch.double).index_add_(0, index, torch.ones_like(correct))
    mean = [torch.zeros(bins, dtype=torch.double).index_add_(0, index, v) / count.clamp_min(1) for v in (confidence, correct)]
    return mean[0], mean[1], count / len(labels)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """ECE: the gap between confidence and accuracy, averaged over bins by their share; 0 (perfect) to 1.

    Raises ClipkitError as `reliability` does, for logits in particular.
    Source: Guo et al., arXiv:1706.04599, eq. 3.
    """
    confidence, accuracy, share = reliability(probabilities, labels, bins)
    return float((share * (confidence - accuracy).abs()).sum())


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the cross-entropy of `logits / T` on held-out data (N, C), (N,).

    One number cannot change which class wins. Source: arXiv:1706.04599, section 4.2.
    """
    logits = checks.features(logits, "logits").double()
    labels = checks.labels(labels, len(logits), logits.shape[1])

    def loss(log_t: float) -> float:
        return F.cross_entropy(logits / np.exp(log_t), labels).item()

    return float(np.exp(minimize_scalar(loss, bounds=(-7, 7), method="bounded", options={"xatol": 1e-4}).x))
