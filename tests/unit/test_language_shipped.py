"""The three shipped writers: they load, their cards tell the truth, each lesson taught its task."""

from __future__ import annotations

import pytest

from builder.recipes.corpora import caption_vocabulary
from builder.recipes.language import held_out
from clipkit.language import load_scorer, load_seq2seq
from clipkit.models.cards import load_card
from clipkit.paths import data_dir
from clipkit.pretrain.recipes import RECIPES

NAMES = ("nano-bart", "nano-bart-short", "nano-bart-para")


@pytest.mark.parametrize("name", NAMES)
def test_file_card_and_recipe_agree(name):
    model, card = load_seq2seq(name, "cpu"), load_card(name)
    assert (data_dir() / "models" / f"{name}.safetensors").stat().st_size < 2.1e6
    assert model.vocabulary == caption_vocabulary() and not model.training
    assert card["name"] == name and card["parameters"] == sum(p.numel() for p in model.parameters())
    recipe = RECIPES[name]
    assert card["kind"] == recipe.kind == "seq2seq" and card["training"]["steps"] == recipe.steps
    assert card["data"]["task"] == recipe.settings["task"] and card["data"]["starts_from"] == recipe.settings.get("start")
    assert load_scorer(name, "cpu").fingerprint == model.fingerprint


def test_each_lesson_lowers_the_loss_of_its_own_task():
    denoising, short, para = (load_card(name)["nats"] for name in NAMES)
    assert denoising["denoise"] < min(short["denoise"], para["denoise"])
    assert short["summarise"] < denoising["summarise"] and para["paraphrase"] < min(denoising["paraphrase"], short["paraphrase"])
    written = [load_card(name)["percent"]["written_true"] for name in NAMES]
    assert written[1] > 70 and written[1] > written[0]


def test_a_card_can_be_measured_again():
    again, card = held_out(load_seq2seq("nano-bart-short", "cpu")), load_card("nano-bart-short")
    for task, value in again["nats"].items():
        assert value == pytest.approx(card["nats"][task], abs=0.02)  # the card is of the weights before rounding
    assert again["percent"]["written_true"] == pytest.approx(card["percent"]["written_true"], abs=2)
