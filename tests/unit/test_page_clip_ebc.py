"""The page on CLIP-EBC: crowds and their maps, what a head is trained on, rivals without blocks, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.dealing import deal_among
from clipkit.dense import block_maps, blockwise
from clipkit.errors import ClipkitError
from clipkit.studies import clip_ebc as study

SIZES = {"train": 24, "test": 10, "denser": 3}
SHORT = study.Recipe(steps=8)


@pytest.fixture(scope="module")
def clip():
    return load_model("nano-conv", device="cpu").freeze()


@pytest.fixture(scope="module")
def crowds(clip):
    return study.load(clip, "world", 100, SIZES)


@pytest.fixture(scope="module")
def codes(clip):
    return study.class_codes(clip, 4, "thing", 100)


def test_a_block_sees_its_own_cells(clip, crowds):
    crowd = crowds["test"]
    assert crowd.maps.shape[2:] == crowd.counts.shape[1:] == (8, 8) and torch.isfinite(crowd.maps).all()
    changed = crowd.data.pictures[:1].copy()
    changed[0, 64:80, 32:48] = 255 - changed[0, 64:80, 32:48]  # row 4, column 2
    moved = (block_maps(clip, changed, study.BLOCK) - crowd.maps[:1]).abs().mean(1)[0]
    assert moved.argmax() == 4 * 8 + 2 and moved[0, 7] < 1e-4 < moved[4, 2]
    with pytest.raises(ClipkitError, match="do not divide"):
        block_maps(clip, changed[:, :100], study.BLOCK)


def test_seeds_have_crowds_of_their_own(clip, crowds):
    other = study.load(clip, "world", 101, SIZES)
    prints = {crowd.fingerprint for each in (crowds, other) for crowd in each.values()}
    assert len(prints) == 6 and crowds["denser"].totals.min() > 80 >= crowds["train"].totals.max()
    assert [len(crowd.totals) for crowd in crowds.values()] == [24, 10, 3]
    assert all(np.array_equal(c.totals, [len(d) for d in c.dots]) for c in crowds.values())


def test_codes_differ_in_what_they_should(codes):
    assert codes["text"].shape == codes["permuted"].shape == codes["unrelated"].shape == (5, 128)
    same = codes["permuted"] @ codes["text"].T
    assert not (same.argmax(1) == torch.arange(5)).any() and sorted(same.argmax(1).tolist()) == list(range(5))
    assert torch.allclose(codes["orthogonal"] @ codes["orthogonal"].T, torch.eye(128), atol=1e-4)


@pytest.mark.parametrize("change", [{}, {"codes": "orthogonal", "learn": True}, {"target": "rounded"}, {"loss": "dm"}, {"weight": 0.0}])
def test_classes_are_trained(crowds, codes, change):
    recipe = replace(SHORT, **change)
    found = study.train_head(*crowds.values(), recipe, codes, 0)
    assert found["test"].shape == (10, 8, 8) and found["denser"].shape == (3, 8, 8)
    assert found["bins"].shape == (10, 5, 8, 8) and torch.allclose(found["bins"].sum(1), torch.ones(10, 8, 8), atol=1e-5)
    assert len(found["curve"]) == 4
    off = (found["test"].sum((1, 2)) - crowds["test"].counts.sum((1, 2))).abs().mean()
    assert torch.allclose(off, found["curve"][-1])
    again = study.train_head(*crowds.values(), recipe, codes, 0)
    assert torch.equal(again["test"], found["test"])
    assert not torch.equal(study.train_head(*crowds.values(), recipe, codes, 1)["test"], found["test"])


def test_real_bins_are_of_blurred_dots(crowds, codes):
    recipe = study.Recipe("orthogonal", learn=True, target="blurred", steps=8)
    found = study.train_head(crowds["train"], crowds["test"], None, recipe, codes, 0)
    assert found["bins"].shape[1] == 10 and "denser" not in found


@pytest.mark.parametrize("loss", ["l1", "l2", "dm"])
def test_regression_learns(crowds, codes, loss):
    recipe = study.Recipe(None, loss=loss, steps=80)
    found = study.train_head(*crowds.values(), recipe, codes, 0)
    assert (found["test"] >= 0).all() and not len(found["bins"])
    assert np.corrcoef(found["test"].sum((1, 2)), crowds["test"].totals)[0, 1] > 0.7


def test_rivals_count_without_blocks(clip):
    crowds = study.load(clip, "world", 102, {"train": 60, "test": 30, "denser": 2})
    found = study.whole_picture_rivals(crowds)
    truth = crowds["test"].totals
    mae = {arm: study.errors(each["test"], truth)["MAE"] for arm, each in found.items()}
    assert mae["area_and_blobs"] < mae["mean_count"] and mae["ridge_on_features"] < mae["mean_count"]
    assert set(found["mean_count"]["denser"]) == {crowds["train"].totals.mean()}
    areas, blobs = study.foreground(np.zeros((1, 32, 32, 3), np.uint8) + np.uint8(100))
    assert not areas.any() and not blobs.any()
    two = np.full((1, 32, 32, 3), 100, np.uint8)
    two[0, 4:8, 4:8] = two[0, 20:24, 20:28] = 200
    areas, blobs = study.foreground(two)
    assert areas[0].tolist() == [48 / 1024] * 3 and blobs[0].tolist() == [2] * 3


def test_errors_by_hand():
    found = study.errors(np.array([1.0, 5.0, 2.0]), np.array([0.0, 4.0, 4.0]))
    assert found["MAE"] == pytest.approx(4 / 3) and found["RMSE"] == pytest.approx(2**0.5)
    assert found["NAE"] == pytest.approx(37.5) and found["log"] == pytest.approx(100 * np.log(4 / 3))
    assert study.errors(np.array([3.0]), np.array([3.0]))["log"] == pytest.approx(100 * np.log(study.LEAST_ERROR))


def test_game_finds_errors_that_cancel():
    counts = torch.zeros(1, 8, 8, dtype=torch.int64)
    density = torch.zeros(1, 8, 8)
    density[0, 0, 0], density[0, 7, 7] = 1.0, -1.0
    assert study.game(density, counts) == 2 and study.game(density, counts, 0) == pytest.approx(0)
    density[0, 7, 7], density[0, 1, 1] = 0.0, -1.0  # within one part of four blocks
    assert study.game(density, counts) == pytest.approx(0)
    assert study.game(torch.ones(2, 3, 5), torch.zeros(2, 3, 5)) == 15  # fewer rows than parts


def test_a_folder_is_halved_and_dealt(clip, tmp_path):
    rng = np.random.default_rng(0)
    rows = ["filename,x,y"]
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows += [f"{i}.png,{x},{y}" for x, y in rng.integers(0, 48, (i % 5, 2))]
    (tmp_path / "dots.csv").write_text("\n".join(rows))
    deal_among([0, 1])
    try:
        hands = [study.load(clip, f"folder:{tmp_path}", seed, SIZES) for seed in (0, 1)]
    finally:
        deal_among([])
    assert hands[0].keys() == {"train", "test"} and hands[0]["train"].fingerprint == hands[1]["train"].fingerprint
    tests = [{p.tobytes() for p in hand["test"].data.pictures} for hand in hands]
    assert [len(t) for t in tests] == [5, 5] and not tests[0] & tests[1]
    assert hands[0]["test"].size == (128, 176) and sum(c.totals.sum() for h in hands[:1] for c in h.values()) > 0


def test_numbers_that_a_model_knows(clip):
    known = study.number_known(clip, 80, "thing", 100)
    assert 0 <= known <= 100 and study.number_known(clip, 80, "thing", 100) == known
    assert blockwise.count_sentences(blockwise.count_bins(4), "thing")[1:][-1] == "There are four or more things."
