"""The table of recipes: worlds that exist, a smoke of makers that ends in a checkpoint that loads, a stopped run that goes on."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from builder.recipes import captioner, contrastive, makers, probes, shapes
from builder.recipes.bpe import save_bpe, train_bpe
from builder.recipes.makers import MAKERS, make
from clipkit import ClipkitError
from clipkit.models import load_card
from clipkit.models.nano import load_nano
from clipkit.pretrain.recipes import RECIPES, Recipe
from clipkit.train import History
from clipkit.world import WorldSpec

QUICK = {"precision": "fp32", "muon_lr": None}


@pytest.mark.parametrize("name", RECIPES)
def test_a_card_was_written_by_its_recipe(name):
    """Settings of the training that a shipped card states are those of the table, so the checkpoint can be made again."""
    recipe, card = RECIPES[name], load_card(name)
    told = {"steps": recipe.steps, "batch": recipe.batch, **recipe.loop, "seed": recipe.seed}
    last = card["training"].get("phases", [{}])[-1]
    for key, value in told.items():
        assert {**last, **card["training"]}.get(key) == value, key
    assert (card["name"], card["note"], card["kind"]) == (recipe.name, recipe.note, recipe.kind) and recipe.kind in MAKERS
    as_json = lambda found: [[dict(WorldSpec(**row["spec"]).__dict__), row.get("weight", row.get("share"))] for row in found]  # noqa: E731
    for key, stated in (("worlds", "worlds"), ("lesson", "first_lesson")):
        made = [[dict(WorldSpec(**spec).__dict__), weight] for spec, weight in recipe.settings.get(key, ())]
        assert made == as_json(card["data"].get(stated, [])) if "worlds" in recipe.settings else not made
    if "before" in recipe.settings:
        phases = {row["phase"]: (row["steps"], row["batch"]) for row in card["training"]["phases"][:-1]}
        assert phases == recipe.settings["before"]
        assert card["data"]["registers"] == recipe.settings["registers"] and card["data"]["hard_batches"] == recipe.settings["hard"]


def test_pretrain_says_what_it_knows():
    with pytest.raises(ClipkitError, match="unknown recipe 'nanno'.*nano"):
        makers.main(["nanno"])
    with pytest.raises(ClipkitError, match="unknown recipe 'nanno'.*nano"):
        make("nanno")
    with pytest.raises(ClipkitError, match="50 at least"):
        makers.main(["nano"], steps=3)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(probes, "card_numbers", lambda model: {"counting": {"all": 20.0, "1": 80.0, "9": 5.0}, "relation": 50.0})
    monkeypatch.setattr(probes, "vision_card_numbers", lambda model: {"knn_colour": 12.0})
    save_bpe(train_bpe(["a red cat in a meadow", "a photo of two blue dogs"] * 3, 60), tmp_path / contrastive.VOCABULARY)
    settings = RECIPES["nano"].settings | {
        "vision": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}, "embed_dim": 8,
        "text": {"context_length": 32, "width": 16, "heads": 2, "layers": 1}, "before": {"lesson": (30, 8), "text": (10, 8)},
    }  # fmt: skip
    return replace(RECIPES["nano"], name="nano-tiny", batch=8, steps=50, settings=settings, **QUICK)


def test_a_recipe_makes_a_checkpoint_that_loads(tiny, tmp_path, monkeypatch):
    for name in ("labelled_batches", "pair_batches"):
        monkeypatch.setattr(contrastive, name, partial(getattr(contrastive, name), chunk=256))
    card = make(tiny, tmp_path, progress=False)
    assert [row["phase"] for row in card["training"]["phases"]] == ["lesson", "text", "both"]
    assert card["training"]["pictures"] == 8 * (30 + 10 + 50) and any("counting beyond four: 5 %" in s for s in card["known_failures"])
    model = load_nano("nano-tiny", folder=tmp_path)
    assert model.text_features(["a red cat"]).norm().item() == pytest.approx(1, abs=1e-5)


def test_a_stopped_run_goes_on_after_its_last_phase(tiny, tmp_path, monkeypatch):
    """Nothing is trained twice, and the weights are those of a run that was never stopped."""
    done, stop = [], {"both"}

    def counts(model, recipe, kind, steps, batch, seed, tick):
        if kind in stop:
            stop.clear()
            raise KeyboardInterrupt
        done.append((kind, steps, seed))
        with torch.no_grad():
            model.module.logit_scale.add_(len(done))
        return History([1.0] * steps, 60.0)

    monkeypatch.setattr(contrastive, "train_phase", counts)
    with pytest.raises(KeyboardInterrupt):
        make(tiny, tmp_path, progress=False)
    card = make(tiny, tmp_path, progress=False)
    assert done == [("lesson", 30, 0), ("text", 10, 1000), ("both", 50, 2000)] and card["training"]["minutes"] == 3.0
    assert not list((tmp_path / "cache" / "pretrain").iterdir())
    scale = load_nano("nano-tiny", folder=tmp_path).module.logit_scale.item()
    assert scale == pytest.approx(math.log(1 / 0.07) + 6, abs=0.01)


def test_the_label_free_recipe(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "camera_batches", partial(shapes.camera_batches, chunk=1024))
    settings = RECIPES["nano-dino"].settings | {"embed_dim": 8, "vision": {"image_size": 32, "widths": [8, 8, 8], "strides": [2, 2]}}
    card = make(replace(RECIPES["nano-dino"], name="nano-outline", batch=4, settings=settings, **QUICK), tmp_path, 2, progress=False)
    assert card["training"]["pictures"] == 8 and "colour: 12 %" in card["known_failures"][0]
    assert load_nano("nano-outline", folder=tmp_path).embed_dim == 8


def test_the_captioner_and_the_segmenter(tiny, tmp_path, monkeypatch):
    from builder.recipes import segmenter
    from clipkit.dense import load_segmenter
    from clipkit.generate import load_captioner

    monkeypatch.setattr(captioner, "PICTURES", 20)
    monkeypatch.setattr(captioner, "captioner_numbers", lambda module, model: {"nats_a_word": 3.0})
    monkeypatch.setattr(segmenter, "segmenter_numbers", lambda module: {"mask_iou": 1.0})
    net = {"width": 16, "layers": 1, "heads": 2, "length": 12}
    card = make(Recipe("says", "captioner", "a test", net, 2, 4, **QUICK), tmp_path, progress=False)
    assert card["nats_a_word"] == 3.0 and card["data"]["pictures"] == 20
    assert load_captioner("says", "cpu", tmp_path).settings["width"] == 16
    net = {"widths": (6, 8, 8, 8), "heads": 2, "head_width": 4, "prompt_width": 8}
    card = make(Recipe("cuts", "segmenter", "a test", net, 2, 2, **QUICK), tmp_path, progress=False)
    assert card["training"]["prompts"] == 3 and card["percent"] == {"mask_iou": 1.0}
    assert card["parameters"] == sum(p.numel() for p in load_segmenter("cuts", "cpu", tmp_path).parameters())
