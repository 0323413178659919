"""Windows over a picture, and putting together again what was computed in them.

Letters: B pictures, K windows, D channels, c side of a window in pixels, h × w its grid, H × W the whole grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit.dense.proxy import resize
from clipkit.errors import ClipkitError


def window_places(height: int, width: int, crop: int, stride: int) -> Tensor:
    """(K, 4) int64: y0 x0 y1 x1 of windows `stride` apart, row by row; the last of a row is moved inside the picture.

    A picture smaller than the window is one window.

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
        raise ClipkitError(
            f"windows of {crop} pixels every {stride} do not lie on cells of {cell} pixels; resize the picture or change them"
        )
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
