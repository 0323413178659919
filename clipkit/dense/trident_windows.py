"""Trident: splice the windows' features first, spread them over the whole picture, and only then ask for words.

    windows -> CLIP's values, mixed by a guide -> one map -> mixed by a global encoder -> joint space -> words

What follows is sharpening, see `clipkit.dense.refinement`. Source: arXiv:2411.09219, section 3.2; the released code runs one
picture at a time and takes the guide's mean similarity over all its windows.

Letters: B pictures, K windows of c pixels a side, D channels, W width of CLIP's tower, h × w the spliced grid, R words.
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
from clipkit.errors import ClipkitError

Pixels = Callable[[Tensor], Tensor]  # of pixels (M, 3, H, W) in 0..1


def window_places(height: int, width: int, crop: int, stride: int) -> Tensor:
    """(K, 4) int64: y0 x0 y1 x1 of windows `stride` apart, row by row, the last of a row moved inside; a small picture is one window.

    >>> window_places(4, 7, 4, 2)[:, 1].tolist()
    [0, 2, 3]
    """
    if crop < 1 or stride < 1 or stride > crop:
        raise ClipkitError(f"windows need 1 <= stride <= crop, got stride {stride} and crop {crop}: a larger stride leaves gaps")

    def starts(length: int) -> list[int]:
        return [min(i * stride, max(length - crop, 0)) for i in range(max(length - crop + stride - 1, 0) // stride + 1)]

    places = [(y, x, min(y + crop, height), min(x + crop, width)) for y in starts(height) for x in starts(width)]
    return torch.tensor(places)


def windows(image: Tensor, crop: int, stride: int, cell: int = 1) -> tuple[Tensor, Tensor]:
    """Overlapping square windows: image (3, H, W) to (K, 3, c, c), or (B, 3, H, W) to (B, K, 3, c, c), and their places (K, 4).

    Args:
        cell: pixels of a grid cell; places are then in cells. Every place must be a whole number of cells.
    Raises ClipkitError for a place between two cells, or a bad stride (see `window_places`).
    """
    if image.ndim not in (3, 4):
        raise ClipkitError(f"windows are cut from (3, H, W) or (B, 3, H, W), got {tuple(image.shape)}")
    places = window_places(*image.shape[-2:], crop, stride)
    if (places % cell).any():
        raise ClipkitError(f"windows of {crop} pixels every {stride} do not lie on cells of {cell} pixels; change crop or stride")
    crops = torch.stack([image[..., y0:y1, x0:x1] for y0, x0, y1, x1 in places.tolist()], dim=image.ndim - 3)
    return crops, places // cell


def splice(features: Tensor, locations: Tensor, grid: tuple[int, int]) -> Tensor:
    """One map of what windows hold: features (K, D, h, w) or (B, K, D, h, w) to (D, H, W) or (B, D, H, W); overlaps are averaged.

    Args: locations: (K, 4) y0 x0 y1 x1 in cells of the whole grid; a window whose map has another size is resized (bilinear).
    Raises ClipkitError when the number of windows differs, one lies outside the grid, or a cell is in none.
    Source: arXiv:2411.09219, section 3.2.
    """
    lead, (k, d) = features.shape[:-4], features.shape[-4:-2]
    if k != len(locations):
        raise ClipkitError(f"{k} windows and {len(locations)} locations do not go together")
    if locations.min() < 0 or (locations[:, 2] > grid[0]).any() or (locations[:, 3] > grid[1]).any():
        raise ClipkitError(f"a window lies outside the grid of {grid[0]} × {grid[1]} cells; give locations in cells of that grid")
    total, count = features.new_zeros(*lead, d, *grid), features.new_zeros(grid)
    for i, (y0, x0, y1, x1) in enumerate(locations.tolist()):
        part = features[..., i, :, :, :]
        part = resize(part.reshape(-1, *part.shape[-3:]), (y1 - y0, x1 - x0)).reshape(*lead, d, y1 - y0, x1 - x0)
        total[..., y0:y1, x0:x1] += part
        count[y0:y1, x0:x1] += 1
    if (count == 0).any():
        raise ClipkitError(f"{int((count == 0).sum())} of the grid's cells lie in no window; use a smaller stride")
    return total / count


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
        """Splice, then segment: cosines (B, R, h, w) of the spliced map, spread by an affinity (B, N, N), see `aggregate`, if given."""
        whole = self.spliced()
        return cosines(project(self.model, whole if affinity is None else aggregate(whole, affinity, grid)), text)


@torch.no_grad()
def window_maps(
    model, pixels: Tensor, modes: list[str | Mode], crop: int, stride: int, normalise: Pixels, guide: Pixels | None = None, **options
) -> list[Windowed]:
    """The windows' maps of several modes, CLIP's first blocks run once.

    Args:
        model: a DualEncoder. pixels: (B, 3, H, W) in 0..1. normalise: pixels in 0..1 to what the model takes.
        crop, stride: of the windows, pixels. guide: for "proxy", features (M, C, h, w) of windows. options: β, γ, σ, see `value_maps`.
    Raises ClipkitError: windows that do not lie on CLIP's cells, and what `value_maps` refuses.
    """
    crops, places = windows(pixels, crop, stride)
    (b, k), chunk, width, out = crops.shape[:2], crops.flatten(0, 1), crops.shape[-1], []
    for maps in value_maps(model, normalise(chunk), modes, None if guide is None else guide(chunk), **options):
        cell = width // maps.shape[-1]
        if width % maps.shape[-1] or (places % cell).any():
            raise ClipkitError(f"windows of {width} pixels every {stride} do not lie on cells of {cell} pixels; change crop or stride")
        out.append(Windowed(model, maps.unflatten(0, (b, k)), places // cell, (pixels.shape[2] // cell, pixels.shape[3] // cell)))
    return out
