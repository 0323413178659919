"""Views for learning shapes without a label: what a fixed camera sees move is cut out, recoloured and set elsewhere.

A network that only has to find two views of one picture again looks at the easiest sign, and in the world that is the
background, then the colour. So views must agree in neither. Pictures that share a camera (a backdrop) give the backdrop
away: it is their pixelwise median, and the object is what differs from it. No label, caption or mask of the world is read.
Source of the idea: background swapping for self-supervised learning, Ryali et al., arXiv:2103.12719 (there the object
comes from unsupervised saliency).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from builder.recipes.first_lesson import spec_at
from clipkit.errors import ClipkitError
from clipkit.world import WorldSpec, render, sample_scenes
from clipkit.world.backgrounds import VARIANTS


def subtract_backdrops(images: np.ndarray, camera: np.ndarray, threshold: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """What differs from the median of all pictures of the same camera.

    Args: images uint8 (N, S, S, 3); camera integers (N,); threshold: smallest difference of a channel that counts, 0..255.
    Returns: masks bool (N, S, S), backdrops uint8 (cameras, S, S, 3) in order of the camera's number.
    Raises: ClipkitError when a camera has fewer than three pictures: their median is no backdrop.
    """
    numbers, which, counts = np.unique(camera, return_inverse=True, return_counts=True)
    if len(counts) and counts.min() < 3:
        raise ClipkitError(f"camera {numbers[counts.argmin()]} took {counts.min()} pictures; a backdrop is the median of at least three")
    masks, backdrops = np.zeros(images.shape[:3], bool), np.empty((len(numbers), *images.shape[1:]), np.uint8)
    for k in range(len(numbers)):
        rows = which == k
        backdrops[k] = np.median(images[rows], axis=0)
        masks[rows] = np.abs(images[rows].astype(np.int16) - backdrops[k]).max(-1) > threshold
    return masks, backdrops


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _moved(layer: Tensor, theta: Tensor, padding: str) -> Tensor:
    return F.grid_sample(layer, F.affine_grid(theta, layer.shape, align_corners=False), padding_mode=padding, align_corners=False)


def moments(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Centre of mass (B, 2) as x, y and root mean square radius (B,) of masks (B, S, S), in half sides: the picture is -1..1."""
    S, axis_sum = mask.shape[1], mask.sum((1, 2)).clamp_min(1)
    axis = (torch.arange(S) * 2 + 1) / S - 1
    columns, rows = mask.sum(1), mask.sum(2)
    x, y = (columns * axis).sum(1) / axis_sum, (rows * axis).sum(1) / axis_sum
    square = (columns * (axis - x[:, None]) ** 2 + rows * (axis - y[:, None]) ** 2).sum(1) / axis_sum
    return torch.stack([x, y], 1), square.sqrt().clamp_min(0.05)


def outlines(mask: Tensor, side: int = 16) -> Tensor:
    """Masks (B, S, S) centred and brought to one size: (B, side, side), a window of two radii each way."""
    centre, radius = moments(mask)
    theta = torch.diag_embed(2 * radius[:, None].expand(-1, 2))
    grid = F.affine_grid(torch.cat([theta, centre[..., None]], 2), [len(mask), 1, side, side], align_corners=False)
    return F.grid_sample(mask[:, None], grid, align_corners=False)[:, 0]


def placed(mask: Tensor, generator: torch.Generator, ease: float = 0.0, spread: tuple[float, float] = (0.16, 0.5)) -> Tensor:
    """Affine maps (B, 2, 3) for `affine_grid` that give each object a new size, place, turn and perhaps its mirror image.

    Args: mask (B, S, S) in 0..1; ease: 1 leaves all objects upright, central and of one size, 0 none; spread: the radius
    in half sides (see `moments`), drawn evenly on a logarithmic scale.
    """
    B, free = len(mask), 1 - ease
    draw = lambda low, high: _uniform((B,), low, high, generator)  # noqa: E731
    centre, radius = moments(mask)
    low, high = (math.log(s) * free + math.log(0.44) * ease for s in spread)
    grow = (draw(low, high).exp() / radius).clamp(0.4, 1.6)
    room = free * (1 - 1.4 * radius * grow).clamp_min(0)  # so that most of it stays inside
    place = torch.stack([room * draw(-1, 1), room * draw(-1, 1)], 1)
    angle, stretch = free * draw(-0.35, 0.35), (free * draw(-0.15, 0.15)).exp()
    mirror = torch.where(draw(0, 1) < 0.5 * free, -1.0, 1.0)
    c, s = angle.cos(), angle.sin()
    rows = [torch.stack([mirror * c * stretch, -mirror * s * stretch], 1), torch.stack([s / stretch, c / stretch], 1)]
    back = torch.stack(rows, 1) / grow[:, None, None]  # from a place in the view to one in the picture
    return torch.cat([back, (centre - (back @ place[..., None])[..., 0])[..., None]], 2)


