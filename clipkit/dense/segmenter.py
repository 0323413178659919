"""A small promptable segmenter, the book's stand-in for SAM: an encoder that groups pixels, a decoder that answers prompts.

Like SAM's image encoder, the last layer is global attention over the whole picture, whose attention matrix and values
tell which cells belong together. Like SAM's decoder, the other half takes a box, a point and a coarse mask, and gives a
sharp mask and a guess of its own quality. Unlike SAM it has half a million weights and has seen drawings only.

Letters: B pictures, S pixels a side, h × w = N cells of the grid (S / 4 a side), H heads, Q prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.models.parts import load_part

STRIDE = 4  # pixels of a cell
MEAN, STD = 0.5, 0.25  # of pixels in 0..1, as for the other small models


@dataclass
class Embedding:
    """What the encoder knows of B pictures: `features` (B, C, h, w), `attention` (B, H, N, N) with rows that sum to 1,
    `values` (B, H, N, d), and `edges` (B, 9, 16, h, w), how each of a cell's 4 × 4 pixels mixes the nine cells around it."""

    features: Tensor
    attention: Tensor
    values: Tensor
    edges: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        return tuple(self.features.shape[-2:])

    def __getitem__(self, rows) -> Embedding:
        """Some of the pictures, by a slice or positions."""
        return Embedding(self.features[rows], self.attention[rows], self.values[rows], self.edges[rows])


