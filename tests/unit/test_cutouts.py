"""Objects cut out by their cameras' medians: exact on planted scenes; outlines that forget place and size; views that repeat."""

from itertools import islice

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from builder.recipes.cutouts import camera_batches, cutout_view, moments, outlines, placed, recoloured, subtract_backdrops
from clipkit.errors import ClipkitError


def planted(n=9, side=16):
    """Two cameras with random backdrops, one bright square a picture, each somewhere else."""
    rng = np.random.default_rng(0)
    grounds = rng.integers(0, 120, (2, side, side, 3), dtype=np.uint8)
    camera = np.arange(n) % 2
    images, masks = grounds[camera].copy(), np.zeros((n, side, side), bool)
    for i in range(n):
        y, x = 1 + 3 * (i // 2), 3 * (i // 2)
        images[i, y : y + 3, x : x + 3], masks[i, y : y + 3, x : x + 3] = 250, True
    return images, camera, grounds, masks


def disc(x, y, radius, side=32):
    axis = (torch.arange(side) * 2 + 1) / side - 1
    return ((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2 <= radius**2).float()


def test_the_median_is_the_backdrop_and_the_rest_the_object():
    images, camera, grounds, truth = planted()
    masks, backdrops = subtract_backdrops(images, camera)
    assert (backdrops == grounds).all() and (masks == truth).all()


def test_a_median_needs_three_pictures():
    images, camera, _, _ = planted(5)
    with pytest.raises(ClipkitError, match="camera 1 took 2 pictures"):
        subtract_backdrops(images, camera)


def test_world_objects_are_found():
    from clipkit.world import WorldSpec, render, sample_scenes
    from clipkit.world.backgrounds import VARIANTS

    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=1, sizes=("medium", "large")), 2048, 0)
    drawn = render(scenes, size=32, masks=True)
    camera = scenes.background.astype(int) * VARIANTS + (scenes.seed % np.uint64(VARIANTS)).astype(int)
    masks, _ = subtract_backdrops(drawn.images, camera)
    truth = drawn.instances > 0
    overlap = (masks & truth).sum((1, 2)) / np.maximum(1, (masks | truth).sum((1, 2)))
    assert np.median(overlap) > 0.75


def test_moments_of_a_disc():
    centre, radius = moments(torch.stack([disc(0.2, -0.4, 0.5), disc(0, 0, 0.25)]))
    torch.testing.assert_close(centre, torch.tensor([[0.2, -0.4], [0.0, 0.0]]), atol=0.02, rtol=0)
    torch.testing.assert_close(radius, torch.tensor([0.5, 0.25]) / 2**0.5, atol=0.02, rtol=0)  # a disc's rms radius is r/√2


def test_outlines_forget_place_and_size():
    a, b = outlines(torch.stack([disc(0.3, 0.2, 0.3), disc(-0.2, 0.1, 0.55)]))
    assert (a - b).abs().mean() < 0.05 and 0.3 < a.mean() < 0.5  # a disc of r in a window of 2√2 r: π/8


def test_ease_one_puts_every_object_in_the_middle_at_one_size():
    masks = torch.stack([disc(0.3, 0.2, 0.45), disc(-0.2, -0.3, 0.6)])
    theta = placed(masks, torch.Generator().manual_seed(0), ease=1.0)
    moved = F.grid_sample(masks[:, None], F.affine_grid(theta, [2, 1, 32, 32], align_corners=False), align_corners=False)[:, 0]
    centre, radius = moments(moved)
    assert centre.abs().max() < 0.05 and (radius - 0.44).abs().max() < 0.03


def test_colour_is_gone_and_structure_stays():
    g = torch.Generator().manual_seed(0)
    layer, weight = torch.randn(4, 3, 8, 8, generator=g), torch.ones(4, 1, 8, 8)
    a, b = (recoloured(layer, weight, torch.Generator().manual_seed(s)) for s in (1, 2))
    assert (a.mean((2, 3)) - b.mean((2, 3))).abs().mean() > 0.3  # a new mean each time
    flat = layer.mean((2, 3), keepdim=True).expand_as(layer)
    assert recoloured(flat, weight, g).std((2, 3)).max() < 1e-4  # what had no structure gets none


def test_views_repeat_keep_shape_and_show_the_object_where_they_say():
    g = torch.Generator().manual_seed(0)
    pixels, masks, grounds = torch.randn(6, 3, 32, 32, generator=g), disc(0, 0, 0.5).expand(6, -1, -1), torch.zeros(2, 3, 32, 32)
    (view, where), (again, _) = (cutout_view(pixels, masks, grounds, torch.Generator().manual_seed(1)) for _ in range(2))
    assert view.shape == pixels.shape and where.shape == masks.shape and torch.equal(view, again)
    outside = (where == 0)[:, None].expand_as(view)
    spread = [view[i][outside[i]].std() for i in range(6)]  # the ground of this test is even, so what is outside stays even
    assert max(spread) < 1e-4 and where.min() >= 0 and where.max() <= 1


def test_camera_batches_hold_pictures_masks_and_backdrops():
    from clipkit import load_model
    from clipkit.world import WorldSpec

    clip = load_model("nano", device="cpu")
    stages = [(WorldSpec(max_objects=1, sizes=("large",)), 0.5), (WorldSpec(max_objects=1), 0.5)]
    batches = list(islice(camera_batches(clip, stages, 5, 8, seed=0, chunk=2048), 5))
    assert len(batches) == 5
    for pixels, masks, backdrops in batches:
        assert pixels.shape == (8, 3, 32, 32) and masks.shape == (8, 32, 32) and backdrops.shape == (128, 3, 32, 32)
        assert (masks.sum((1, 2)) >= 12).all()
    again = next(camera_batches(clip, stages, 5, 8, seed=0, chunk=2048))
    assert torch.equal(again[0], batches[0][0])
