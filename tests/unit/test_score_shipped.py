"""The shipped answerers and towers: they load, are small, know what their cards say, and know it from the picture."""

from __future__ import annotations

import numpy as np
import pytest

from builder.recipes.vqa import HELD_OUT_SEED, accuracy_by_kind, lesson_pictures
from builder.recipes.vqa_lessons import lesson_questions, question_vocabulary
from clipkit import load_model
from clipkit.models.cards import load_card
from clipkit.paths import data_dir
from clipkit.pretrain.recipes import RECIPES
from clipkit.score.clipscore import CLIPScore
from clipkit.score.eyes import patch_tokens
from clipkit.score.nano_vqa import ANSWERS, load_vqa
from clipkit.score.two_towers import load_two_towers
from clipkit.score.winoground_tasks import quadruples, winoground

NAMES = ("nano-vqa", "nano-vqa-atomic")


@pytest.fixture(scope="module")
def eyes():
    return load_model("nano", device="cpu")


@pytest.fixture(scope="module")
def exam(eyes):
    scenes, tokens, _ = lesson_pictures(eyes, 250, HELD_OUT_SEED + 1)
    return tokens, lesson_questions(scenes, "atomic", 2)


@pytest.mark.parametrize("name", [*NAMES, "nano-itm", "nano-negclip"])
def test_small_and_described(name):
    card = load_card(name)
    assert (data_dir() / "models" / f"{name}.safetensors").stat().st_size < 4 * 2**20
    recipe = RECIPES[name]
    assert card["name"] == name and card["kind"] == recipe.kind and card["training"]["steps"] == recipe.steps
    if card["kind"] == "vqa":
        net = load_vqa(name, "cpu")
        assert card["parameters"] == sum(p.numel() for p in net.parameters()) and [
            (tuple(m), n) for m, n in card["data"]["lessons"]
        ] == list(recipe.settings["lessons"])
        assert net.vocabulary == question_vocabulary() and net.answers == ANSWERS and not net.training


@pytest.mark.parametrize("name", NAMES)
def test_answers_as_well_as_the_card_says_on_other_pictures(name, exam):
    tokens, asked = exam
    net, told = load_vqa(name, "cpu"), load_card(name)["percent"]
    found = accuracy_by_kind(net, tokens, asked)
    for kind, value in found.items():
        n = sum(q.kind == kind for q in asked)
        share = np.clip(told[f"{kind}_seen"] / 100, 0.05, 0.95)
        assert abs(value - told[f"{kind}_seen"]) < 100 * 4 * (share * (1 - share) * (1 / n + 1 / 500)) ** 0.5 + 1, (kind, value)
    assert net.name == name and net.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_another_picture_gives_other_answers(name, exam):
    """What is known comes from the picture: with pictures exchanged, yes-or-no questions are answered no better than a coin."""
    tokens, asked = exam
    net, closed = load_vqa(name, "cpu"), [q for q in asked if q.answer in ("yes", "no") and q.kind == "atomic"]
    right = accuracy_by_kind(net, tokens, closed)["atomic"]
    wrong = accuracy_by_kind(net, tokens.roll(1, 0), closed)["atomic"]
    assert right > 70 and wrong < 60 and right > wrong + 15


def test_the_towers_tell_texts_apart(eyes):
    towers = load_two_towers(eyes, device="cpu")
    tasks = quadruples(8, 5, kinds=("counts",))
    images, texts = towers.image_features(patch_tokens(eyes, tasks.images)), towers.text_features(tasks.texts)
    own = ((images @ texts.T).argmax(1) // 2).numpy() == np.arange(16) // 2
    assert own.mean() > 0.6  # the right pair of texts among eight, if not the right one of the two
    assert set(winoground(tasks.scores(CLIPScore(towers, clip=False))).percent()) == {"text", "image", "group"}
