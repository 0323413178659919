"""How far apart two sets of features are, whatever their labels."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


def squared_mmd(x: Tensor, y: Tensor, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy between the distributions that x (N, D) and y (M, D) were drawn from.

    Gaussian kernel exp(-|a - b|^2 / (2 h^2)), unbiased: the mean is 0 for two samples of one distribution, so single
    values can be a little below. In [-1, 2]; comparable only for one `bandwidth`.

    Args:
        bandwidth: h; None takes the median distance within x and y together. To compare several sets with one
            target, pass the same number for all.

    Raises ClipkitError: fewer than two rows, another number of dimensions, NaN, a bandwidth not above 0.
    Source: Gretton et al., A kernel two-sample test, JMLR 13 (2012), eq. 3.
    """
    x = checks.features(x, "x", at_least=2).double()
    y = checks.features(y, "y", x.shape[1], at_least=2).to(x)
    n, m = len(x), len(y)
    both = torch.cat([x, y])
    squared = ((both * both).sum(1)[:, None] + (both * both).sum(1) - 2 * both @ both.T).clamp(min=0)
    if bandwidth is None:
        bandwidth = median_distance(squared)
    if not bandwidth > 0:
        raise ClipkitError(f"the bandwidth must be above 0, got {bandwidth}; are all features the same?")
    kernel = (-squared / (2 * bandwidth**2)).exp()
    kernel.fill_diagonal_(0)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return (within - 2 * kernel[:n, n:].mean()).item()


def median_distance(squared: Tensor) -> float:
    """Median distance of different rows, from their squared distances (N, N)."""
    rows, columns = torch.triu_indices(*squared.shape, offset=1, device=squared.device)
    return squared[rows, columns].median().sqrt().item()
