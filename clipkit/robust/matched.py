"""Robustness at equal accuracy: what separates two groups of models once each is compared where the other is as accurate.

Letters: M models, N pictures, C classes. Numbers of models are percent, from 0 to 100.

Source: the protocol of Tu et al., arXiv:2410.01534 (shape bias: section 4; effective robustness after Taori et al., arXiv:2007.00644).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

SCALES = ("logit", "linear")


class ShapeBias(NamedTuple):
    """Percent. `bias`: shape among answers that are shape or texture; `cue_accuracy`: such answers among all; `n`: how many they are."""

    bias: float
    cue_accuracy: float
    n: int


def shape_bias(predicted: Tensor, shape: Tensor, texture: Tensor) -> ShapeBias:
    """Which of two cues decides, on pictures with the shape of one class and the texture of another.

    Args: predicted, shape, texture: (N,) int64 class numbers.
    Returns: ShapeBias; a bias of 50 where neither cue was ever named (n is then 0): guessing has no preference either.
    Raises ClipkitError: shapes that differ, no picture, a picture whose two cues are the same class.
    Source: Geirhos et al., arXiv:1811.12231, section 2; arXiv:2410.01534.

    >>> import torch
    >>> shape_bias(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 0]), torch.tensor([1, 1, 1, 1]))
    ShapeBias(bias=66.66666666666667, cue_accuracy=75.0, n=3)
    """
    predicted, shape, texture = (checks.tensor(x, "class numbers") for x in (predicted, shape, texture))
    checks.same_shape(predicted, shape, texture, what="answers, shapes and textures")
    if not len(shape) or (shape == texture).any():
        raise ClipkitError("shape bias needs pictures, each with two different cues; leave out those whose cues agree")
    by_shape, by_texture = int((predicted == shape).sum()), int((predicted == texture).sum())
    n = by_shape + by_texture
    return ShapeBias(100 * by_shape / n if n else 50.0, 100 * n / len(shape), n)


class MatchedGap(NamedTuple):
    """`gap`: points from the other group to this one at equal accuracy; `slope`: of the common line, on its scale.

    `overlap`: percent of the group's models whose accuracy lies within the range of the others; elsewhere their line is extrapolated.
    """

    gap: float
    slope: float
    overlap: float


def matched_gap(standard, value, group, strata=None, scale: str = "logit") -> MatchedGap:
    """How far the models of a group lie above the others at the same standard accuracy.

    One line for all, with an intercept for each stratum and a step for the group: y = a_stratum + b x + g · group by least squares.
    x is the logit of the standard accuracy, and so is y on the scale "logit", where the gap is the mean over the models of what the
    step is worth in points; on the scale "linear", for what is no share of right answers, y is the value itself and the gap is g.

    Args:
        standard, value: (M,) percent. group: (M,) bool. strata: (M,) anything that may shift the line; None: one stratum.

    Returns: MatchedGap.
    Raises ClipkitError: one group only, a group that is the same in each stratum, too few models or accuracies for the unknowns.
    Source: the analysis of covariance; with one stratum and one group's line alone it is Taori et al., arXiv:2007.00644, section 2.

    >>> found = matched_gap([20, 50, 80, 20, 50, 80], [10, 40, 70, 20, 50, 80], [False] * 3 + [True] * 3, scale="linear")
    >>> round(found.gap, 6), found.overlap
    (10.0, 100.0)
    """
    checks.one_of("scale", scale, SCALES)
    x, y = checks.paired(standard, value)
    g = np.asarray(group, dtype=bool)
    strata = np.zeros(len(x), int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    if g.shape != x.shape or strata.shape != x.shape or g.all() or not g.any():
        raise ClipkitError(f"{len(x)} models need a group each, and some models in either group")
    lx = _logit(x)
    design = np.column_stack([np.eye(strata.max() + 1)[strata], lx, g])
    if len(x) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        raise ClipkitError("too few models to fit a trend: each stratum needs both groups, or models of several accuracies")
    weights = np.linalg.lstsq(design, _logit(y) if scale == "logit" else y, rcond=None)[0]
    gap = weights[-1]
    if scale == "logit":
        line = design[:, :-1] @ weights[:-1]
        gap = 100 * (expit(line + gap) - expit(line)).mean()
    inside = (x[g] >= x[~g].min()) & (x[g] <= x[~g].max())
    return MatchedGap(float(gap), float(weights[-2]), 100 * float(inside.mean()))


def run_bootstrap(statistic: Callable[[np.ndarray], float], runs, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a statistic of models, when models of one training run (or author, or data set) come and go together.

    Args:
        statistic: (K,) int64 rows of models, some of them several times -> a number; it may raise ClipkitError for a draw that lacks
            what it needs, and such draws are left out. runs: (M,) what a model belongs to.

    Returns: percentiles 2.5 and 97.5 over draws of as many whole runs as there are.
    Raises ClipkitError: fewer than two runs, fewer than half of the draws usable.
    Source: the cluster bootstrap, Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    number = np.unique(np.asarray(runs), return_inverse=True)[1]
    members = [np.flatnonzero(number == k) for k in range(number.max() + 1)] if len(number) else []
    if len(members) < 2:
        raise ClipkitError("an interval over training runs needs at least two of them")
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        rows = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        try:
            found.append(statistic(rows))
        except ClipkitError:
            continue
    if len(found) < draws / 2:
        raise ClipkitError("most draws of runs lack one of the groups: too few training runs for an interval")
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _logit(percent: np.ndarray) -> np.ndarray:
    if ((percent < 0) | (percent > 100)).any():
        raise ClipkitError("accuracies are percent right, from 0 to 100")
    return logit(percent.clip(0.1, 99.9) / 100)
