"""Robustness: calibration now; out-of-distribution scores, corruptions and bias probes stand beside it."""

from __future__ import annotations

from clipkit.robust.calibration import expected_calibration_error, fit_temperature, reliability
from clipkit.robust.distance import squared_mmd
from clipkit.robust.groups import GroupAccuracy, group_accuracy

__all__ = ["GroupAccuracy", "expected_calibration_error", "fit_temperature", "group_accuracy", "reliability", "squared_mmd"]
