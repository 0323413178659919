"""Whose colour does a model name? Letters: N pictures, O nouns, K words (colours); `own` (N,) is the word of the thing that the prompt
names, `other` (N,) that of the thing beside it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

TERMS = ("own colour", "other's colour", "named thing's association", "unnamed thing's association")


class AssociationBias(NamedTuple):
    """Percent of answers that are the named thing's word, the other thing's, and neither; score in [0, 1], see `association_bias`."""

    right: float
    swap: float
    neither: float
    score: float


class Pulls(NamedTuple):
    """Standardised coefficients of TERMS (4,) and their 95 % interval from a bootstrap of clusters, low (4,) and high (4,)."""

    beta: np.ndarray
    low: np.ndarray
    high: np.ndarray


def association_bias(guesses, own, other) -> AssociationBias:
    """How often the right word is chosen, the other thing's, and a third one; and (1 − right + swap) / 2.

    The score is one half for a model that cannot tell the two apart, and for one that names neither: read it beside its parts.
    >>> association_bias([0, 1, 1, 2], own=[0, 0, 0, 0], other=[1, 1, 1, 1])
    AssociationBias(right=25.0, swap=50.0, neither=25.0, score=0.625)

    Args: guesses, own, other: (N,) integers from 0. Raises ClipkitError: no picture, or things of the same word.
    Source: arXiv:2212.12043, section 3, the CAB score.
    """
    own, other = _two_words(own, other)
    guesses = checks.labels(guesses, len(own), what="guesses")
    right, swap = ((guesses == word).double().mean().item() for word in (own, other))
    return AssociationBias(100 * right, 100 * swap, 100 * max(0.0, 1 - right - swap), (1 - right + swap) / 2)


def asked_scores(image_features: Tensor, text_features: Tensor, asked, reference: Tensor | None = None) -> Tensor:
    """Scores (N, K) of the words in prompts text_features (O, K, D) about the noun that each picture, (N, D), is `asked` (N,) for.

    With a reference (M, D), each prompt's mean score over these pictures is taken off: contextual calibration, arXiv:2102.09690, here
    by subtraction. Raises ClipkitError: shapes that do not fit, a noun that has no prompts.
    """
    image_features = checks.features(image_features, "image_features")
    n, (nouns, _, width) = len(image_features), text_features.shape
    checks.features(image_features, "image_features", width)
    asked = checks.labels(asked, n, nouns, what="asked").to(image_features.device)
    if reference is not None:
        image_features = image_features - checks.features(reference, "reference", width).mean(0)
    return torch.einsum("nd,nkd->nk", image_features, text_features[asked])


def association_regression(scores, own, other, named: Tensor, unnamed: Tensor, clusters, draws: int = 1000, seed: int = 0) -> Pulls:
    """score = b₁ [word is own] + b₂ [word is other] + b₃ association(named, word) + b₄ association(unnamed, word) + a constant a picture.

    A bag of words has b₁ = b₂ and b₃ = b₄ = 0; filling in what the prompt leaves out is b₄ > 0. All columns are centred within each
    picture and brought to unit spread. Things must occur in colours not theirs, or two columns are one.

    Args: scores (N, K); own, other (N,) words; named, unnamed (N, K) association of either thing with each word; clusters (N,) integers,
    such as pairs of things: the bootstrap takes or leaves them whole, `draws` times.
    Raises ClipkitError: shapes that do not fit, fewer than two clusters, columns that depend on one another.
    Source: ours, after the explanation in arXiv:2212.12043, section 4.
    """
    scores = checks.features(scores, "scores").double()
    own, other = _two_words(own, other)
    if len(own) != len(scores):
        raise ClipkitError(f"{len(scores)} rows of scores for {len(own)} pictures")
    words = torch.arange(scores.shape[1])
    columns = [
        words == own[:, None],
        words == other[:, None],
        checks.tensor(named, "named"),
        checks.tensor(unnamed, "unnamed"),
        scores.cpu(),
    ]
    checks.same_shape(*columns, what="scores and associations")
    z = torch.stack([c.double() - c.double().mean(1, keepdim=True) for c in columns], 2)  # (N, K, 5)
    z = z / z.square().mean((0, 1)).sqrt().clamp(min=1e-12)
    clusters = checks.labels(clusters, len(own), what="clusters")
    together = z.new_zeros(int(clusters.max()) + 1, 5, 5).index_add_(0, clusters, torch.einsum("nkp,nkq->npq", z, z))
    together = together[torch.bincount(clusters) > 0].numpy()  # (clusters, 5, 5) sums of products, all that least squares needs
    if len(together) < 2 or np.linalg.cond(together.sum(0)[:4, :4]) > 1e6:
        raise ClipkitError("two clusters at least, and columns that do not depend on one another: show things in colours not their own")

    def solve(total: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(total[:4, :4], total[:4, 4], rcond=1e-9)[0]

    dice = np.random.default_rng(seed)
    counts = dice.multinomial(len(together), np.full(len(together), 1 / len(together)), size=draws)
    drawn = np.array([solve(total) for total in np.einsum("dc,cpq->dpq", counts, together)])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Pulls(solve(together.sum(0)), low, high)


def _two_words(own, other) -> tuple[Tensor, Tensor]:
    own = checks.tensor(own, "own")
    checks.at_least(1, pictures=len(own))
    own, other = checks.labels(own, len(own), what="own"), checks.labels(other, len(own), what="other")
    if (own == other).any():
        raise ClipkitError("two things of the same colour cannot be told by it: leave such pictures out")
    return own, other
