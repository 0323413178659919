"""How well a score keeps known from unknown: AUROC, FPR95, average precision; and a decision's balanced accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


class OODMetrics(NamedTuple):
    """Percent. `fpr95`: unknown pictures that pass when 95 % of the known ones do; `ties`: share of equal scores among all."""

    auroc: float
    fpr95: float
    aupr_in: float
    aupr_out: float
    ties: float


def ood_metrics(known: Tensor | np.ndarray, unknown: Tensor | np.ndarray, recall: float = 0.95) -> OODMetrics:
    """Metrics of scores of known (N,) and unknown (M,) pictures, larger meaning known. Known is the positive class.

    FPR at the recall is read off the ROC curve by linear interpolation, as CLIPN's code does; with ties other conventions
    give other numbers. AUROC, curves and average precision are scikit-learn's.

    Raises ClipkitError: an empty side, NaN or infinite scores, more than one dimension.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    a, b = checks.vector(known, "known scores"), checks.vector(unknown, "unknown scores")
    truth, scores = np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b]
    fpr, tpr, _ = roc_curve(truth, scores)
    return OODMetrics(
        auroc=100 * float(roc_auc_score(truth, scores)),
        fpr95=100 * float(np.interp(recall, tpr, fpr)),
        aupr_in=100 * float(average_precision_score(truth, scores)),
        aupr_out=100 * float(average_precision_score(1 - truth, -scores)),
        ties=1 - len(np.unique(scores)) / len(scores),
    )


def threshold_for_recall(known: Tensor | np.ndarray, recall: float = 0.95) -> float:
    """The score that the given share of known pictures reaches. Raises ClipkitError as `ood_metrics`, or a recall outside (0, 1)."""
    if not 0 < recall < 1:
        raise ClipkitError(f"the recall must lie between 0 and 1, got {recall}")
    return float(np.quantile(checks.vector(known, "known scores"), 1 - recall))


def balanced_accuracy(known_kept: Tensor | np.ndarray, unknown_kept: Tensor | np.ndarray) -> float:
    """Percent: mean of the known pictures that are kept and the unknown ones that are rejected. Args: (N,), (M,) bool."""
    kept = [np.asarray(x, dtype=bool) for x in (known_kept, unknown_kept)]
    if not all(len(x) for x in kept):
        raise ClipkitError("balanced accuracy needs known and unknown pictures; one side is empty")
    return 50 * float(kept[0].mean() + 1 - kept[1].mean())
