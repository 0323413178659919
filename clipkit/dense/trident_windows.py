"""Trident: splice the windows' features first, spread them over the whole picture, and only then ask for words.

    windows -> CLIP's values, mixed by a guide -> one map -> mixed by a global encoder -> joint space -> words

What follows is sharpening, see `clipkit.dense.refinement`. Source: arXiv:2411.09219, section 3.2; the released code runs one
picture at a time and takes the guide's mean similarity over all its windows.

Letters: B pictures, K windows, W width of CLIP's tower, h × w the spliced grid, R words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clipkit.dense.affinity import aggregate
from clipkit.dense.attention import Mode
from clipkit.dense.patches import project, value_maps
from clipkit.dense.sliding_windows import splice, windows
from clipkit.dense.text import cosines
from clipkit.errors import ClipkitError

Guide = Callable[[Tensor], Tensor]  # pixels (M, 3, c, c) in 0..1 to features (M, C, h, w)


@dataclass
class Windowed:
    """What the windows of B pictures hold: `maps` (B, K, W, h', w'), one for each window, and where each lies in the whole grid.

    locations (K, 4) y0 x0 y1 x1 in cells; grid (h, w); `model` brings maps to the joint space.
    """

    model: object
    maps: Tensor
    locations: Tensor
    grid: tuple[int, int]

    def averaged(self, text: Tensor) -> Tensor:
        """Segment, then splice: cosines (B, R, h, w) of each window, averaged where windows overlap."""
        scores = cosines(project(self.model, self.maps.flatten(0, 1)), text)
        return splice(scores.unflatten(0, self.maps.shape[:2]), self.locations, self.grid)

    def spliced(self) -> Tensor:
        """One map (B, W, h, w) of all windows, before the last norm and projection."""
        return splice(self.maps, self.locations, self.grid)

    def scores(self, text: Tensor, affinity: Tensor | None = None, grid: tuple[int, int] | None = None) -> Tensor:
        """Splice, then segment: cosines (B, R, h, w) of the spliced map, spread by an affinity (B, N, N) of the whole picture if given.

        Args: grid: rows and columns of the affinity's cells, see `aggregate`.
        """
        whole = self.spliced()
        return cosines(project(self.model, whole if affinity is None else aggregate(whole, affinity, grid)), text)


@torch.no_grad()
def window_maps(
    model,
    pixels: Tensor,
    modes: list[str | Mode],
    crop: int,
    stride: int,
    normalise: Callable[[Tensor], Tensor],
    guide: Guide | None = None,
    batch: int = 256,
    **options,
) -> list[Windowed]:
    """The windows' maps of several modes, CLIP's first blocks run once.

    Args:
        model: a DualEncoder. pixels: (B, 3, H, W) in 0..1. normalise: pixels in 0..1 to what the model takes.
        crop, stride: of the windows, pixels. guide: for "proxy", features of windows in 0..1. options: β, γ, σ, see `value_maps`.
    Raises ClipkitError: windows that do not lie on CLIP's cells, and what `value_maps` refuses.
    """
    crops, places = windows(pixels, crop, stride)
    parts: list[list[Tensor]] = [[] for _ in modes]
    for chunk in crops.flatten(0, 1).split(batch):
        features = None if guide is None else guide(chunk)
        for found, part in zip(parts, value_maps(model, normalise(chunk), modes, features, **options), strict=True):
            found.append(part)
    out = []
    for found in parts:
        maps = torch.cat(found).unflatten(0, crops.shape[:2])
        width = crops.shape[-1]
        cell = width // maps.shape[-1]
        if width % maps.shape[-1] or (places % cell).any():
            raise ClipkitError(f"windows of {width} pixels every {stride} do not lie on cells of {cell} pixels; change crop or stride")
        out.append(Windowed(model, maps, places // cell, (pixels.shape[2] // cell, pixels.shape[3] // cell)))
    return out
