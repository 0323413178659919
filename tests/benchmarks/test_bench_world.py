"""Scenes a second on one core, and the memory of 50,000 scenes. The target is 2,000 scenes of 32 pixels a second, with masks."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from clipkit.world import WorldSpec, render, sample_scenes
from clipkit.world.image_corruptions import CORRUPTIONS, corrupt

MIXED = WorldSpec(max_objects=3)


def memory(record, n: int) -> str:
    """What 50,000 scenes would hold, from the arrays of n."""
    held = sum(v.nbytes for v in (getattr(record, f.name) for f in fields(record)) if isinstance(v, np.ndarray))
    return f"50,000 hold {held / n * 50_000 / 1e6:,.0f} MB"


def test_sampling(pace, size):
    n = size(1000, 100)

    def all_there(scenes):
        assert len(scenes) == n

    note = memory(sample_scenes(MIXED, n, 0), n)
    pace("sample, 3 objects", lambda: sample_scenes(MIXED, n, 0), all_there, n, "scenes", note)


@pytest.mark.parametrize(
    ("side", "objects", "masks"), [(32, 1, True), (32, 3, True), (32, 3, False), (32, 10, True), (64, 3, True), (128, 3, True)]
)
def test_rendering(pace, size, side, objects, masks):
    n = size(200, 20)
    scenes = sample_scenes(WorldSpec(max_objects=objects), n, 0)

    def of_the_size(drawn):
        assert drawn.images.shape == (n, side, side, 3)

    name = f"render, {side} px, {objects} object{'s' * (objects > 1)}, {'masks' if masks else 'no masks'}"
    note = memory(render(scenes, side, masks), n)
    pace(name, lambda: render(scenes, side, masks), of_the_size, n, "scenes", note)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption(pace, size, name):
    images = render(sample_scenes(MIXED, size(100, 10), 0)).images

    def changed(out):
        assert out.shape == images.shape and (out != images).any()

    pace(f"corrupt, {name}", lambda: corrupt(images, name, 3), changed, len(images), "pictures")
