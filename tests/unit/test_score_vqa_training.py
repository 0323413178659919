"""The lessons at work: patches find their names, an answerer learns a small world, and a recipe leaves a checkpoint and a card."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from builder.recipes import vqa
from builder.recipes.makers import make
from builder.recipes.regions import COVERED, NAMES, learn_regions, region_accuracy, region_labels, region_loss, region_names
from builder.recipes.vqa import accuracy_by_kind, answer_loss, lesson_batches, shortened
from builder.recipes.vqa_lessons import lesson_questions, question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.pretrain.recipes import Recipe
from clipkit.score.lessons import lesson_scenes
from clipkit.score.nano_vqa import ANSWERS, NanoVQA, load_vqa
from clipkit.train import train
from clipkit.world import render
from clipkit.world.content_plan import truths
from clipkit.world.scene import Object, Scene, Scenes
from clipkit.world.taxonomy import CATEGORIES

WIDTH = 32


@pytest.fixture(scope="module")
def toy():
    """Scenes, tokens that say it all (on a grid of 8 x 8, category and colour of what lies there as fixed vectors), and labels."""
    scenes, rng = lesson_scenes(260, 3), np.random.default_rng(0)
    labels = region_labels(scenes, render(scenes, masks=True).instances)
    codes = [torch.from_numpy(rng.normal(size=(len(names) + 1, WIDTH))).float() for names in NAMES]  # the last for -1, no thing
    tokens = sum(code[labels[..., k].long()] for k, code in enumerate(codes))
    return scenes, tokens + 0.1 * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(0)), labels


def small():
    torch.manual_seed(0)
    return NanoVQA(question_vocabulary(), ANSWERS, WIDTH, 64, width=32, layers=2, heads=2)


def test_labels_are_what_lies_on_each_patch():
    objects = (Object("cat", "red", x=0.25, y=0.25, scale=0.5, depth=1), Object("car", "blue", "striped", x=0.75, y=0.75, scale=0.4))
    scenes = Scenes.from_list([Scene(objects), Scene(())])
    drawn = render(scenes, 64, masks=True)
    found = region_labels(scenes, drawn.instances)
    assert found.shape == (2, 64, 3) and (found[1] == -1).all()
    for y in range(8):
        for x in range(8):
            patch = drawn.instances[0, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
            shares = [(patch == k).mean() for k in (1, 2)]
            k = int(np.argmax(shares))
            want = [-1, -1, -1]
            if shares[k] >= COVERED:
                want = [names.index(getattr(objects[k], n)) for names, n in zip(NAMES, ("category", "colour", "texture"), strict=True)]
            assert found[0, 8 * y + x].tolist() == want
    assert {int(c) for c in found[0, :, 0]} == {-1, CATEGORIES.index("cat"), CATEGORIES.index("car")}
    with pytest.raises(ClipkitError, match="multiple of 7"):
        region_labels(scenes, drawn.instances, 7)


def test_the_region_loss_written_out():
    torch.manual_seed(1)
    net = NanoVQA(question_vocabulary(), ["yes"], 5, 4, width=8, layers=1, heads=1).double()
    pictures, labels = (
        torch.randn(2, 4, 5),
        torch.tensor([[[3, 1, 0], [-1, -1, -1], [-1, -1, -1], [9, 0, 2]], [[-1] * 3] * 3 + [[0, 9, 3]]]),
    )
    unit, names = (lambda v: v / v.norm()), region_names(net.vocabulary)
    told, near = [[], [], []], []
    for p, row in zip(net.eyes.project(pictures.double()).flatten(0, 1), labels.flatten(0, 1).tolist(), strict=True):
        for k, ids in enumerate(names):
            cosine = torch.stack([unit(p) @ unit(net.eyes.words.weight[i]) for i in ids])
            if row[0] >= 0:
                told[k].append(-(net.eyes.log_scale.exp() * cosine).log_softmax(0)[row[k]])
            elif k == 0:
                near += list(cosine.clamp(min=0))
    want = sum(torch.stack(t).mean() for t in told) + torch.stack(near).mean()
    torch.testing.assert_close(region_loss(net.eyes, names, pictures, labels), want)


def test_after_the_first_lesson_patches_lie_near_their_names(toy):
    scenes, tokens, labels = toy
    net = small()
    before = region_accuracy(net, tokens[200:], labels[200:])
    history = learn_regions(net, tokens[:200], labels[:200], 150, 16, lr=1e-2)
    found = region_accuracy(net, tokens[200:], labels[200:])
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert found["category"] > 90 > 10 > before["category"] and found["colour"] > 90  # in new pictures
    # Then a word finds the place of its thing: the look-up's centre lies on it.
    words, near = net.vocabulary, []
    with torch.no_grad():
        for picture, truth in zip(tokens[200:], truths(scenes[200:]), strict=True):
            if len(truth.things) == 1:
                patches, word = net.eyes.patches(picture[None]), net.eyes.words(torch.tensor([words.id(truth.things[0].category)]))
                centre = net.eyes.similarity(word, patches[0]).softmax(-1)[0] @ net.eyes.where
                near.append(float((centre - (torch.tensor([truth.things[0].x, truth.things[0].y]) - 0.5) * 16 / 7).norm()))
    assert np.mean(near) < 0.25
    again = small()
    learn_regions(again, tokens[:200], labels[:200], 150, 16, lr=1e-2)
    assert torch.equal(again.eyes.words.weight, net.eyes.words.weight)


def test_an_answerer_learns_from_right_answers(toy):
    """On few questions, seen again and again, the loss goes to nothing and the answers are right."""
    scenes, tokens, _ = toy
    net = small()
    batches = list(lesson_batches(scenes[:40], tokens[:40], net.vocabulary, net.answers, [(("atomic",), 4)], 32, 1)) * 40
    history = train(net, batches, answer_loss, 140, lr=1e-2, warmup=5)
    assert history.loss[-1] < 0.15 * history.loss[0]
    given = [net(seen, words, offset).argmax(1) for seen, words, offset, _ in batches[:4]]
    assert np.mean([(g == b[3]).double().mean() for g, b in zip(given, batches, strict=False)]) > 0.9


def test_accuracy_by_kind_counts(toy):
    scenes, tokens, _ = toy
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
    monkeypatch.setattr(vqa, "accuracy_numbers", lambda module, model: {"atomic_seen": 1.0})
    net = {"lessons": ((("open",), 1), (("atomic",), 2)), "pictures": 60, "regions": 2, "width": 32, "layers": 1, "heads": 2}
    loop = {"batch": 16, "muon_lr": None, "weight_decay": 0.0, "precision": "fp32"}
    card = make(Recipe("first", "vqa", "a test", net, 3, **loop), tmp_path, progress=False)
    assert card["training"]["steps"] == 3 and card["data"]["questions"] == 48 and card["percent"] == {"atomic_seen": 1.0}
    assert json.loads((tmp_path / "first.card.json").read_text())["data"]["lessons"] == [[["open"], 1], [["atomic"], 2]]
    further = {"lessons": ((("atomic", "conj"), 9),), "pictures": 60, "start": "first"}
    card = make(Recipe("second", "vqa", "a test", further, 9, **loop), tmp_path, steps=2, progress=False)
    assert card["data"]["starts_from"] == "first" and card["data"]["lessons"] == [[["atomic", "conj"], 2]]
    assert load_vqa("second", "cpu", tmp_path).settings == load_vqa("first", "cpu", tmp_path).settings


def test_lessons_are_shortened_in_proportion():
    lessons = ((("open",), 150), (("relation",), 300), (("atomic", "conj"), 1400))
    assert shortened(lessons, 1850) == [tuple(x) for x in lessons]
    for steps in (1, 7, 100, 5000):
        found = shortened(lessons, steps)
        assert sum(n for _, n in found) == steps
        assert all(abs(n - m * steps / 1850) <= 1 for (_, n), (_, m) in zip(found, lessons, strict=True))