def recoloured(layer: Tensor, weight: Tensor, generator: torch.Generator) -> Tensor:
    """`layer` (B, 3, S, S) with its channels mixed at random around its mean under `weight` (B, 1, S, S), and a new mean."""
    B = len(layer)
    mean = (layer * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1)
    mix = F.normalize(torch.randn(B, 3, 3, generator=generator), dim=2) * _uniform((B, 3, 1), 0.5, 1.2, generator)
    return torch.einsum("bij,bjhw->bihw", mix, layer - mean) + _uniform((B, 3, 1, 1), -2, 2, generator)


def cutout_view(pixels: Tensor, masks: Tensor, backdrops: Tensor, generator: torch.Generator, ease: float = 0.0) -> tuple[Tensor, Tensor]:
    """One view of each picture: its object in a new colour, size and place, over any camera's backdrop; and where it is.

    Args: pixels (B, 3, S, S) and backdrops (K, 3, S, S), normalised to about -2..2; masks (B, S, S) in 0..1;
        ease: 1 for a plain ground and objects in the middle (see `placed`), 0 for everything at its hardest.
    Returns: (B, 3, S, S) and the object's mask there, (B, S, S).
    """
    B = len(pixels)
    draw = lambda low, high: _uniform((B,), low, high, generator)  # noqa: E731
    layer = _moved(torch.cat([pixels * masks[:, None], masks[:, None]], 1), placed(masks, generator, ease), "zeros")
    weight = layer[:, 3:].clamp(0, 1)
    thing = recoloured(layer[:, :3] / weight.clamp_min(0.05), weight, generator)
    side, zero = draw(0.7, 1.0), torch.zeros(B)
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    window = torch.stack([side * mirror, zero, (1 - side) * draw(-1, 1), zero, side, (1 - side) * draw(-1, 1)], 1).unflatten(1, (2, 3))
    ground = _moved(backdrops[torch.randint(len(backdrops), (B,), generator=generator)], window, "border")
    ground = torch.lerp(ground, ground.mean((2, 3), keepdim=True), ease)
    view = weight * thing + (1 - weight) * ground
    return view * draw(0.7, 1.2)[:, None, None, None] + draw(-0.3, 0.3)[:, None, None, None], weight[:, 0]


def camera_batches(
    model, stages: Sequence[tuple[WorldSpec, float]], steps: int, batch: int, seed: int, chunk: int = 8192
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For ever: (pixels, masks, all backdrops) for `cutout_view`. `stages` as in `spec_at`, of a training of `steps` batches.

    Which of the 128 backdrops a picture has is read from its scene: the number of the camera, and all that is read of it.
    """
    rng, done = np.random.default_rng([seed, 2]), 0
    for start in count(0, chunk):
        scenes = sample_scenes(spec_at(stages, done, steps), chunk, seed, start=start)
        images = render(scenes, size=model.image_size).images
        camera = scenes.background.astype(np.int64) * VARIANTS + (scenes.seed % np.uint64(VARIANTS)).astype(np.int64)
        masks, backdrops = subtract_backdrops(images, camera)
        found = rng.permutation(np.flatnonzero(masks.sum((1, 2)) >= 12))
        for i in range(0, len(found) - batch + 1, batch):
            done += 1
            rows = found[i : i + batch]
            yield model.preprocess_batch(images[rows]), torch.as_tensor(masks[rows]).float(), model.preprocess_batch(backdrops)
