"""Feature extraction from a folder of JPEG files, against a plain open_clip loop, and read again from the cache.

Run with: pytest tests/benchmarks/test_bench_features.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it computed the same features.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit.datasets import load_dataset
from clipkit.features import extract

pytest.importorskip("pytest_benchmark")
IMAGES, BATCH = 96, 32
# a ViT of two layers at the usual resolution: decoding decides; and a bigger one, where encoding does
MODELS = {"tiny": {"layers": 2, "width": 64}, "small": {"layers": 8, "width": 256}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """JPEG files of 500 x 375 pixels with the detail of a photograph (smooth shapes and some noise)."""
    root = tmp_path_factory.mktemp("jpegs")
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (375, 500, 3))
        file = root / f"class{i % 4}" / f"{i:04d}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, quality=90)
    return root


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """A random open_clip model, made known to open_clip by a configuration of ours."""
    from clipkit.compat import import_open_clip
    from clipkit.models import load_model

    name = f"benchmark-{request.param}"
    vision = {"image_size": 224, "patch_size": 32, "head_width": 32, **MODELS[request.param]}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
    file = tmp_path_factory.mktemp("config") / f"{name}.json"
    file.write_text(json.dumps({"embed_dim": 128, "vision_cfg": vision, "text_cfg": text}))
    import_open_clip().add_model_config(file)
    return load_model(name, "random")


@torch.no_grad()
def plain_loop(model, files: list[str]) -> torch.Tensor:
    """What one writes first: open, preprocess, stack, encode, normalise."""
    features = []
    for i in range(0, len(files), BATCH):
        pixels = torch.stack([model.preprocess(Image.open(file)) for file in files[i : i + BATCH]])
        features.append(torch.nn.functional.normalize(model.module.encode_image(pixels), dim=-1))
    return torch.cat(features)


@pytest.fixture
def fresh_cache(tmp_path_factory, monkeypatch):
    """A function that makes the cache empty, digests of files included."""
    return lambda: monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.benchmark(group="features")
def test_plain_loop(benchmark, model, folder):
    files = load_dataset(f"folder:{folder}").images.items
    features = benchmark.pedantic(plain_loop, (model, files), rounds=3, warmup_rounds=1)
    assert features.shape == (IMAGES, model.embed_dim)


@pytest.mark.benchmark(group="features")
def test_extract_first_time(benchmark, model, folder, fresh_cache):
    model.fingerprint  # noqa: B018  hashing the weights is paid once a model, not once a data set

    def setup():
        fresh_cache()
        return (model, load_dataset(f"folder:{folder}"), BATCH), {}

    features = benchmark.pedantic(extract, setup=setup, rounds=3, warmup_rounds=1)
    reference = plain_loop(model, load_dataset(f"folder:{folder}").images.items)
    torch.testing.assert_close(features.image, reference, rtol=0, atol=1e-5)


@pytest.mark.benchmark(group="features")
def test_extract_from_cache(benchmark, model, folder, fresh_cache):
    fresh_cache()
    first = extract(model, load_dataset(f"folder:{folder}"), BATCH)
    again = benchmark.pedantic(lambda: extract(model, load_dataset(f"folder:{folder}"), BATCH), rounds=5)
    assert again.cached and torch.equal(again.image, first.image)
