"""What the two zero-shot pages measure: by hand on small tables, and on the data sets they are meant for."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from clipkit import load_model
from clipkit.datasets import Task, world_suite
from clipkit.errors import ClipkitError
from clipkit.features.samples import test_pictures as pictures_of
from clipkit.features.text import pool_features
from clipkit.studies.zero_shot_prompt_ensembling import accuracy, alone, effective, follows, from_few, heated
from clipkit.studies.zero_shot_prompt_ensembling_usual import usual_features
from clipkit.zeroshot import prompt_scores, prompt_weights, weighted_classifier


@pytest.fixture(scope="module")
def nano():
    return load_model("nano")


@pytest.fixture(scope="module")
def table():
    g = torch.Generator().manual_seed(0)
    x, t = (F.normalize(torch.randn(*shape, 6, generator=g), dim=-1) for shape in ((40,), (5, 3)))
    return x, (x @ t[2].T).argmax(1), t  # labels are what prompt 2 says


def test_accuracies_by_hand(table):
    x, y, t = table
    own = alone(x, t, y)
    assert own[2] == 100 and own[0] == pytest.approx(100 * sum(int((v @ t[0].T).argmax()) == k for v, k in zip(x, y, strict=True)) / 40)
    assert accuracy(x, t[2], y) == 100


def test_follows(table):
    x, y, t = table
    own = np.arange(5.0)
    scores = {"up": torch.arange(5.0), "down": -torch.arange(5.0)}
    found = follows(scores, own, np.array([np.nan, 1, 2, 3, 4]), own[::-1].copy())
    assert found["up"] == found["words_up"] == found["words_own"] == found["concept_down"] == pytest.approx(1)
    assert found["down"] == found["concept_up"] == pytest.approx(-1)
    assert set(follows(scores, own, None, None)) == {"up", "down"}


def test_temperatures(table):
    x, y, t = table
    scores = torch.tensor([0.0, 0.1, 5.0, 0.2, 0.3])
    found = heated(x, y, t, scores, (0.01, 1e6))
    assert found["heat_0.01"] == 100 and found["effective_0.01"] == pytest.approx(1)
    assert found["heat_1e+06"] == accuracy(x, weighted_classifier(t), y) and found["effective_1e+06"] == pytest.approx(5)
    assert effective(torch.full((4,), 0.25)) == pytest.approx(4)


def test_from_few_uses_the_first_pictures_only(table):
    x, y, t = table
    found = from_few(x, y, t, x.flip(0), 20.0, {"some": 7, "all": 40, "none": 0})
    for arm, size in (("some", 7), ("all", 40), ("none", 1)):
        weights = prompt_weights(prompt_scores(x[:size], t, x, scale=20.0))
        assert found[arm] == accuracy(x, weighted_classifier(t, weights), y)


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


def test_pictures_of_a_folder_are_a_bootstrap_sample(nano, folder):
    task = Task("photographs", folder)
    x, y, data = pictures_of(nano, task, 8, 0)
    assert len(x) == len(y) == 8 and data.classnames == ["cat", "dog"]
    again = pictures_of(nano, task, 8, 1)[0]
    pool = {tuple(np.round(v, 4)) for v in pictures_of(nano, task, 500, 2)[0].tolist()}
    assert len(pool) <= 12 and not torch.equal(x, again)
    with pytest.raises(ClipkitError, match="at least 1"):
        pictures_of(nano, task, 0, 0)


def test_usual_pictures(nano, folder):
    assert len(usual_features(nano, 20)) in range(18, 23)
    assert usual_features(nano, 5, folder).shape == (5, nano.embed_dim)
