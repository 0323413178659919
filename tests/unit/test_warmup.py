"""The first lesson: labels that fit their pictures, stages in order, a loss that is the sum of its parts."""

from itertools import islice

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from builder.recipes.first_lesson import FACTORS, FactorClassifier, factor_loss, factor_shares, labelled_batches
from clipkit import ClipkitError
from clipkit.train import train
from clipkit.world import WorldSpec, classnames, sample_scenes


class Raw:
    """A model's preprocessing, and nothing else."""

    image_size = 16

    def preprocess_batch(self, images):
        return torch.as_tensor(images.transpose(0, 3, 1, 2) / 255.0, dtype=torch.float32)


ONE = WorldSpec(min_objects=1, max_objects=1)


def test_labels_are_the_scenes_own():
    pixels, labels = next(labelled_batches(Raw(), [(ONE, 1.0)], steps=1, batch=32, seed=3, chunk=64))
    scenes = sample_scenes(ONE, 64, 3)
    assert pixels.shape == (32, 3, 16, 16) and set(labels) == set(FACTORS)
    assert labels["category"].argmax(1).tolist() == scenes.category[:32, 0].tolist() and labels["category"].unique().tolist() == [0, 1]
    assert labels["background"].argmax(1).tolist() == scenes.background[:32].tolist()


def test_several_objects_share_the_label():
    cat, car, red, blue = (
        classnames(f).index(n) for f, n in (("category", "cat"), ("category", "car"), ("colour", "red"), ("colour", "blue"))
    )
    scenes = sample_scenes(WorldSpec(min_objects=3, max_objects=3), 1, 0).replace(category=[[cat, cat, car] + [-1] * 7])
    scenes = scenes.replace(colour=[[red, red, blue] + [0] * 7])
    category, colour = (factor_shares(scenes, f)[0] for f in ("category", "colour"))
    assert category[cat] == pytest.approx(2 / 3) and category[car] == pytest.approx(1 / 3) and category.sum() == pytest.approx(1)
    assert colour[red] == pytest.approx(2 / 3) and colour[blue] == pytest.approx(1 / 3) and colour.sum() == pytest.approx(1)


def test_stages_follow_each_other():
    cats, cars = WorldSpec(max_objects=1, categories=("cat",)), WorldSpec(max_objects=1, categories=("car",))
    seen = [int(y["category"][0].argmax()) for _, y in islice(labelled_batches(Raw(), [(cats, 0.5), (cars, 0.5)], 8, 16, 0, chunk=64), 8)]
    names = classnames("category")
    assert [names[i] for i in seen] == ["cat"] * 4 + ["car"] * 4


def test_loss_is_the_sum_of_cross_entropies():
    torch.manual_seed(0)
    module = FactorClassifier(nn.Flatten(), 12, {"category": 4, "colour": 3})
    x, y = torch.randn(5, 3, 2, 2), {"category": torch.tensor([0, 1, 2, 3, 0]), "colour": torch.tensor([0, 1, 2, 0, 1])}
    shares = {"category": torch.eye(4)[y["category"]], "colour": torch.eye(3)[y["colour"]]}
    flat = x.flatten(1)
    expected = F.cross_entropy(module.heads["category"](flat), y["category"]) + F.cross_entropy(module.heads["colour"](flat), y["colour"])
    torch.testing.assert_close(factor_loss(module, (x, shares)), expected)


def test_it_teaches():
    torch.manual_seed(0)
    tower = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.GELU())
    module = FactorClassifier(tower, 32)
    history = train(module, labelled_batches(Raw(), [(ONE, 1.0)], 60, 64, 0), factor_loss, 60, lr=3e-3)
    assert sum(history.loss[-5:]) < 0.9 * sum(history.loss[:5])  # background and colour come first, shapes much later


def test_an_empty_scene_has_no_label():
    with pytest.raises(ClipkitError, match="without objects"):
        next(labelled_batches(Raw(), [(WorldSpec(min_objects=0, max_objects=0), 1.0)], 2, 4, 0))
