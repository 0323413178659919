"""Scores that tell known classes from unknown ones; larger always means *known*.

Letters: N pictures, D dimensions, C known classes, M negative labels, K known reference pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clipkit import checks


def max_softmax(cosines: Tensor, scale: float) -> Tensor:
    """MSP: the probability of the likeliest class, max softmax(s cos). Source: Hendrycks and Gimpel, arXiv:1610.02136."""
    return (scale * cosines).softmax(1).amax(1)


def max_logit(cosines: Tensor, scale: float) -> Tensor:
    """The largest logit. Source: Hendrycks et al., arXiv:1911.11132."""
    return scale * cosines.amax(1)


def energy(cosines: Tensor, scale: float, temperature: float = 1.0) -> Tensor:
    """Minus the free energy, T log sum exp(s cos / T). Source: Liu et al., arXiv:2010.03759, eq. 4, with its sign turned."""
    return temperature * (scale * cosines / temperature).logsumexp(1)


def mcm(cosines: Tensor, scale: float, temperature: float = 1.0) -> Tensor:
    """Maximum concept matching: max softmax(cos / T), T = 1. MSP is the same with T = 1 / s.

    Source: Ming et al., arXiv:2211.13445, eq. 1.
    """
    return (cosines / temperature).softmax(1).amax(1)


def entropy(cosines: Tensor, scale: float) -> Tensor:
    """Minus the entropy of softmax(s cos), in nats."""
    log_p = (scale * cosines).log_softmax(1)
    return (log_p.exp() * log_p).sum(1)


OF_COSINES: dict[str, Callable[..., Tensor]] = {
    "max_softmax": max_softmax,
    "max_logit": max_logit,
    "energy": energy,
    "mcm": mcm,
    "entropy": entropy,
}


def ood_score(method: str, features: Tensor, weights: Tensor, scale: float, **settings) -> Tensor:
    """A score of class names alone: (N,), larger for pictures of known classes.

    Args:
        method: "max_softmax", "max_logit", "energy", "mcm" or "entropy".
        features: (N, D), unit norm. weights: (C, D) of the known classes, unit norm. scale: the model's logit scale.
        settings: `temperature`, for energy and mcm.

    Raises ClipkitError: an unknown method, shapes that do not fit, NaN, a scale or temperature not above 0.
    """
    checks.one_of("OOD score", method, OF_COSINES)
    checks.positive(scale=scale, temperature=settings.get("temperature"))
    return OF_COSINES[method](class_cosines(features, weights), float(scale), **settings)


def class_cosines(features: Tensor, weights: Tensor) -> Tensor:
    """(N, C) products of unit vectors. Raises ClipkitError for shapes that do not fit, no class, NaN."""
    weights = checks.features(weights, "weights")
    features = checks.features(features, width=weights.shape[1], at_least=0)
    return features @ weights.to(features).T


def neg_label(features: Tensor, weights: Tensor, negatives: Tensor, scale: float) -> Tensor:
    """NegLabel: the share of the softmax over C known and M negative labels that the known ones get, (N,) in 0..1.

    Args: negatives: (M, D) weights of labels that are unlike the known classes.
    Source: Jiang et al., arXiv:2403.20078, eq. 5, without its grouping and its choice of negatives.
    """
    both = torch.cat([class_cosines(features, weights), class_cosines(features, negatives)], 1)
    return (scale * both).softmax(1)[:, : len(weights)].sum(1)
