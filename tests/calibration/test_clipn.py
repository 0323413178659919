"""CLIPN's losses, scores and metrics against stored values of the released code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from clipkit.compat import import_open_clip
from clipkit.models.openclip import OpenClipEncoder
from clipkit.robust import NoTextTower, clipn_loss, clipn_scores, ood_metrics, ood_score
from tests.calibration.clipn_official import CASES, TOWER, VALUES, filled, prompts, tokens, triple, two_sides

STORED = json.loads(VALUES.read_text())
EACH = pytest.mark.parametrize("case", range(len(CASES)))


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert {"repository", "release", "call", "value"} <= set(STORED[name]) and len(STORED[name]["release"]) == 40


@EACH
def test_losses_1e_9(case):
    n, d, scale = CASES[case]
    found = clipn_loss(*triple(n, d), scale)
    for name, theirs in STORED["losses"]["value"][case].items():
        assert found[name].item() == pytest.approx(theirs, rel=1e-9, abs=1e-9), name


@EACH
def test_scores_1e_9(case):
    n, d, _ = CASES[case]
    f, g, h = triple(n, d)
    found, theirs = clipn_scores(f, g, h, 100.0), STORED["scores"]["value"][case]
    np.testing.assert_allclose(found.competing_to_win, theirs["ctw"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.agreeing_to_differ, theirs["atd"], rtol=0, atol=1e-9)
    for ours, name in {"max_softmax": "msp", "max_logit": "max_logit", "energy": "energy"}.items():
        np.testing.assert_allclose(ood_score(ours, f, g, 100.0), theirs[name], rtol=0, atol=1e-9, err_msg=name)


def test_auroc_and_fpr_1e_12():
    found = ood_metrics(*two_sides())
    np.testing.assert_allclose([found.auroc / 100, found.fpr95 / 100], STORED["metrics"]["value"], rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def no_tower():
    """Our copy of an open_clip text tower with the weights and prompts that the released one was given."""

    class Tiny(OpenClipEncoder):
        def tokenize(self, texts):
            return tokens()[: len(texts)]

    module = import_open_clip().CLIP(**TOWER)
    module.visual.preprocess_cfg = {"size": 8, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(filled(name, parameter.shape))
    tower = NoTextTower(Tiny(module, "tiny", "random", None))
    with torch.no_grad():
        tower.prompts.copy_(prompts())
    return tower


def test_tower_2e_6(no_tower):
    ours = no_tower.eval()(tokens()).detach()
    np.testing.assert_allclose(ours, STORED["tower"]["value"]["after"], rtol=0, atol=2e-6)


def test_tower_in_training_2e_6(no_tower, monkeypatch):
    stored = STORED["tower"]["value"]
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(stored["options"]))
    ours = no_tower.train()(tokens()).detach()
    np.testing.assert_allclose(ours, stored["during"], rtol=0, atol=2e-6)
    assert not np.allclose(stored["during"], stored["after"], atol=1e-3)
