"""Optimal transport between a density map and dots: Sinkhorn's scaling, and the loss of DM-Count.

Letters: B pictures, h × w blocks, M dots of a picture, N places that mass is brought to.
Source: DM-Count, arXiv:2009.13077; Cuturi, arXiv:1306.0895.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clipkit import checks
from clipkit.errors import ClipkitError

ABSORBED = 10  # steps of scaling between two on logarithms


def sinkhorn(a: Tensor, b: Tensor, cost: Tensor, reg: float = 10.0, iterations: int = 100) -> tuple[Tensor, Tensor]:
    """Entropic optimal transport between weights a (B, M) and b (B, N), rows that sum to 1 (0 marks what is not there).

    min ⟨P, cost⟩ + reg Σ P log P with margins a and b, by alternating scaling, stabilised: potentials are kept as logarithms.

    Args: cost: (B, M, N). Returns: plans P (B, M, N) with rows that sum to a, and the dual β (B, N) = reg log v.
    Source: Cuturi, arXiv:1306.0895. Raises ClipkitError: shapes that do not fit.
    """
    if cost.shape != (*a.shape, b.shape[-1]) or a.shape[0] != b.shape[0]:
        raise ClipkitError(f"weights {tuple(a.shape)} and {tuple(b.shape)} do not go with a cost of {tuple(cost.shape)}")
    checks.positive(reg=reg)
    log_k, log_a, log_b = -cost / reg, a.log(), b.clamp_min(1e-16).log()
    there = a > 0
    u, least = torch.where(there, -there.sum(1, keepdim=True).to(a).log(), log_a), torch.finfo(a.dtype).tiny
    for done in range(0, iterations, ABSORBED):  # logarithms once in a while, and plain products, ten times cheaper, between
        v = log_b - (log_k + u[:, :, None]).logsumexp(1)
        u = log_a - (log_k + v[:, None, :]).logsumexp(2)
        plan, p, q = (u[:, :, None] + log_k + v[:, None, :]).exp(), torch.ones_like(a), torch.ones_like(b)
        for _ in range(min(ABSORBED, iterations - done) - 1):
            q = log_b.exp() / torch.einsum("bm,bmn->bn", p, plan).clamp_min(least)
            p = a / torch.einsum("bmn,bn->bm", plan, q).clamp_min(least)
        u, v = u + p.log(), v + q.log()
    return (u[:, :, None] + log_k + v[:, None, :]).exp(), reg * v


def transport_loss(density: Tensor, dots: Sequence[Tensor], reduction: int, reg: float = 10.0, iterations: int = 100) -> Tensor:
    """⟨d / Σd, β⟩, summed over the batch: its gradient in the densities (B, h, w) is that of entropic transport to the dots.

    β is the dual of `sinkhorn` between dots of equal weight and the blocks' centres, the cost the squared distance in pixels; it is
    held fixed. Pictures without dots, or without density, add nothing.
    """
    full = [i for i, points in enumerate(dots) if len(points)]
    if not full:
        return density.sum() * 0
    d = density[full].flatten(1)  # (B', h w)
    h, w = density.shape[1:]
    centres = torch.cartesian_prod(torch.arange(h), torch.arange(w)).flip(1).to(d) * reduction + reduction / 2
    points = nn.utils.rnn.pad_sequence([dots[i].to(d) for i in full], batch_first=True)  # (B', M, 2)
    n = torch.tensor([len(dots[i]) for i in full], device=d.device)
    weights = (torch.arange(points.shape[1], device=d.device) < n[:, None]) / n[:, None]
    share = d / d.sum(1, keepdim=True).clamp_min(1e-8)
    with torch.no_grad():
        cost = (points[:, :, None] - centres).square().sum(3)
        _, beta = sinkhorn(weights, share, cost, reg, iterations)
    return (share * beta).sum()


def dm_count_loss(density: Tensor, counts: Tensor, dots: Sequence[Tensor], reduction: int, **options) -> Tensor:
    """DM-Count, arXiv:2009.13077: |N̂ − N| + 0.1 transport + 0.01 N · Σ|d̂/N̂ − d/N|, as released: transport summed, the rest means.

    Args: density, counts: (B, h, w). options: of `transport_loss`.
    """
    n, found = counts.flatten(1).sum(1), density.flatten(1).sum(1)
    apart = density / (found[:, None, None] + 1e-8) - counts / (n[:, None, None] + 1e-8)
    spread = (apart.abs().flatten(1).sum(1) * n).mean()
    return (found - n).abs().mean() + 0.1 * transport_loss(density, dots, reduction, **options) + 0.01 * spread