def _conv(width: int, out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, 3, stride, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def _grow(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Segmenter(nn.Module):
    """`encode` pictures once, then `decode` any number of prompts on them.

    The decoder works on the grid. Its mask is brought to full resolution by weights that come from the picture alone: each
    pixel is a mixture of the nine cells around it (convex upsampling, Teed and Deng, arXiv:2003.12039), so that edges fall where
    the picture has them, at no cost for another prompt.

    Args: widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution. heads, head_width: of the attention.
    """

    def __init__(self, widths: tuple[int, ...] = (20, 48, 64, 80), heads: int = 2, head_width: int = 24, prompt_width: int = 40):
        super().__init__()
        b, c, d, e = widths
        self.settings = {"widths": list(widths), "heads": heads, "head_width": head_width, "prompt_width": prompt_width}
        self.heads, self.head_width = heads, head_width
        self.stem = _conv(3, b, 2)
        self.quarter = nn.Sequential(_conv(b, c, 2), _conv(c, c))
        self.eighth = nn.Sequential(_conv(c, d, 2), _conv(d, d))
        self.sixteenth = nn.Sequential(_conv(d, e, 2), _conv(e, e), _conv(e, e, dilation=2))
        self.down, self.across = nn.Conv2d(e, d, 1), _conv(d, d)
        self.lower, self.merge = nn.Conv2d(d, c, 1), _conv(c, c)
        inner = heads * head_width
        self.norm, self.qkv, self.out = nn.LayerNorm(c), nn.Linear(c, 3 * inner), nn.Linear(inner, c)
        self.far = nn.Parameter(torch.zeros(heads))  # how much each head minds the distance of a cell
        self.edge = nn.Sequential(nn.Conv2d(3 * STRIDE**2 + 4 * b + c, 96, 1), nn.ReLU(inplace=True), nn.Conv2d(96, 9 * STRIDE**2, 1))
        p = prompt_width
        self.prompt = nn.ModuleList([_conv(c + 5, p), _conv(p, p, dilation=2), _conv(p, p, dilation=4)])
        self.mask = nn.Conv2d(p, 1, 1)
        self.quality = nn.Sequential(nn.Linear(2 * p + 2, 48), nn.ReLU(), nn.Linear(48, 1))

    @property
    def header(self) -> dict:
        """What its file needs besides the weights, see `clipkit.models.parts`."""
        return {"segmenter": self.settings}

    def encode(self, pixels: Tensor) -> Embedding:
        """Pixels (B, 3, S, S) in 0..1, sides multiples of 16, to an `Embedding`. Raises ClipkitError for another shape."""
        if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.shape[2] % 16 or pixels.shape[3] % 16 or not pixels.is_floating_point():
            raise ClipkitError(f"the segmenter takes pixels (B, 3, S, S) in 0..1, sides multiples of 16; got {tuple(pixels.shape)}")
        x = ((pixels - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        half = self.stem(x)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        eighth = self.across(eighth + _grow(self.down(self.sixteenth(eighth))))
        merged = self.merge(quarter + _grow(self.lower(eighth)))  # (B, C, h, w)
        attention, values, mixed = self._attend(merged)
        features = merged + mixed
        edges = self.edge(torch.cat([F.pixel_unshuffle(x, STRIDE), F.pixel_unshuffle(half, 2), features], dim=1))
        edges = edges.float().unflatten(1, (9, STRIDE**2)).softmax(1)
        return Embedding(features, attention, values, edges)

    def _attend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, c, h, w = x.shape
        t = self.norm(x.flatten(2).transpose(1, 2))  # (B, N, C)
        q, k, v = self.qkv(t).reshape(b, h * w, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)  # (B, H, N, d)
        attention = (q @ k.transpose(-1, -2) * self.head_width**-0.5 + self._nearness(h, w)).float().softmax(-1)
        mixed = self.out((attention.to(v.dtype) @ v).transpose(1, 2).reshape(b, h * w, -1))
        return attention, v, mixed.transpose(1, 2).reshape(b, c, h, w)

    def _nearness(self, h: int, w: int) -> Tensor:
        """(H, N, N): minus the squared distance in cells over 64, times a positive weight for each head."""
        rows, columns = (torch.arange(n, device=self.far.device, dtype=torch.float32) for n in (h, w))
        place = torch.cartesian_prod(rows, columns)  # (N, 2)
        return -F.softplus(self.far)[:, None, None] * torch.cdist(place, place).square() / 64

    def decode(self, embedding: Embedding, image: Tensor, boxes: Tensor, points: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Masks for Q prompts.

        Args:
            image: (Q,) int64, which picture of the embedding. boxes: (Q, 4) x0 y0 x1 y1 and points: (Q, 2) x y, in pixels;
                NaN where a prompt has none. masks: (Q, h, w) in 0..1, a coarse guess, 0.5 where nothing is known.

        Returns: mask logits (Q, S, S), and the IoU (Q,) in 0..1 that the decoder expects its mask to have.
        Raises ClipkitError: shapes that do not fit.
        """
        q, (h, w) = len(image), embedding.grid
        if boxes.shape != (q, 4) or points.shape != (q, 2) or masks.shape != (q, h, w):
            raise ClipkitError(
                f"{q} prompts on a grid of {h} × {w} need boxes ({q}, 4), points ({q}, 2), masks ({q}, {h}, {w}); got "
                f"{tuple(boxes.shape)}, {tuple(points.shape)}, {tuple(masks.shape)}"
            )
        hints = torch.cat([self._hints(embedding, image, boxes, points), masks[:, None] * 2 - 1], dim=1)  # (Q, 5, h, w)
        x = torch.cat([embedding.features[image], hints.to(embedding.features.dtype)], dim=1)
        x = self.prompt[0](x)
        for layer in self.prompt[1:]:
            x = x + layer(x)
        coarse = self.mask(x).float()  # (Q, 1, h, w)
        around = F.unfold(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 3).reshape(q, 9, 1, h, w)
        logits = F.pixel_shuffle((around * embedding.edges[image]).sum(1), STRIDE)[:, 0]
        inside = coarse.sigmoid()
        within = (x * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1e-3)
        sure = (2 * inside - 1).abs().mean((2, 3))
        seen = torch.cat([x.mean((2, 3)), within, inside.mean((2, 3)), sure], dim=1)
        return logits, self.quality(seen.float())[:, 0].float().sigmoid()

    def _hints(self, embedding: Embedding, image: Tensor, boxes: Tensor, points: Tensor) -> Tensor:
        """(Q, 4, h, w): inside the box, near the point, attention of the point's cell, likeness to it."""
        (h, w), q = embedding.grid, len(image)
        y, x = torch.arange(h, device=boxes.device) + 0.5, torch.arange(w, device=boxes.device) + 0.5
        known = points.isfinite().all(1)
        edge = torch.where(boxes.isfinite(), boxes / STRIDE, boxes.new_tensor([0, 0, w, h]))
        across = (x >= edge[:, :1]) & (x <= edge[:, 2:3])
        down = (y >= edge[:, 1:2]) & (y <= edge[:, 3:])
        box = (down[:, :, None] & across[:, None]).float()
        px, py = (points.nan_to_num() / STRIDE).unbind(1)
        near = torch.exp(-((y[:, None] - py[:, None, None]) ** 2 + (x - px[:, None, None]) ** 2) / 4)
        cell = (py.long().clamp(0, h - 1) * w + px.long().clamp(0, w - 1)).to(image.device)
        row = embedding.attention[image, :, cell].mean(1) * (h * w) ** 0.5  # (Q, N)
        unit = F.normalize(embedding.values.float(), dim=-1)
        alike = torch.einsum("qhd,qhnd->qn", unit[image, :, cell], unit[image]) / unit.shape[1]
        hints = torch.stack([near, row.reshape(q, h, w), alike.reshape(q, h, w)], 1) * known[:, None, None, None]
        return torch.cat([box[:, None], hints], dim=1)


def load_segmenter(name: str = "nano-sam", device: str = "auto", folder: str | Path | None = None) -> Segmenter:
    """A shipped segmenter, or one saved at the path `name`, frozen, in float32; its `fingerprint` changes with its weights.

    Raises ClipkitError when the file is missing or holds something else.
    """
    return load_part("segmenter", lambda header: Segmenter(**header["segmenter"]), name, device, folder).requires_grad_(False)


def to_pixels(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in 0..1, what a segmenter takes."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
