"""The CLOOB page: its scenes, its arms, what is measured during and after a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import ClipkitError
from clipkit.pretrain import equal_texts, saturation
from clipkit.studies.cloob import (
    LOSSES,
    LossSetting,
    caption_tokenizer,
    cross_memory_and_loss,
    dimension_change,
    evaluate_heads,
    load_splits,
    new_heads,
    show_recall,
    sweep_memory,
    train_heads,
)


class Pixels:
    """A frozen image tower that needs no weights: mean colour of the four quarters."""

    device = torch.device("cpu")

    def image_features(self, images, batch=256):
        quarters = torch.as_tensor(images.array).float().permute(0, 3, 1, 2)
        return torch.nn.functional.normalize(torch.nn.functional.adaptive_avg_pool2d(quarters, 2).flatten(1), dim=1)


@pytest.fixture(scope="module")
def splits():
    return load_splits(Pixels(), 320, 160, seed=0, split="val")


def pictures(split):
    return set(map(bytes, split.data.array))


def test_the_training_world_has_cues_and_the_test_has_none(splits):
    def at_home(split):
        from clipkit.world import BACKGROUNDS, CATEGORIES, HOME

        home = np.array([BACKGROUNDS.index(HOME[c]) for c in CATEGORIES])
        return (home[split.labels["category"]] == split.labels["background"]).mean()

    assert at_home(splits["train"]) > 0.8 and at_home(splits["biased"]) > 0.8
    assert at_home(splits["test"]) < 0.3 and at_home(splits["probe"]) < 0.3
    features = splits["train"].features
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=1e-4, rtol=0)
    assert not pictures(splits["test"]) & pictures(splits["probe"])
    assert len(splits["test"].data.classnames) == 48 and splits["train"].tokens.max() < caption_tokenizer().vocab_size


def test_other_seeds_and_splits_are_other_scenes(splits):
    for other in (load_splits(Pixels(), 320, 160, seed=1, split="val"), load_splits(Pixels(), 320, 160, seed=0, split="test")):
        assert not pictures(splits["test"]) & pictures(other["test"])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_arm_learns(splits, loss):
    setting = LossSetting(loss, 20.0, 4e-3, beta=8.0 if loss in ("cloob", "memory_info_nce") else None)
    log = train_heads(splits, setting, 50, 0, batch=64, every=25).log
    assert [row["step"] for row in log] == [1, 26, 50]
    assert log[-1]["positive"] > 1.5 * log[0]["positive"]
    assert log[-1]["scale"] == pytest.approx(20.0, rel=1e-5)
    own = "gradient_loob" if loss in ("cloob", "info_loob") else "gradient_nce"
    assert all(row["gradient"] == row[own] > 0 for row in log)
    often = train_heads(splits, setting, 50, 0, batch=64).log
    assert len(often) == 26 and often[-1] == log[-1], "measuring changes nothing"


def test_evaluation(splits):
    start = evaluate_heads(splits, new_heads(splits["train"], 0))
    trained = evaluate_heads(splits, train_heads(splits, LossSetting("info_nce", 20.0, 4e-3), 150, 0, batch=64).heads)
    assert set(start) == set(trained) and all(0 <= value <= 100 for value in trained.values())
    assert trained["biased"] > start["biased"] + 10 and trained["image_to_text"] > start["image_to_text"]
    assert trained["secondary"] == pytest.approx(np.mean([trained[f"probe_{f}"] for f in ("colour", "texture", "size")]))
    assert trained["probe_background"] > 80  # it is nearly all that the quarters tell


def test_the_sweep_of_memories_is_a_difference(splits):
    tokens = splits["train"].tokens[:32]
    x, y = (z.detach() for z in new_heads(splits["train"], 0)(splits["train"].features[:32], tokens))
    same = equal_texts(tokens)
    rows = sweep_memory(x, y, 20.0, same, (2.0, 30.0), (8, 32))
    assert list(zip(rows.beta, rows.memory, strict=True)) == [(b, f"{n} pairs") for n in (8, 32) for b in (2.0, 30.0)]
    expected = saturation(x, y, 20.0, 30.0, same)["positive"] - saturation(x, y, 20.0, None, same)["positive"]
    assert rows.change.iloc[-1] == pytest.approx(expected)


def test_what_a_memory_does_at_once(splits):
    z = new_heads(splits["train"], 0).encode_image(splits["test"].features[:64])
    assert all(abs(change) < 1e-3 for change in dimension_change(z, 1e6).values()), "a sharp memory returns what asked"
    assert all(change < 0 for change in dimension_change(z, 2.0).values()), "a mean of neighbours varies less"


def test_two_by_two_differs_in_memory_and_loss_alone():
    four = cross_memory_and_loss(LossSetting("cloob", 12.0, 1e-3, beta=5.0, weight_decay=3.0), weight_decay=0.2)
    assert {(s.scale, s.lr, s.weight_decay, s.learnt) for s in four.values()} == {(12.0, 1e-3, 0.2, False)}
    assert {name: (s.loss, s.beta) for name, s in four.items()} == {
        "nce": ("info_nce", None),
        "memory_nce": ("memory_info_nce", 5.0),
        "loob": ("info_loob", None),
        "memory_loob": ("cloob", 5.0),
    }
    with pytest.raises(ClipkitError, match="needs the setting of an arm with a memory"):
        cross_memory_and_loss(LossSetting("info_loob"))


def test_settings_are_refused_in_clear_words():
    with pytest.raises(ClipkitError, match="unknown loss"):
        LossSetting("triplet")
    with pytest.raises(ClipkitError, match="give a beta"):
        LossSetting("cloob")
    with pytest.raises(ClipkitError, match="to no other"):
        LossSetting("info_nce", beta=8.0)


def test_figures_say_what_they_show(monkeypatch):
    from clipkit import lab

    told = []
    monkeypatch.setattr(lab, "image_grid", lambda images, titles, **options: told.append((images, titles, options["alt"])))
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
    show_recall(images, torch.eye(6), query=2, betas=(1e-6, 50.0))
    shown, titles, alt = told[0]
    assert len(shown) == len(titles) == 12 and shown[[0, 6, 7]].max() == 2 and titles[7] == "100 %"
    assert set(titles[1:6]) == {"17 %"} and "β = 50, 100 %" in alt
