"""The probes of a card, on models whose answers are known beforehand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from builder.recipes import probes
from builder.recipes.pairs import pair_batches
from clipkit import ClipkitError
from clipkit.pretrain import attribute_binding
from clipkit.world import WorldSpec


class Oracle:
    """Sees the scene, not the pixels: features are bags of words, so word order is lost on purpose."""

    image_size = 32

    def __init__(self, monkeypatch):
        self.scenes = None
        for module in (probes, attribute_binding):
            monkeypatch.setattr(module, "scene_features", lambda model, scenes: self.image(scenes))

    def text_features(self, texts):
        rows = torch.zeros(len(texts), 4096)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().replace(",", " ").split():
                row[sum(ord(c) * 31**k for k, c in enumerate(word)) % 4096] += 1
        return F.normalize(rows, dim=-1)

    def image(self, scenes):
        return self.text_features([" ".join(f"{o.colour} {o.category}" for o in s.objects) + f" {s.background}" for s in scenes])


def test_an_oracle_reads_categories_colours_and_places(monkeypatch):
    oracle = Oracle(monkeypatch)
    # Its word buckets and the prompts' other words cost a little; a probe that mixed up labels would be near chance (2 %).
    for factor in ("category", "colour", "background"):
        assert probes.zeroshot_accuracy(oracle, factor, n=60) > 85


def test_a_bag_of_words_is_at_chance_on_order(monkeypatch):
    out = probes.relations_and_order(Oracle(monkeypatch), n=60)
    assert out["word_order"] == pytest.approx(50)  # same words: a tie, which counts as half


def test_two_way_counts_ties_as_half(monkeypatch):
    oracle = Oracle(monkeypatch)
    from clipkit.world import sample_scenes

    scenes = sample_scenes(WorldSpec(max_objects=1), 4, 0)
    right = [f"{s.objects[0].colour} {s.objects[0].category}" for s in scenes]
    assert attribute_binding.two_way(oracle, right, ["nothing"] * 4, scenes) == 100
    assert attribute_binding.two_way(oracle, ["nothing"] * 4, right, scenes) == 0
    assert attribute_binding.two_way(oracle, right, right, scenes) == 50


def test_knn_by_hand():
    x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    assert probes.knn_accuracy(x, torch.tensor([0, 0, 1]), torch.tensor([[1.0, 0.05], [0.0, 1.0]]), torch.tensor([0, 0]), k=1) == 50


class Blank:
    """Enough of a model to draw batches: pixels are the first row's mean colour, tokens the text's length."""

    image_size = 32

    def preprocess_batch(self, images):
        return torch.as_tensor(images.astype(np.float32).transpose(0, 3, 1, 2))

    def tokenize(self, texts):
        self.texts = texts
        return torch.tensor([[len(t)] for t in texts])


def test_pair_batches_repeat_and_pair():
    def draw(seed):
        stream = pair_batches(Blank(), [(WorldSpec(max_objects=1), 1.0)], {"short": 1.0}, 16, seed, chunk=64)
        return [next(stream) for _ in range(6)]

    a, b, c = draw(0), draw(0), draw(1)
    assert all(torch.equal(x, y) and torch.equal(s, t) for (x, s), (y, t) in zip(a, b, strict=True))
    assert not torch.equal(a[0][0], c[0][0])
    assert a[0][0].shape == (16, 3, 32, 32)


def test_hard_batches_share_background():
    model = Blank()
    stream = pair_batches(model, [(WorldSpec(max_objects=1), 1.0)], {"short": 1.0}, 8, 0, chunk=512, hard=1.0)
    spread = [next(stream)[0][:, :, 0, 0].std(0).mean().item() for _ in range(10)]
    easy = pair_batches(model, [(WorldSpec(max_objects=1), 1.0)], {"short": 1.0}, 8, 0, chunk=512, hard=0.0)
    assert np.mean(spread) < 0.5 * np.mean([next(easy)[0][:, :, 0, 0].std(0).mean().item() for _ in range(10)])


def test_weights_must_be_positive():
    with pytest.raises(ClipkitError, match="positive weight"):
        next(pair_batches(Blank(), [(WorldSpec(), 0.0)], {"short": 1.0}, 4, 0))


def test_weak_numbers_are_said():
    said = probes.known_failures(
        {"counting": {"all": 20.0, "1": 80.0, "9": 5.0}, "knn_colour": 10.0, "knn_background": 60.0, "relation": 50.0}
    )
    assert [s.split(":")[0] for s in said] == ["counting beyond four", "colour", "left/right and above/below"]
    assert "5 % right" in said[0] and probes.known_failures({}) == []
