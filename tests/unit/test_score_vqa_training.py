"""The lessons at work: words find their patches, an answerer learns a small world, and a recipe leaves a checkpoint and a card."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipkit.pretrain.train import train
from clipkit.score import vqa_training
from clipkit.score.nano_vqa import NanoVQA, load_vqa
from clipkit.score.vqa_lessons import ANSWERS, lesson_questions, lesson_scenes, question_vocabulary
from clipkit.score.vqa_training import accuracy_by_kind, align, answer_loss, lesson_batches
from clipkit.world.message import truths
from clipkit.world.taxonomy import CATEGORIES, COLOURS

WIDTH = 32


@pytest.fixture(scope="module")
def toy():
    """Scenes, and picture tokens that say it all: on a grid of 4 x 4, each thing's category and colour as fixed vectors."""
    scenes, rng = lesson_scenes(400, 3), np.random.default_rng(0)
    code = {name: torch.from_numpy(rng.normal(size=WIDTH)).float() for name in (*CATEGORIES, *COLOURS)}
    tokens = 0.1 * torch.randn(len(scenes), 16, WIDTH, generator=torch.Generator().manual_seed(0))
    for i, truth in enumerate(truths(scenes)):
        for thing in truth.things:
            x, y = (min(3, max(0, int(4 * v))) for v in (thing.x, thing.y))
            tokens[i, 4 * y + x] += code[thing.category] + code[thing.colour]
    return scenes, tokens


def small():
    torch.manual_seed(0)
    return NanoVQA(question_vocabulary(), ANSWERS, WIDTH, 16, width=32, layers=2, heads=2)


def test_after_the_first_lesson_words_find_their_patches(toy):
    scenes, tokens = toy
    net = small()
    history = align(net, scenes[:300], tokens[:300], 150, 64, lr=1e-2)
    assert history.loss[-1] < 0.5 * history.loss[0]
    words = net.vocabulary
    names = [n for n in (*CATEGORIES, *COLOURS) if n in words]
    with torch.no_grad():
        vectors = net.words(torch.tensor([words.id(n) for n in names])).expand(100, -1, -1)
        strength = net.look_up.strength(net.look_up.similarity(vectors, net.project(tokens[300:])))
    there = torch.tensor([[any(n in (t.category, t.colour) for t in truth.things) for n in names] for truth in truths(scenes[300:])])
    wins = (strength[there][:, None] > strength[~there][None]).double().mean()  # the area under the curve, in new pictures
    assert wins > 0.9
    again = small()
    align(again, scenes[:300], tokens[:300], 150, 64, lr=1e-2)
    assert torch.equal(again.words.weight, net.words.weight)


def test_an_answerer_learns_from_right_answers(toy):
    """On few questions, seen again and again, the loss goes to nothing and the answers are right."""
    scenes, tokens = toy
    net = small()
    batches = list(lesson_batches(scenes[:40], tokens[:40], net.vocabulary, net.answers, ("atomic",), 32, 4, 1)) * 40
    history = train(net, batches, answer_loss, 160, lr=1e-2, warmup=5)
    assert history.loss[-1] < 0.15 * history.loss[0]
    given = [net(seen, words, offset).argmax(1) for seen, words, offset, _ in batches[:4]]
    assert np.mean([(g == b[3]).double().mean() for g, b in zip(given, batches, strict=False)]) > 0.95


def test_accuracy_by_kind_counts(toy):
    scenes, tokens = toy
    asked = lesson_questions(scenes[:50], "atomic", 1)

    class Always:
        def answer(self, pictures, questions):
            assert len(pictures) == len(questions)
            return ["yes"] * len(questions)

    found = accuracy_by_kind(Always(), tokens, asked)
    for kind in {q.kind for q in asked}:
        assert found[kind] == pytest.approx(100 * np.mean([q.answer == "yes" for q in asked if q.kind == kind]))


def test_a_recipe_leaves_a_checkpoint_and_a_card(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(vqa_training, "accuracy_numbers", lambda module, model: {"percent": {"atomic_seen": 1.0}})
    vision = {"mixes": ("atomic",), "pictures": 60, "align": 2, "width": 32, "layers": 1, "heads": 2}
    loop = {"lr": 1e-3, "muon_lr": None, "weight_decay": 0.0, "precision": "fp32", "batch": 16, "seed": 0}
    first = SimpleNamespace(name="first", note="a test", kind="vqa", vision=vision, **loop)
    card = vqa_training.make_vqa(first, tmp_path, 3, "cpu")
    assert card["training"]["steps"] == 3 and card["data"]["questions"] == 48 and card["percent"] == {"atomic_seen": 1.0}
    assert json.loads((tmp_path / "first.card.json").read_text())["data"]["mixes"] == ["atomic"]
    further = {"mixes": ("atomic", "conj"), "pictures": 60, "start": "first"}
    again = SimpleNamespace(name="second", note="a test", kind="vqa", vision=further, **loop)
    card = vqa_training.make_vqa(again, tmp_path, 2, "cpu")
    assert (
        card["data"]["starts_from"] == "first"
        and load_vqa("second", "cpu", tmp_path).settings == load_vqa("first", "cpu", tmp_path).settings
    )
