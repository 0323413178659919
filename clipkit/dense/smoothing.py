"""Sharpening a label map by colour alone: each pixel takes a mean of its neighbours' probabilities, weighed by how alike they look."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.errors import ClipkitError

AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def colour_smoothing(
    probabilities: Tensor, pixels: Tensor, steps: int = 10, dilations: tuple[int, ...] = (1, 2, 4, 8), width: float = 0.1
) -> Tensor:
    """Pixel-adaptive refinement: maps (B, C, H, W), pixels (B, 3, H, W) to maps (B, C, H, W).

    The weight of a neighbour is softmax over all neighbours of −mean over channels of |difference| / (width · local standard
    deviation); neighbours are the eight around a pixel at each of the distances `dilations`. The pixel itself is not among them.

    Raises ClipkitError: sizes that differ, steps below 0, no dilation.
    Source: Araslanov and Roth, arXiv:2005.08104, section 4.2 (PAMR); the released code of arXiv:2411.09219 has it as an option.
    """
    if not probabilities.ndim == pixels.ndim == 4 or probabilities[:, 0].shape != pixels[:, 0].shape:
        raise ClipkitError(f"maps {tuple(probabilities.shape)} and pixels {tuple(pixels.shape)} must be of the same pictures and size")
    if steps < 0 or not dilations or min(dilations) < 1:
        raise ClipkitError(f"smoothing needs steps >= 0 and dilations >= 1, got {steps} and {dilations}")
    near = torch.stack(list(_each(pixels, dilations)), 2)  # (B, 3, P, H, W): P = 8 · len(dilations) neighbours, edges repeated
    spread = torch.cat([near, *[pixels[:, :, None]] * len(dilations)], 2).std(2, keepdim=True)
    unlike = (near - pixels[:, :, None]).abs() / (1e-8 + width * spread)
    weight = (-unlike.mean(1, keepdim=True)).softmax(2)[:, 0]  # (B, P, H, W)
    for _ in range(steps):
        total = torch.zeros_like(probabilities)
        for p, part in enumerate(_each(probabilities, dilations)):  # one at a time: (B, C, P, H, W) would be large
            total.addcmul_(part, weight[:, p : p + 1])
        probabilities = total
    return probabilities


def smooth_labels(labels: Tensor, probabilities: Tensor, pixels: Tensor, steps: int, dilations: tuple[int, ...] = (1, 2, 4)) -> Tensor:
    """Label maps (B, H, W) after `colour_smoothing` of those classes (B, C, H, W) that the map of each picture has: (B, H, W)."""
    out = torch.empty_like(labels)
    for i, names in enumerate(map(torch.unique, labels)):
        fine = colour_smoothing(probabilities[i : i + 1, names], pixels[i : i + 1], steps, dilations)
        out[i] = names[fine[0].argmax(0)]
    return out


def _each(x: Tensor, dilations: tuple[int, ...]):
    h, w = x.shape[-2:]
    for d in dilations:
        padded = F.pad(x, (d,) * 4, mode="replicate")
        for dy, dx in AROUND:
            yield padded[..., d + dy * d : d + dy * d + h, d + dx * d : d + dx * d + w]
