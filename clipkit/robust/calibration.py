"""Does a model's confidence mean what it says? Reliability, expected calibration error, temperature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.metrics import percent


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


def signed_gap(probabilities: Tensor, labels: Tensor) -> float:
    """Mean confidence less accuracy in points: above zero for a model that is too sure of itself. Args: (N, C), (N,) int64.

    Raises ClipkitError as `reliability` does, for logits in particular.
    """
    probabilities = checks.probabilities(probabilities)
    labels = checks.labels(labels, len(probabilities), probabilities.shape[1])
    confidence, predicted = probabilities.double().max(1)
    return 100 * float((confidence - (predicted == labels).double()).mean())


def calibration_under_shift(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, float]:
    """Calibration of the sets "id" and of all the others, before and after division by the temperature that fits "val".

    `gap`: signed; `ece`, `ece_scaled`: expected calibration error, points; `ece_best`: with the temperature that would fit the very
    sets; `helped`: percent of the sets that the temperature helps. Means over the sets; the prefix says which.
    """
    temperature, found = fit_temperature(logits["val"], labels["val"]), {}
    rest = [name for name in logits if name not in ("val", "id")]
    best = fit_temperature(torch.cat([logits[name] for name in rest]), torch.cat([labels[name] for name in rest]))
    for part, names in {"id": ["id"], "shift": rest}.items():
        errors = np.array([[_ece(logits[name] / t, labels[name]) for t in (1.0, temperature, best)] for name in names])
        gap = np.mean([signed_gap(logits[name].softmax(1), labels[name]) for name in names])
        found |= {f"{part}_gap": float(gap), f"{part}_helped": percent(errors[:, 1] < errors[:, 0])}
        found |= dict(zip((f"{part}_{what}" for what in ("ece", "ece_scaled", "ece_best")), errors.mean(0).tolist(), strict=True))
    return found


def _ece(logits: Tensor, labels: Tensor) -> float:
    return 100 * expected_calibration_error(logits.softmax(1), labels)
