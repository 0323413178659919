"""AMU and CLIP-Adapter against numbers of their official code, stored in amu_tuning.json with repository and commit.

The numbers came from the released classes and functions named in each row's "call", run in float64 on the formula
inputs of `official.features`. Differences by design are set to the official value here: the scale (100), the
kurtosis reference (250), no centring.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clipkit.adapt.amu import AMU
from clipkit.adapt.clip_adapter import adapt_features
from clipkit.adapt.fusion import PAPER_REFERENCE, uncertainty_weight, zscore
from tests.calibration.official import features

STORED = json.loads(Path(__file__).with_name("amu_tuning.json").read_text())
C, D, E, N, M = 6, 8, 5, 18, 7


def value(name):
    return STORED[name]["value"]


def fit(**settings):
    head = AMU(scale=100.0, reference="paper", alpha=0.5, rho=0.4, **settings)
    return head.fit(features(N, D, 0.2), features(N, E, 1.4), torch.arange(N) % C, features(C, D, 2.1))


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert {"repository", "commit", "call", "value"} <= set(STORED[name])


def test_zscore_1e_12():
    np.testing.assert_allclose(zscore(12 * features(M, 11, 0.7)), value("zscore"), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "official"), [("kurtosis", "moment"), ("entropy", "entropy")])
def test_uncertainty_1e_6(kind, official):
    # 1e-6, not 1e-12: the official entropy divides by a logarithm in single precision
    ours = uncertainty_weight((12 * features(M, 11, 0.7)).softmax(1), kind, 0.4, PAPER_REFERENCE[kind])
    np.testing.assert_allclose(ours[:, 0], value(f"uncertainty_{official}"), rtol=1e-6)


def test_start_and_loss_1e_12():
    head = fit(steps=0)
    np.testing.assert_allclose(head.theta_, value("mean_start"), rtol=0, atol=1e-12)
    x, a, y = features(M, D, 3.3), features(M, E, 4.7), torch.arange(M) % C
    fused, own = head.predict_logits(x, a), head.own_logits(a)
    # kurtosis is of probabilities taken in single precision there
    np.testing.assert_allclose(fused, value("start")["logits"], rtol=0, atol=1e-5)
    merge, aux = torch.nn.functional.cross_entropy(fused, y).item(), torch.nn.functional.cross_entropy(own, y).item()
    assert aux == pytest.approx(value("start")["loss_aux"], abs=1e-12)
    assert merge == pytest.approx(value("start")["loss_merge"], abs=1e-5)
    assert 0.35 * merge + 0.65 * aux == pytest.approx(value("start")["loss"], abs=1e-5)


@pytest.mark.parametrize(("kind", "official", "lam"), [("kurtosis", "moment", 0.35), ("none", "none", 1.0)])
def test_forty_steps_1e_5(kind, official, lam):
    head = fit(steps=40, lr=1e-2, lam=lam, uncertainty=kind)
    stored = value(f"trained_{official}")
    assert head.losses_[-1].item() == pytest.approx(stored["last_loss"], abs=1e-5)
    np.testing.assert_allclose(head.theta_, stored["theta"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(head.predict_logits(features(M, D, 3.3), features(M, E, 4.7)), stored["logits"], rtol=0, atol=1e-5)


def test_clip_adapter_1e_10():
    # Official: features of length 3 and unnormalised text, mixed before normalisation; ours starts from unit norm.
    down, up = features(256, 1024, 0.9), features(1024, 256, 1.9)
    adapted = adapt_features(features(3, 1024, 0.1), down, up, 0.2)
    ours = torch.tensor(3.0, dtype=torch.float64).exp() * adapted @ features(4, 1024, 2.2).T
    np.testing.assert_allclose(ours, value("clip_adapter"), rtol=0, atol=1e-10)
