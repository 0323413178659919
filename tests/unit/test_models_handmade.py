"""Encoders nobody trained: principal directions equal scikit-learn's, fresh weights repeat, `draw` takes both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_dataset
from clipkit.errors import ClipkitError
from clipkit.features.samples import draw
from clipkit.models.baselines import PixelPCA, untrained


@pytest.fixture(scope="module")
def pictures():
    return load_dataset("world", n=60, seed=5).to_array()


def test_directions_are_scikit_learns(pictures):
    from sklearn.decomposition import PCA

    tower = PixelPCA(pictures, dims=8)
    pixels = tower.preprocess_batch(pictures)
    assert pixels.shape == (60, 3, 16, 16) and pixels.min() >= 0 and pixels.max() <= 1
    theirs = PCA(8, svd_solver="full").fit_transform(pixels.flatten(1).double().numpy())
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = tower.encode_image(pixels).numpy()
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-5)  # a direction has no sign of its own
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


def test_arrays_and_pil_pictures_are_the_same_and_shrinking_is_a_mean_rounded_twice(pictures):
    tower = PixelPCA(pictures, dims=4)
    a, b = tower.preprocess_batch(pictures[:3]), tower.preprocess_batch([Image.fromarray(p) for p in pictures[:3]])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(tower.image_features(pictures[:3]), tower.encode_image(a))
    means = pictures[0].reshape(16, 2, 16, 2, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(a[0].permute(1, 2, 0), means, atol=1.01 / 255)


def test_the_fingerprint_tells_fits_apart(pictures):
    one, same, other = PixelPCA(pictures, 4), PixelPCA(pictures, 4), PixelPCA(pictures[:40], 4)
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_of_a_data_set():
    data = load_dataset("world", n=30, seed=5)
    tower = PixelPCA.of(data, n=20, dims=64)
    assert tower.embed_dim == 20 and tower.fingerprint == PixelPCA.of(data, n=20).fingerprint != PixelPCA.of(data).fingerprint


@pytest.mark.parametrize(("n", "dims"), [(5, 6), (60, 0), (60, 769)])
def test_too_many_directions(pictures, n, dims):
    with pytest.raises(ClipkitError, match="directions"):
        PixelPCA(pictures[:n], dims)


def test_fresh_weights_repeat_and_leave_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, same, other = untrained(seed=0), untrained(seed=0), untrained(seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_draw_takes_them_and_gives_the_same_pictures(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))
    draws = [draw(m, "world", 0, shots=1, n_val=1, n_test=20, factor="texture") for m in (PixelPCA(pictures, 4), untrained())]
    assert draws[0].test[0].shape == (20, 4)
    for part in ("pool", "val", "test"):
        np.testing.assert_array_equal(*(getattr(d, part)[1] for d in draws))
