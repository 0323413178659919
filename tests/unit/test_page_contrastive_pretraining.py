"""The page of contrastive pretraining: predicting a caption's words, and a monitor that leaves the training as it was."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clipkit import lab
from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.pretrain import alignment, info_nce, modality_gap
from clipkit.pretrain.pairs import contrastive_loss
from clipkit.pretrain.tiny_clip import caption_batches, small_clip
from clipkit.studies.contrastive_pretraining import (
    TrainingMonitor,
    WordPredictor,
    bag,
    bag_of_words_loss,
    measure_pairs,
    pair_features,
    show_clouds,
    show_cosines,
    show_learning,
    telling_words,
)
from clipkit.train import train
from clipkit.zeroshot import zeroshot_logits, zeroshot_weights

# Vocabulary of 8: 0 padding, 1 "a", 2 "cat", 3 "cup", 4 "red", 5 "blue", 6 begin, 7 end.
CAPTIONS = torch.tensor([[6, 1, 2, 7, 0], [6, 1, 3, 7, 0], [6, 1, 4, 2, 7], [6, 1, 5, 3, 7]])


def _predictor(keep: torch.Tensor | None = None) -> WordPredictor:
    torch.manual_seed(0)
    keep = telling_words(CAPTIONS, 8, 0.1, 0.6) if keep is None else keep
    return WordPredictor(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), 4, keep)


def test_a_bag_forgets_order_and_number():
    one, other = bag(torch.tensor([[3, 2, 2, 0]]), 5), bag(torch.tensor([[0, 2, 3, 3]]), 5)
    assert one.equal(other)
    assert one.tolist() == [[1, 0, 1, 1, 0]]


def test_telling_words_leaves_out_the_common_the_rare_and_the_marks():
    assert telling_words(CAPTIONS, 8, 0.3, 0.6).nonzero()[:, 0].tolist() == [2, 3]
    assert telling_words(CAPTIONS, 8, 0.1, 0.6).nonzero()[:, 0].tolist() == [2, 3, 4, 5]
    assert telling_words(CAPTIONS, 8, 0.0, 1.0).nonzero()[:, 0].tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ClipkitError, match="widen"):
        telling_words(CAPTIONS, 8, 0.9, 0.95)


def test_ignorance_costs_the_log_of_the_words_or_one_bit_each():
    present = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])
    assert bag_of_words_loss(torch.zeros(2, 4), present).item() == pytest.approx(math.log(4))
    assert bag_of_words_loss(torch.zeros(2, 4), present, "sigmoid").item() == pytest.approx(4 * math.log(2))


def test_softmax_worked_by_hand():
    # probabilities 1/7, 2/7, 4/7; words 0 and 2 are present: -(ln 1/7 + ln 4/7) / 2
    logits = torch.tensor([[0.0, math.log(2), math.log(4)]])
    assert bag_of_words_loss(logits, torch.tensor([[1.0, 0, 1]])).item() == pytest.approx(-(math.log(1 / 7) + math.log(4 / 7)) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(2, 7), st.integers(0, 1000))
def test_both_losses_equal_a_plain_loop(B, K, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, K, generator=generator, dtype=torch.float64)
    present = (torch.rand(B, K, generator=generator) < 0.5).double()
    crossed, answered, yes_no = 0.0, 0, 0.0
    for row, words in zip(logits.tolist(), present.tolist(), strict=True):
        total = sum(math.exp(x) for x in row)
        said = [math.log(math.exp(x) / total) for x, w in zip(row, words, strict=True) if w]
        crossed, answered = crossed - (sum(said) / len(said) if said else 0), answered + bool(said)
        yes_no -= sum(math.log(1 / (1 + math.exp(-x if w else x))) for x, w in zip(row, words, strict=True))
    assert bag_of_words_loss(logits, present).item() == pytest.approx(crossed / max(answered, 1), abs=1e-9)
    assert bag_of_words_loss(logits, present, "sigmoid").item() == pytest.approx(yes_no / B, rel=1e-6)


def test_softmax_does_not_see_a_common_shift_and_captions_without_words_do_not_count():
    logits, present = torch.randn(3, 5), torch.tensor([[1.0, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    value = bag_of_words_loss(logits, present)
    assert torch.allclose(value, bag_of_words_loss(logits + 7, present), atol=1e-5)
    assert torch.allclose(value, bag_of_words_loss(logits[:2], present[:2]), atol=1e-6)
    assert bag_of_words_loss(logits[2:], present[2:]).item() == 0


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_it_learns_which_word_goes_with_which_picture(kind):
    predictor, pixels = _predictor(), torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    history = train(predictor, iter(lambda: (pixels, CAPTIONS), None), lambda m, b: m.loss(b, kind), 150, lr=0.05, weight_decay=0.0)
    assert history.loss[-1] < history.loss[0]
    names = torch.tensor([[6, 2, 7], [6, 3, 7]])
    with torch.no_grad():
        for by in ("logit", "cosine"):
            assert predictor.class_scores(pixels, names, by).argmax(1).tolist() == [0, 1, 0, 1]


def test_class_scores_by_hand():
    predictor, pixels, names = _predictor(), torch.randn(3, 3, 2, 2), torch.tensor([[6, 2, 7, 0], [6, 4, 3, 7]])
    with torch.no_grad():
        logits = predictor(pixels)  # kept: cat, cup, red, blue
        wanted = torch.stack([logits[:, 0], (logits[:, 1] + logits[:, 2]) / 2], 1)
        assert torch.allclose(predictor.class_scores(pixels, names), wanted, atol=1e-6)
        cosine = torch.cosine_similarity(predictor.tower(pixels), predictor.head.weight[0], dim=1)
        assert torch.allclose(predictor.class_scores(pixels, names, "cosine")[:, 0], cosine, atol=1e-6)


def test_what_words_cannot_be_predicted_is_said():
    with pytest.raises(ClipkitError, match="one shape"):
        bag_of_words_loss(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ClipkitError, match="softmax"):
        bag_of_words_loss(torch.zeros(2, 3), torch.zeros(2, 3), "hinge")
    predictor = _predictor(telling_words(CAPTIONS, 8, 0.3, 0.6))
    with pytest.raises(ClipkitError, match="no word"):
        predictor.class_scores(torch.zeros(1, 3, 2, 2), torch.tensor([[6, 4, 7]]))
    with pytest.raises(ClipkitError, match="logit"):
        predictor.class_scores(torch.zeros(1, 3, 2, 2), torch.tensor([[6, 2, 7]]), by="length")


def test_of_a_model_shares_its_tower_and_its_words():
    model = small_clip(0)
    predictor = WordPredictor.of(model, ["a photo of a cat", "a photo of a cup", "a cup", "a star", "a red fish", "a key"], seed=0)
    assert predictor.tower is model.module.visual
    told = {model._tokenizer.decoder[int(token)].removesuffix("</w>") for token in predictor.keep.nonzero()}
    assert told == {"cat", "star", "red", "fish", "key"}  # "cup" stands in a third of the captions, more than a fifth


@pytest.fixture(scope="module")
def scenes():
    found = load_dataset("world", "test", n=24, seed=0, captions=("short",))
    keep = sorted(set(found.labels.tolist()))
    labels = np.array([keep.index(label) for label in found.labels])
    return replace(found, labels=labels, classnames=[found.classnames[k] for k in keep])


def test_a_measurement_is_the_sum_of_its_parts(scenes):
    model = small_clip(0)
    seen = measure_pairs(model, scenes)
    v, t = seen["features"]
    assert torch.equal(v, model.image_features(scenes.images))
    assert torch.equal(t, model.text_features([captions[0] for captions in scenes.captions]))
    assert seen["gap"] == pytest.approx(modality_gap(v, t).item())
    assert seen["alignment"] == pytest.approx(alignment(v, t).item())
    guess = zeroshot_logits(v, zeroshot_weights(model, scenes.classnames, scenes.templates)).argmax(1).numpy()
    assert seen["accuracy"] == pytest.approx(100 * (guess == scenes.labels).mean())


def test_it_measures_before_and_at_equal_distances_and_after(scenes):
    model = small_clip(0)
    monitor = TrainingMonitor(model, scenes, steps=6, batch=8, times=3)
    train(model.module, caption_batches(model, scenes, 8, 0), contrastive_loss(model, info_nce), 6, after_step=monitor)
    assert monitor.table.pairs.tolist() == [0, 16, 32, 48]
    assert len(monitor.loss) == 6
    assert monitor.table.gap.iloc[-1] == pytest.approx(measure_pairs(model, scenes)["gap"], abs=1e-5)
    assert "features" not in monitor.table


def test_watching_changes_nothing(scenes):
    ends = []
    for times in (1, 5):
        model = small_clip(0)
        monitor = TrainingMonitor(model, scenes, steps=5, batch=8, times=times)
        ends.append(
            train(model.module, caption_batches(model, scenes, 8, 0), contrastive_loss(model, info_nce), 5, after_step=monitor).loss
        )
    assert ends[0] == ends[1]
    module = torch.nn.Dropout()
    monitor(4, module.train(), 0.0)
    assert module.training


def test_what_cannot_be_measured_is_said(scenes):
    model = small_clip(0)
    with pytest.raises(ClipkitError, match="captions"):
        pair_features(model, replace(scenes, captions=None))
    with pytest.raises(ClipkitError, match="labels"):
        measure_pairs(model, replace(scenes, labels=None))
    with pytest.raises(ClipkitError, match="1 to 4 times"):
        TrainingMonitor(model, scenes, steps=4, batch=8, times=5)


def test_pictures_are_drawn_and_described(scenes, monkeypatch):
    drawn, figure = [], lab.figure
    monkeypatch.setattr(lab, "figure", lambda alt, **options: drawn.append(alt) or figure(alt=alt, **options))
    monitor = TrainingMonitor(small_clip(0), scenes, steps=1, batch=8, times=1)
    monitor(0, monitor.model.module, 2.0)
    show_learning(monitor, 2.1, 10)
    show_cosines(torch.eye(3).roll(1, 0), torch.eye(3))
    v, t = torch.eye(4)[:2], torch.eye(4)[2:]
    show_clouds({"a": (v, t), "b": (v, v)})
    assert "2.00; log B is 2.10" in drawn[0] and "Before training 0, after it 3" in drawn[1]
    assert "a: gap 1.00; b: gap 0.00" in drawn[2]
