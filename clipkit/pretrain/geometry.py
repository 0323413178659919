"""Where the two modalities lie on the sphere: gap, alignment, uniformity, effective dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import unknown


def _matched(image_features: Tensor, text_features: Tensor) -> None:
    checks.features(text_features, "text features", checks.features(image_features, "image features").shape[1])


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
    features = checks.features(features, at_least=2)
    return torch.pdist(features).square().mul(-t).exp().mean().log()


def spectrum(features: Tensor) -> Tensor:
    """Eigenvalues of the covariance of (N, D) features, largest first, (min(N, D),); they sum to the total variance.

    Raises: ClipkitError for another shape, fewer than two rows, or values that are not finite.
    """
    features = checks.features(features, at_least=2)
    return torch.linalg.svdvals(features - features.mean(0)).square() / (len(features) - 1)


def effective_dimension(features: Tensor, mode: str = "participation") -> Tensor:
    """How many directions a cloud of (N, D) features fills, a 0-d tensor between 1 and D; 0 for a cloud that is one point.

    Args:
        mode: what stands for "how many". With shares q_k of the total variance:
            "participation": 1 / sum q_k^2, led by the largest directions;
            "entropy": exp(-sum q_k log q_k), the effective rank of Roy and Vetterli, 2007;
            "var99" (any whole percent from 1 to 99 in place of 99): the least number of directions that hold that share of
            the variance; led by the small directions, and what CLOOB counts.

    All three are d for d equal shares (var99: the d directions times .99, rounded up). Raises: ClipkitError for an
    unknown mode and as `spectrum` does.

    Source: CLOOB, arXiv:2110.11316, its figure on the eigenvalues of the covariance, for "var99".
    """
    percent = mode.removeprefix("var")
    share = int(percent) / 100 if mode.startswith("var") and percent.isdigit() else 0.0
    if mode not in ("participation", "entropy") and not 0 < share < 1:
        raise unknown("mode of effective_dimension", mode, ("participation", "entropy", "var99"))
    eigenvalues = spectrum(features)
    shares = eigenvalues / eigenvalues.sum().clamp_min(torch.finfo(features.dtype).tiny)
    if mode == "participation":
        return eigenvalues.sum().square() / eigenvalues.square().sum().clamp_min(torch.finfo(features.dtype).tiny)
    if eigenvalues.sum() == 0:
        return eigenvalues.sum()
    if mode == "entropy":
        return torch.special.entr(shares).sum().exp()
    held = shares.double().cumsum(0)
    return (held < share - 1e-9).sum().to(features.dtype) + 1
