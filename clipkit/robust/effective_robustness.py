"""Effective robustness: is a model better under a shift than its accuracy without the shift foretells?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from clipkit import checks
from clipkit.errors import ClipkitError


class RobustnessFit(NamedTuple):
    """The line logit(shifted) = intercept + slope · logit(standard) through a family of models."""

    slope: float
    intercept: float

    def expected(self, standard) -> np.ndarray:
        """Percent right under the shift that the line foretells for percent right without it, any shape."""
        return 100 * expit(self.intercept + self.slope * _logit(standard))

    def effective(self, standard, shifted) -> np.ndarray:
        """Points by which accuracy under the shift exceeds what the line foretells."""
        return np.asarray(shifted, float) - self.expected(standard)


def fit_effective_robustness(standard, shifted) -> RobustnessFit:
    """Least squares on the logit scale through M ≥ 2 models.

    Args: standard, shifted: (M,) percent right without and with the shift; 0 and 100 are taken for 0.1 and 99.9.
    Raises: ClipkitError for fewer than two models, numbers outside 0..100, models that are all equally accurate.
    Source: Taori et al., arXiv:2007.00644, section 2.

    >>> fit = fit_effective_robustness([50, 80, 90], [30, 60, 75])
    >>> bool(fit.effective(80, 70) > 8)
    True
    """
    standard, shifted = checks.paired(standard, shifted)
    if len(standard) < 2 or np.ptp(standard) == 0:
        raise ClipkitError("a line needs at least two models of different accuracy")
    slope, intercept = np.polyfit(_logit(standard), _logit(shifted), 1)
    return RobustnessFit(float(slope), float(intercept))


def _logit(percent) -> np.ndarray:
    percent = np.asarray(percent, dtype=float)
    if ((percent < 0) | (percent > 100)).any():
        raise ClipkitError("accuracies are percent right, from 0 to 100")
    return logit(percent.clip(0.1, 99.9) / 100)
