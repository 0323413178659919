"""Robustness: calibration, scores for unknown classes, groups; corruptions and bias probes stand beside them."""

from __future__ import annotations

from clipkit.robust.calibration import expected_calibration_error, fit_temperature, reliability
from clipkit.robust.clipn import NoTextTower, YesNo, clipn_loss, clipn_scores
from clipkit.robust.distance import squared_mmd
from clipkit.robust.groups import GroupAccuracy, group_accuracy
from clipkit.robust.ood import choose_negatives, clipped, nearest, neg_label, ood_score
from clipkit.robust.ood_metrics import OODMetrics, balanced_accuracy, ood_metrics, threshold_for_recall
from clipkit.robust.ood_splits import OODSplit, class_split, world_split

__all__ = [
    "GroupAccuracy",
    "NoTextTower",
    "OODMetrics",
    "OODSplit",
    "YesNo",
    "balanced_accuracy",
    "choose_negatives",
    "class_split",
    "clipn_loss",
    "clipn_scores",
    "clipped",
    "expected_calibration_error",
    "fit_temperature",
    "group_accuracy",
    "nearest",
    "neg_label",
    "ood_metrics",
    "ood_score",
    "reliability",
    "squared_mmd",
    "threshold_for_recall",
    "world_split",
]
