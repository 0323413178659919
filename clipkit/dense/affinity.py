"""Spreading a map over a whole picture by an affinity between its cells.

Letters: H heads, N = h w cells, d width of a head, D channels of the map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.dense.proxy import resize
from clipkit.errors import ClipkitError


def filtered_affinity(attention: Tensor, values: Tensor, cos_fac: float = 1.2, cap: float = 0.9) -> Tensor:
    """Attention of an encoder, kept only between cells whose values point the same way: (…, H, N, N), (…, H, N, d) to (…, N, N).

    C = cosine of values, for each head. θ_i = min(cos_fac · mean of C_i over heads and cells, cap). The result is the mean over
    heads of attention where C > θ, its rows brought to a sum of 1.

    Args:
        cos_fac: 0 filters out what is opposed; larger is stricter. cap: at most 1, below it every cell keeps itself.
    Raises ClipkitError: shapes that do not match, NaN, cap not below 1.
    A row without any attention left keeps its own cell; the released code divides 0 by 0 there.
    Source: arXiv:2411.09219, section 3.3; `get_sam_sim` of its code.
    """
    if attention.shape[:-1] != values.shape[:-1] or attention.shape[-1] != attention.shape[-2]:
        raise ClipkitError(f"attention {tuple(attention.shape)} and values {tuple(values.shape)} do not match: (…, N, N) and (…, N, d)")
    if not cap < 1:
        raise ClipkitError(f"cap must be below 1, so that a cell's likeness to itself passes it, got {cap}")
    checks.finite(attention, "attention")
    checks.finite(values, "values")
    unit = F.normalize(values, dim=-1)
    alike = unit @ unit.transpose(-1, -2)  # (…, H, N, N)
    level = cos_fac * alike.mean((-3, -1), keepdim=True)  # (…, 1, N, 1)
    kept = torch.where(alike > level.clamp(max=cap), attention, 0).mean(-3)  # (…, N, N)
    total = kept.sum(-1, keepdim=True)
    own = torch.eye(kept.shape[-1], dtype=kept.dtype, device=kept.device)
    return torch.where(total > 0, kept / total.clamp_min(torch.finfo(kept.dtype).tiny), own)


def aggregate(maps: Tensor, affinity: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
    """A map (…, D, H', W'), brought to the grid of the affinity (…, N, N), with every cell a weighted mean of all: (…, D, h, w).

    Args: grid: rows and columns of the affinity's N cells; without it a square is meant.
    Raises ClipkitError when N is not the grid.
    """
    n = affinity.shape[-1]
    grid = grid or (round(n**0.5),) * 2
    if grid[0] * grid[1] != n:
        raise ClipkitError(f"an affinity of {n} cells is no grid of {grid}; pass grid=(rows, columns)")
    lead, d = maps.shape[:-3], maps.shape[-3]
    at_grid = resize(maps.reshape(-1, *maps.shape[-3:]), grid).reshape(*lead, d, n)
    return (at_grid @ affinity.to(maps.dtype).transpose(-1, -2)).reshape(*lead, d, *grid)


def label_affinity(segments: Tensor, grid: tuple[int, int]) -> Tensor:
    """The ceiling: equal weight on all cells of the same true segment, (B, N, N) float32, of segments (B, H, W) integers.

    A cell belongs to the segment of its middle pixel.
    """
    rows, columns = (((torch.arange(n) + 0.5) * side / n).long() for n, side in zip(grid, segments.shape[1:], strict=True))
    cells = segments[:, rows][:, :, columns].flatten(1)
    same = (cells[:, :, None] == cells[:, None]).float()
    return same / same.sum(-1, keepdim=True)
