"""Trident: splice the windows' features first, spread them over the whole picture, and only then ask for words.

    windows -> CLIP's values, mixed by a guide -> one map -> mixed by a global encoder -> joint space -> words

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
from clipkit.dense.proxy import resize
from clipkit.dense.text import cosines
from clipkit.dense.windows import splice, windows
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

    def averaged(self, text: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Segment, then splice: cosines (B, R, …) of each window, averaged where windows overlap, at `size` of a window or its own grid."""
        b, k = self.maps.shape[:2]
        scores = cosines(project(self.model, self.maps.flatten(0, 1)), text).unflatten(0, (b, k))
        if size is None:
            return splice(scores, self.locations, self.grid)
        ratio = size[0] // (self.grid[0])
        fine = resize(scores.flatten(0, 1), tuple(n * ratio for n in scores.shape[-2:])).unflatten(0, (b, k))
        return splice(fine, self.locations * ratio, (self.grid[0] * ratio, self.grid[1] * ratio))

    def spliced(self) -> Tensor:
        """One map (B, W, h, w) of all windows, before the last norm and projection."""
        return splice(self.maps, self.locations, self.grid)

    def scores(self, text: Tensor, affinity: Tensor | None = None, grid: tuple[int, int] | None = None) -> Tensor:
        """Splice, then segment: cosines (B, R, h, w) of the spliced map, spread by an affinity (B, N, N) of the whole picture if given."""
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
    beta: float = 1.2,
    gamma: float = 3.0,
    batch: int = 256,
    **options,
) -> list[Windowed]:
    """The windows' maps of several modes, CLIP's first blocks run once.

    Args:
        model: a DualEncoder. pixels: (B, 3, H, W) in 0..1. normalise: pixels in 0..1 to what the model takes.
        crop, stride: of the windows, pixels. guide: for "proxy", features of windows in 0..1. options: see `value_maps`.
    """
    crops, places = windows(pixels, crop, stride)
    parts: list[list[Tensor]] = [[] for _ in modes]
    for chunk in crops.flatten(0, 1).split(batch):
        features = None if guide is None else guide(chunk)
        for found, part in zip(parts, value_maps(model, normalise(chunk), modes, features, beta, gamma, **options), strict=True):
            found.append(part)
    out = []
    for found in parts:
        maps = torch.cat(found).unflatten(0, crops.shape[:2])
        cell = crop // maps.shape[-1]
        if crop % maps.shape[-1] or (places % cell).any():
            raise ClipkitError(f"windows of {crop} pixels every {stride} do not lie on cells of {cell} pixels; change crop or stride")
        out.append(Windowed(model, maps, places // cell, (pixels.shape[2] // cell, pixels.shape[3] // cell)))
    return out


def trident(
    model,
    pixels: Tensor,
    text: Tensor,
    guide: Guide,
    affinity: Tensor,
    crop: int,
    stride: int,
    normalise: Callable[[Tensor], Tensor],
    affinity_grid: tuple[int, int] | None = None,
    mode: str | Mode = "proxy",
    **options,
) -> Tensor:
    """Cosines (B, R, h, w) of pictures with words, by all steps but the last refinement (see `clipkit.dense.refinement`).

    Args: affinity: (B, N, N), see `filtered_affinity`, of an encoder that saw the whole pictures. Others: see `window_maps`.
    Source: arXiv:2411.09219; the released code runs one picture at a time and takes the guide's mean similarity over all its windows.
    """
    return window_maps(model, pixels, [mode], crop, stride, normalise, guide, **options)[0].scores(text, affinity, affinity_grid)
