"""Scenes a second and bytes a scene, on one core.

Run with: pytest tests/benchmarks/test_bench_world.py --benchmark-enable --benchmark-columns=mean,ops,rounds
Nothing here asserts on time. `extra_info` holds scenes a second and the memory of 50,000 scenes.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from clipkit.world import WorldSpec, render, sample_scenes
from clipkit.world.image_corruptions import CORRUPTIONS, corrupt

pytest.importorskip("pytest_benchmark")
SCENES = 1000
MIXED = WorldSpec(max_objects=3)


def _report(benchmark, n: int, **more) -> None:
    if benchmark.stats is not None:  # None when benchmarks are disabled
        benchmark.extra_info["scenes_per_second"] = round(n / benchmark.stats.stats.mean)
    benchmark.extra_info.update(more)


def test_sampling(benchmark):
    scenes = benchmark(sample_scenes, MIXED, SCENES, 0)
    size = sum(getattr(scenes, f.name).nbytes for f in fields(scenes))
    assert len(scenes) == SCENES
    _report(benchmark, SCENES, megabytes_50k_scenes=round(size / SCENES * 50_000 / 1e6, 1))


@pytest.mark.parametrize(
    ("size", "objects", "masks"), [(32, 1, True), (32, 3, True), (32, 3, False), (32, 10, True), (64, 3, True), (128, 3, True)]
)
def test_rendering(benchmark, size, objects, masks):
    n = SCENES if size == 32 else SCENES // 5
    scenes = sample_scenes(WorldSpec(max_objects=objects), n, 0)
    render(scenes, size, masks)  # draws the sprites once
    drawn = benchmark(render, scenes, size, masks)
    assert drawn.images.shape == (n, size, size, 3)
    layers = [getattr(drawn, f.name) for f in fields(drawn)]
    held = sum(a.nbytes for a in layers if isinstance(a, np.ndarray))
    _report(benchmark, n, megabytes_50k_scenes=round(held / n * 50_000 / 1e6, 1))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption(benchmark, name):
    images = render(sample_scenes(MIXED, 100, 0)).images
    out = benchmark(corrupt, images, name, 3)
    assert out.shape == images.shape
    _report(benchmark, 100)
