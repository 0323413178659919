"""Dots to numbers: how many fall in each block of a picture, whole or blurred.

Letters: B pictures, H × W pixels, h × w blocks, M dots of a picture.
Source: Lempitsky and Zisserman, Learning to Count Objects in Images, NeurIPS 2010.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


def block_counts(dots: Sequence[Tensor], size: tuple[int, int], reduction: int) -> Tensor:
    """Dots in each block, (B, h, w) int64; no dot is blurred, so the numbers are whole.

    Args: dots: B tensors (M, 2), x and y in pixels. size: (H, W) of a picture, multiples of `reduction`, the side of a block.
    Raises ClipkitError: a dot outside the picture, a size that does not divide.
    """
    h, w = _grid(dots, size, reduction)
    counts = torch.zeros(len(dots), h * w, dtype=torch.int64)
    for row, points in zip(counts, dots, strict=True):
        x, y = (points / reduction).long().unbind(1)
        row += torch.bincount(y.clamp(max=h - 1) * w + x.clamp(max=w - 1), minlength=h * w)
    return counts.view(-1, h, w)


def blurred_counts(dots: Sequence[Tensor], size: tuple[int, int], reduction: int, sigma: float) -> Tensor:
    """The share of each dot's Gaussian (σ in pixels, cut at 3 σ, all of it inside the picture) that falls in a block, (B, h, w) float32.

    Block sums of a blurred density map, without the map: a Gaussian's integral over a block is a product of two differences.
    Args and errors: see `block_counts`.
    """
    checks.positive(sigma=sigma)
    h, w = _grid(dots, size, reduction)
    found = torch.zeros(len(dots), h, w)
    for row, points in zip(found, dots, strict=True):
        parts = []
        for along, n in zip(points.float().T, (w, h), strict=True):
            z = (torch.arange(n + 1) * reduction - along[:, None]) / sigma  # (M, n + 1) edges of blocks
            below = torch.special.ndtr(z.clamp(-3, 3)) - torch.special.ndtr(torch.tensor(-3.0))
            share = below.diff(dim=1)
            parts.append(share / share.sum(1, keepdim=True))
        row += torch.einsum("mx,my->yx", *parts)
    return found


def _grid(dots: Sequence[Tensor], size: tuple[int, int], reduction: int) -> tuple[int, int]:
    if size[0] % reduction or size[1] % reduction or not size[0] * size[1]:
        raise ClipkitError(f"pictures of {size[0]} × {size[1]} pixels do not divide into blocks of {reduction}")
    for i, points in enumerate(dots):
        if points.ndim != 2 or points.shape[1] != 2 or (points < 0).any() or (points > torch.tensor([size[1], size[0]])).any():
            raise ClipkitError(f"picture {i}: dots are (M, 2), x from 0 to {size[1]} and y from 0 to {size[0]} pixels")
    return size[0] // reduction, size[1] // reduction
