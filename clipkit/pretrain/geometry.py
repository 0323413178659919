"""Where the two modalities lie on the sphere: gap, alignment, uniformity, effective dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit.errors import ClipkitError


def _matched(image_features: Tensor, text_features: Tensor) -> None:
    if image_features.ndim != 2 or image_features.shape[1] != text_features.shape[-1]:
        raise ClipkitError(f"features must be (N, D) and (M, D), got {tuple(image_features.shape)} and {tuple(text_features.shape)}")


def modality_gap(image_features: Tensor, text_features: Tensor) -> Tensor:
    """Distance between the centres of the two clouds, 0 (same centre) to 2.

    Args: image_features (N, D) and text_features (M, D), unit norm. Returns: 0-d tensor.
    Source: Liang et al., arXiv:2203.02053, section 2 (Euclidean gap).
    """
    _matched(image_features, text_features)
    return (image_features.mean(0) - text_features.mean(0)).norm()


def alignment(image_features: Tensor, text_features: Tensor) -> Tensor:
    """Mean squared distance of matched pairs (lower is closer), for (N, D) unit-norm features.

    Source: Wang and Isola, arXiv:2005.10242, eq. 1 with exponent 2.
    """
    _matched(image_features, text_features)
    return (image_features - text_features).square().sum(1).mean()


def uniformity(features: Tensor, t: float = 2.0) -> Tensor:
    """Log mean Gaussian potential over distinct pairs of (N, D) features; lower is more evenly spread.

    Source: Wang and Isola, arXiv:2005.10242, eq. 2.
    """
    if len(features) < 2:
        raise ClipkitError("uniformity needs at least two feature vectors")
    return torch.pdist(features).square().mul(-t).exp().mean().log()


def effective_dimension(features: Tensor) -> Tensor:
    """Participation ratio of the covariance spectrum, (sum of eigenvalues)^2 / sum of squares: 1 to D."""
    centred = features - features.mean(0)
    eigenvalues = torch.linalg.svdvals(centred).square()
    return eigenvalues.sum().square() / eigenvalues.square().sum().clamp_min(torch.finfo(features.dtype).tiny)
