"""Robustness: calibration now; out-of-distribution scores, corruptions and bias probes stand beside it."""

from __future__ import annotations

from clipkit.robust.calibration import expected_calibration_error, fit_temperature, reliability

__all__ = ["expected_calibration_error", "fit_temperature", "reliability"]
