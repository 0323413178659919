"""Prompt ensembling and conditioning against stored values of their released code."""

import json
import math

import numpy as np
import pytest
import torch

from clipkit.robust.worst_group import group_accuracy
from clipkit.zeroshot.conditioning import conditional_zeroshot
from clipkit.zeroshot.weighting import prompt_scores, prompt_weights, selected, weighted_classifier
from tests.calibration.zeroshot_official import SCALE, TAUS, VALUES, context_task, pool_task

STORED = json.loads(VALUES.read_text())
POOL, CONTEXT = STORED["prompt_ensembling"]["value"], STORED["perceptionclip"]["value"]


@pytest.mark.parametrize("name", ["prompt_ensembling", "perceptionclip"])
def test_provenance_is_complete(name):
    assert {"repository", "commit", "call", "value"} <= set(STORED[name]) and len(STORED[name]["commit"]) == 40


@pytest.mark.parametrize("debias", ["both", "pretrain", "test", "none"])
def test_scores_1e_11(debias):
    t = pool_task()
    ours = prompt_scores(t["z"], t["t"], t["r"], scale=SCALE, debias=debias, block=20)
    np.testing.assert_allclose(ours, POOL["scores"][debias], rtol=0, atol=1e-11)


def test_scores_of_single_pictures_1e_11():
    t = pool_task()
    np.testing.assert_allclose(prompt_scores(t["z"], t["t"], t["r"], scale=SCALE, per_image=True), POOL["per_image"], rtol=0, atol=1e-11)


def test_a_tenth_of_the_test_pictures_enters_the_mean_only_1e_11():
    t = pool_task()
    ours = prompt_scores(t["z"], t["t"], t["r"], scale=SCALE, test_features=t["z"][: round(0.1 * len(t["z"]))])
    np.testing.assert_allclose(ours, POOL["tenth"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("threshold", [-0.5, 0.5, 2.0])
def test_selection(threshold):
    # Difference by design: where nothing passes we keep the best prompt, the released code none.
    assert selected(torch.tensor(POOL["scores"]["both"]), threshold).nonzero().flatten().tolist() == POOL["kept"][str(threshold)]


def test_logits_1e_11():
    t = pool_task()
    weights = prompt_weights(prompt_scores(t["z"], t["t"], t["r"], scale=SCALE))
    np.testing.assert_allclose(SCALE * t["z"] @ weighted_classifier(t["t"]).T, POOL["equal"], rtol=0, atol=1e-11)
    # Difference by design: our weights sum to one; the released mean over prompts divides by their number once more.
    ours = SCALE * t["z"] @ weighted_classifier(t["t"], weights).T
    np.testing.assert_allclose(ours, len(weights) * np.array(POOL["weighted"]), rtol=0, atol=1e-11)


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("mode", ["with_class", "without_class"])
def test_conditioning_1e_12(mode, tau):
    t, theirs = context_task(), CONTEXT[f"{mode}_{tau}"]
    p, context = conditional_zeroshot(t["logits"], tau, t["context"] if mode == "without_class" else None)
    np.testing.assert_allclose(p, theirs["probabilities"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(context.sum(1), 1, atol=1e-12)
    found = group_accuracy(p.argmax(1), t["labels"], t["groups"] * 5 + t["labels"])
    assert found.average == pytest.approx(theirs["average"], abs=1e-4)
    # Difference by design: a group without pictures is NaN here and 0 % there.
    groups = [0.0 if math.isnan(g) else g for g in found.groups.tolist()] + [0.0] * (10 - len(found.groups))
    np.testing.assert_allclose(np.array(groups).reshape(2, 5), theirs["groups"], atol=1e-4)
