"""The diary of a training: when it looks, what it writes, that it leaves the training as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.pretrain import alignment, info_nce, modality_gap
from clipkit.pretrain.pairs import contrastive_loss
from clipkit.pretrain.tiny_clip import caption_batches, small_clip
from clipkit.studies.contrastive_pretraining_training_monitor import Diary, look, pair_features
from clipkit.train import train
from clipkit.zeroshot import zeroshot_logits, zeroshot_weights


@pytest.fixture(scope="module")
def scenes():
    found = load_dataset("world", "test", n=24, seed=0, captions=("short",))
    keep = sorted(set(found.labels.tolist()))
    labels = np.array([keep.index(label) for label in found.labels])
    return replace(found, labels=labels, classnames=[found.classnames[k] for k in keep])


def test_look_is_the_sum_of_its_parts(scenes):
    model = small_clip(0)
    seen = look(model, scenes)
    v, t = seen["features"]
    assert torch.equal(v, model.image_features(scenes.images))
    assert torch.equal(t, model.text_features([captions[0] for captions in scenes.captions]))
    assert seen["gap"] == pytest.approx(modality_gap(v, t).item())
    assert seen["alignment"] == pytest.approx(alignment(v, t).item())
    guess = zeroshot_logits(v, zeroshot_weights(model, scenes.classnames, scenes.templates)).argmax(1).numpy()
    assert seen["accuracy"] == pytest.approx(100 * (guess == scenes.labels).mean())


def test_it_looks_before_and_at_equal_distances_and_after(scenes):
    model = small_clip(0)
    diary = Diary(model, scenes, steps=6, batch=8, entries=3)
    train(model.module, caption_batches(model, scenes, 8, 0), contrastive_loss(model, info_nce), 6, after_step=diary)
    assert diary.table.pairs.tolist() == [0, 16, 32, 48]
    assert len(diary.loss) == 6
    assert diary.table.gap.iloc[-1] == pytest.approx(look(model, scenes)["gap"], abs=1e-5)
    assert "features" not in diary.table


def test_watching_changes_nothing(scenes):
    ends = []
    for entries in (1, 5):
        model = small_clip(0)
        diary = Diary(model, scenes, steps=5, batch=8, entries=entries)
        ends.append(train(model.module, caption_batches(model, scenes, 8, 0), contrastive_loss(model, info_nce), 5, after_step=diary).loss)
    assert ends[0] == ends[1]
    module = torch.nn.Dropout()
    diary(4, module.train(), 0.0)
    assert module.training


def test_clear_errors(scenes):
    model = small_clip(0)
    with pytest.raises(ClipkitError, match="captions"):
        pair_features(model, replace(scenes, captions=None))
    with pytest.raises(ClipkitError, match="labels"):
        look(model, replace(scenes, labels=None))
    with pytest.raises(ClipkitError, match="1 to 4"):
        Diary(model, scenes, steps=4, batch=8, entries=5)
