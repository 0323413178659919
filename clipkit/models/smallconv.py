"""A small residual network for 32 px pictures: two halvings, then a fine grid, where larger networks halve five times."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError


class _Residual(nn.Module):
    """Two 3 × 3 convolutions beside a 1 × 1 shortcut; the sum starts as the shortcut alone."""

    def __init__(self, width: int, out: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class SmallConv(nn.Module):
    """Pixels (B, 3, S, S) to (B, D): a stem that halves, one residual block a further width, then all cells side by side.

    The grid is shrunk to 4 × 4 and read by one linear map, not averaged: an outline is *where* its edges are, and the mean
    of a shallow network's cells has lost that.
    Args: widths: channels of the stem and of each block; strides: one a block.
    """

    def __init__(self, embed_dim: int, widths: list[int], strides: list[int]):
        super().__init__()
        if not widths or len(widths) != len(strides) + 1:
            raise ClipkitError(f"one stride a block: {len(widths)} widths (stem first) do not go with {len(strides)} strides")
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.blocks = nn.Sequential(*(_Residual(*wos) for wos in zip(widths, widths[1:], strides, strict=False)))
        self.cells = nn.Conv2d(widths[-1], embed_dim, 1)
        self.proj = nn.Linear(16 * embed_dim, embed_dim)

    def grid(self, pixels: Tensor) -> Tensor:
        """One vector a cell, (B, D, h, w)."""
        return self.cells(self.blocks(self.stem(pixels.contiguous(memory_format=torch.channels_last))))

    def dense(self, pixels: Tensor) -> Tensor:
        """The same, (B, h, w, D)."""
        return self.grid(pixels).permute(0, 2, 3, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.proj(F.adaptive_avg_pool2d(self.grid(pixels), 4).flatten(1))
