"""Test pictures of a seed: new scenes of the world, the seed's own of a folder; features of a pool of prompts."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.datasets import Task, world_suite
from clipkit.errors import ClipkitError
from clipkit.features.samples import test_pictures as pictures_of
from clipkit.features.text import pool_features


@pytest.fixture(scope="module")
def nano():
    return load_model("nano")


def test_pool_features_are_filled_prompts(nano):
    found = pool_features(nano, ["cat", "boat"], ["a {}", "{} in the sea", "{}"])
    assert found.shape == (3, 2, nano.embed_dim)
    torch.testing.assert_close(found[1, 0], nano.text_features(["cat in the sea"])[0], rtol=0, atol=1e-5)


def test_pictures_of_the_world_are_new_for_each_seed(nano):
    (task,) = world_suite("texture")
    x, y, data = pictures_of(nano, task, 12, 0)
    assert x.shape == (12, nano.embed_dim) and (data.scenes.texture[:, 0] == y.numpy()).all()
    assert not torch.equal(x, pictures_of(nano, task, 12, 1)[0])


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "test" / name / f"{i}.png")
    return f"folder:{tmp_path}"


def test_pictures_of_a_folder_are_the_seeds_own(nano, folder, monkeypatch):
    task = Task("photographs", folder)
    monkeypatch.setattr("clipkit.dealing._seeds", [0, 1])
    (x, y, data), (z, _, _) = (pictures_of(nano, task, 8, seed) for seed in (0, 1))
    assert len(x) == len(y) == len(data) == 6 and data.classnames == ["cat", "dog"] and (data.labels == y.numpy()).all()
    assert len({tuple(np.round(v, 4)) for v in [*x.tolist(), *z.tolist()]}) == 12
    with pytest.raises(ClipkitError, match="at least 1"):
        pictures_of(nano, task, 0, 0)
