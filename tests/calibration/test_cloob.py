"""CLOOB, InfoLOOB and the decoupled loss against stored values of their released code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from clipkit.pretrain import cloob_loss, decoupled_info_nce, info_loob, leave_one_out
from clipkit.pretrain.hopfield import recall
from tests.calibration.cloob_official import CASES, VALUES, pairs

STORED = json.loads(VALUES.read_text())
EACH = pytest.mark.parametrize("case", range(len(CASES)))


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert {"repository", "release", "call", "value"} <= set(STORED[name]) and len(STORED[name]["release"]) == 40


@EACH
def test_retrieval_1e_12(case):
    n, d, _, beta = CASES[case]
    u_x, u_y, v_x, v_y = recall(*pairs(n, d), beta)
    for ours, theirs in zip((u_x, v_y, u_y, v_x), STORED["retrieval"]["value"][case], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@EACH
def test_info_loob_1e_12(case):
    n, d, scale, _ = CASES[case]
    x, y = pairs(n, d)
    theirs = STORED["info_loob"]["value"][case]
    ours = [leave_one_out(a, b, scale).mean().item() / scale for a, b in ((x, y), (y, x))]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert info_loob(x, y, scale).item() == pytest.approx(sum(theirs), abs=1e-12)


@EACH
def test_cloob_1e_12(case):
    n, d, scale, beta = CASES[case]
    assert cloob_loss(*pairs(n, d), scale, beta).item() == pytest.approx(STORED["cloob"]["value"][case], abs=1e-12)


@EACH
@pytest.mark.parametrize("name,sigma", [("dcl", None), ("dclw", 0.5)])
def test_decoupled_1e_9(case, name, sigma):
    # Theirs is one direction of two views; ours is the mean of both. They add log(1e-45) to the positive and to the anchor
    # itself where we leave them out: a share of 1e-45 e^scale of the sum at most, which shows when the scale is 100.
    n, d, scale, _ = CASES[case]
    theirs = STORED[name]["value"][case]
    ours = decoupled_info_nce(*pairs(n, d), scale, sigma, within=True).item()
    assert ours == pytest.approx(sum(theirs) / 2, abs=1e-9)


def test_the_cases_tell_the_losses_apart():
    n, d, scale, beta = CASES[1]
    x, y = pairs(n, d)
    values = [cloob_loss(x, y, scale, b).item() for b in (beta, 2 * beta)] + [info_loob(x, y, scale).item()]
    assert min(abs(a - b) for a in values for b in values if a is not b) > 1e-3
    assert torch.isfinite(torch.tensor(values)).all()
