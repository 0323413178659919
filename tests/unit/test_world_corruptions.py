"""Corruptions: deterministic, graded, for pictures of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.world import CORRUPTIONS, WorldSpec, corrupt, render, sample_scenes


@pytest.fixture(scope="module")
def images():
    return render(sample_scenes(WorldSpec(), 24, 3)).images


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_is_farther_from_the_original(images, name):
    distance = []
    for severity in range(1, 6):
        out = corrupt(images, name, severity)
        assert out.shape == images.shape and out.dtype == np.uint8
        distance.append(float(((out.astype(float) - images) ** 2).mean()))
    assert distance[0] > 0 and all(b > a for a, b in zip(distance, distance[1:], strict=False)), distance


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_picture_is_corrupted_the_same_anywhere(images, name):
    before = images.copy()
    out = corrupt(images, name, 4, seed=5)
    assert np.array_equal(images, before)  # nothing is changed in place
    assert np.array_equal(out[[7, 2]], corrupt(images[[7, 2]], name, 4, seed=5))
    assert np.array_equal(out[7], corrupt(images[7], name, 4, seed=5))  # one picture without a batch


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "fog", "snowfall", "elastic", "occlusion_patch"])
def test_random_ones_follow_the_seed(images, name):
    assert not np.array_equal(corrupt(images, name, 3, seed=0), corrupt(images, name, 3, seed=1))


@given(h=st.integers(8, 70), w=st.integers(8, 70), name=st.sampled_from(CORRUPTIONS), severity=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_any_shape(h, w, name, severity):
    image = (np.arange(h * w * 3) % 251).astype(np.uint8).reshape(h, w, 3)
    assert corrupt(image, name, severity).shape == (h, w, 3)


def test_strengths_by_hand():
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    noise = corrupt(grey, "gaussian_noise", 3).astype(float) - 128
    assert abs(noise.std() - 28) < 1.5 and abs(noise.mean()) < 1.5
    hit = (corrupt(grey, "impulse_noise", 5) != 128).any(-1).mean()
    assert abs(hit - 0.24) < 0.03
    dark, bright = (corrupt(np.full((1, 64, 64, 3), v, np.uint8), "shot_noise", 2).astype(float).std() for v in (20, 128))
    assert abs(bright / dark - np.sqrt(128 / 20)) < 0.3  # variance proportional to brightness
    assert corrupt(grey, "brightness", 1)[0, 0, 0, 0] == 153
    assert (corrupt(grey, "contrast", 5) == 128).all()
    red = np.zeros((1, 8, 8, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    gone = corrupt(red, "saturate", 5)
    assert (gone == gone[..., :1]).all() and gone[0, 0, 0, 0] == 200 * 77 // 256
    patch = corrupt(np.zeros((1, 50, 50, 3), np.uint8), "occlusion_patch", 5)
    assert (patch > 0).any(-1).sum() == 29 * 29


def test_smooth_pictures_survive_geometry():
    """Blur, motion and elastic jitter leave a constant picture as it is."""
    flat = np.full((2, 40, 40, 3), 93, np.uint8)
    for name in ("gaussian_blur", "motion_blur", "elastic", "pixelate"):
        assert (corrupt(flat, name, 5) == 93).all(), name


def test_bad_input(images):
    with pytest.raises(ClipkitError, match="unknown corruption 'gausian_noise'; did you mean"):
        corrupt(images, "gausian_noise")
    for severity in (0, 6, 2.5):
        with pytest.raises(ClipkitError, match="severity"):
            corrupt(images, "fog", severity)
    for bad in (images.astype(np.float32), images[..., 0], images[0, 0]):
        with pytest.raises(ClipkitError, match="uint8"):
            corrupt(bad, "fog")
    with pytest.raises(ClipkitError, match="seed"):
        corrupt(images, "fog", 1, seed=-1)
