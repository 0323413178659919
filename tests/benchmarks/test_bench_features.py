"""Feature extraction from a folder of JPEG files, against a plain open_clip loop, and read again from the cache.

The first extraction decodes in threads while it encodes, so it is timed by the wall clock, and torch may use all cores on both sides.
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

BATCH = 8
# a ViT of two layers at the usual resolution: decoding decides; and a bigger one, where encoding does
MODELS = {"tiny": {"layers": 2, "width": 64}, "small": {"layers": 8, "width": 256}}


@pytest.fixture(scope="module")
def folder(size, tmp_path_factory) -> Path:
    """JPEG files of 500 x 375 pixels with the detail of a photograph (smooth shapes and some noise)."""
    root = tmp_path_factory.mktemp("jpegs")
    rng = np.random.default_rng(0)
    for i in range(size(32, 8)):
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

    name = f"{request.param}-random"
    vision = {"image_size": 224, "patch_size": 32, "head_width": 32, **MODELS[request.param]}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
    file = tmp_path_factory.mktemp("config") / f"{name}.json"
    file.write_text(json.dumps({"embed_dim": 128, "vision_cfg": vision, "text_cfg": text}))
    import_open_clip().add_model_config(file)
    loaded = load_model(name, "random")
    loaded.fingerprint  # noqa: B018  hashing the weights is paid once a model, not once a data set
    return loaded


@torch.no_grad()
def plain_loop(model, files: list[str]) -> torch.Tensor:
    """What one writes first: open, preprocess, stack, encode, normalise."""
    features = []
    for i in range(0, len(files), BATCH):
        pixels = torch.stack([model.preprocess(Image.open(file)) for file in files[i : i + BATCH]])
        features.append(torch.nn.functional.normalize(model.module.encode_image(pixels), dim=-1))
    return torch.cat(features)


@pytest.mark.parametrize("cached", [False, True])
def test_extract(pair, model, folder, cached, tmp_path_factory, monkeypatch):
    def empty_cache():
        """Digests of files included."""
        monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))

    def ours():
        return extract(model, load_dataset(f"folder:{folder}"), BATCH)

    def same(found, wanted):
        assert found.cached == cached
        torch.testing.assert_close(found.image, wanted, rtol=0, atol=1e-5)

    empty_cache()
    if cached:
        ours()
    name = f"features of 32 JPEGs, {model.name}, {'from the cache' if cached else 'first time'}"
    files = load_dataset(f"folder:{folder}").images.items
    how = {"clock": "cpu"} if cached else {"clock": "wall", "setup": empty_cache}
    pair(name, ours, lambda: plain_loop(model, files), "a plain open_clip loop", same, **how)
