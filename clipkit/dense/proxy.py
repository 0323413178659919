"""Who belongs together, according to somebody else: attention made of another model's correlations.

Letters: B pictures or windows, N cells of CLIP's grid, M = h w cells of the guide's grid, C channels of the guide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


def proxy_matrix(guide: Tensor, beta: float = 1.2, gamma: float = 3.0, mean: str = "window") -> Tensor:
    """Rows of weights (B, M, M) from features (B, C, h, w) of a guide.

    With unit vectors f and S = γ (f fᵀ − β · mean(f fᵀ)), the weights are softmax(S) over the entries that are not negative.

    Args:
        mean: "window", over each picture's own matrix, or "batch", over all of them, which is what the released code does; with it
            the result depends on what else is in the batch.
    Raises ClipkitError: NaN, wrong shape, unknown `mean`.
    A cell always keeps itself: where β · mean ≥ 1 (a picture of one colour) the released code divides 0 by 0.
    Source: arXiv:2408.04883, eq. 4-6; used unchanged in arXiv:2411.09219, section 3.2.
    """
    if guide.ndim != 4:
        raise ClipkitError(f"a guide gives features (B, C, h, w), got {tuple(guide.shape)}")
    checks.finite(guide, "the guide's features")
    f = F.normalize(guide.flatten(2), dim=1)  # (B, C, M)
    similar = f.transpose(1, 2) @ f
    checks.one_of("mean", mean, ("window", "batch"))
    level = similar.mean((1, 2), keepdim=True) if mean == "window" else similar.mean()
    score = gamma * (similar - beta * level)
    own = torch.eye(score.shape[-1], dtype=torch.bool, device=score.device)
    return score.masked_fill((score < 0) & ~own, -torch.inf).softmax(-1)


def proxy_attention(
    v: Tensor, guide: Tensor, beta: float = 1.2, gamma: float = 3.0, grid: tuple[int, int] | None = None, mean: str = "window"
) -> Tensor:
    """Values of CLIP's last block, mixed by a guide's correlations: (B, H, N, d) to (B, H, M, d).

    The values are brought to the guide's grid first (bilinear), and all heads share one matrix.

    Args: v: patches only, no class token. guide: (B, C, h, w). grid: rows and columns of v; without it a square is meant.
    Raises ClipkitError: B differs, N is not the grid, and what `proxy_matrix` refuses.
    """
    b, heads, n, d = v.shape
    grid = grid or (round(n**0.5),) * 2
    if grid[0] * grid[1] != n or len(guide) != b:
        raise ClipkitError(
            f"values of {b} × {n} cells do not go with a grid of {grid} and a guide for {len(guide)}; pass grid=(rows, columns)"
        )
    matrix = proxy_matrix(guide, beta, gamma, mean).to(v.dtype)  # (B, M, M)
    size = tuple(guide.shape[-2:])
    if size != tuple(grid):
        v = resize(v.transpose(2, 3).reshape(b * heads, d, *grid), size).reshape(b, heads, d, -1).transpose(2, 3)
    return matrix[:, None] @ v


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, D, h, w) at another size, bilinear, corners not aligned; the same tensor where nothing changes."""
    return maps if tuple(maps.shape[-2:]) == tuple(size) else F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def colour_features(pixels: Tensor, size: tuple[int, int], place: float = 0.5) -> Tensor:
    """A guide that knows nothing: mean colour of each cell, and its place, (B, 8, h, w).

    Colours and places become points on circles, cos(a) and sin(a) of each coordinate, so that a cosine between two cells falls
    with the distance of their colours and, with weight `place`, of their places.

    Args: pixels (B, 3, H, W) in 0..1.
    """
    h, w = size
    small = F.adaptive_avg_pool2d(pixels, size)  # (B, 3, h, w)
    y = torch.linspace(0, 1, h, device=pixels.device)[:, None].expand(h, w)
    x = torch.linspace(0, 1, w, device=pixels.device)[None].expand(h, w)
    where = place * torch.stack([y, x]).expand(len(pixels), 2, h, w)
    angle = torch.cat([small, where], 1) * torch.pi / 2 * 1.5
    return torch.cat([angle.cos(), angle.sin()], 1)
