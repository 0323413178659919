"""GDA against the logits of the released code, in float32 and float64, with every deliberate difference named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from clipkit.adapt import GDA, ensemble_logits, select_alpha
from clipkit.adapt.selection import ALPHAS
from tests.calibration.gda_official import SHOTS, VALUES, task

STORED = json.loads(VALUES.read_text())
# float32: their pseudo-inverse is computed in float32, our Cholesky factor in float64
TOLERANCE = {torch.float32: 2e-3, torch.float64: 1e-8}


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert STORED[name]["repository"] == "mrflogs/ICLR24" and len(STORED[name]["release"]) == 40 and "run()" in STORED[name]["call"]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_few_shot_logits_for_every_alpha(dtype):
    t = task(dtype)
    theirs = STORED[f"main_few_shots_{str(dtype).removeprefix('torch.')}"]["value"]
    zero_shot, ours = 100 * t["test"] @ t["w"].T, GDA().fit(t["x"], t["y"]).predict_logits(t["test"])
    assert ours.dtype == dtype
    for alpha, logits in zip(ALPHAS, theirs[:-1], strict=True):
        difference = ensemble_logits(zero_shot, ours, alpha) - torch.tensor(logits, dtype=dtype)
        assert difference.abs().max() <= TOLERANCE[dtype] * max(1, alpha)
    # the last logits are those of the alpha they chose: the first of the best, and so do we
    chosen = select_alpha(zero_shot, ours, t["y_test"])
    np.testing.assert_allclose(ensemble_logits(zero_shot, ours, chosen), theirs[-1], atol=TOLERANCE[dtype] * max(1, chosen))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_base_to_new_logits(dtype):
    t = task(dtype)
    theirs = STORED[f"main_base2new_{str(dtype).removeprefix('torch.')}"]["value"]
    head = GDA("none", cov="class_mean").fit(t["x"], t["y"])
    ours = head.predict_logits(t["test"])
    if dtype == torch.float64:  # in float32 the null space of a pseudo-inverse is a matter of its cut-off, and differs by release
        for alpha, logits in zip(ALPHAS, theirs[:7], strict=True):
            mixed = ensemble_logits(100 * t["test"] @ t["w"].T, ours, alpha)
            np.testing.assert_allclose(mixed, logits, rtol=1e-7, atol=1e-7 * max(1, alpha))
    # new classes: the alpha is that of the base classes, so it is read off their logits
    zero_shot, new = 100 * t["new"] @ t["w_new"].T, head.extend(t["w_new"]).predict_logits(t["new"])
    theirs_new = torch.tensor(theirs[-1], dtype=dtype)
    fits = [(ensemble_logits(zero_shot, new, alpha) - theirs_new).abs().max().item() / max(1, alpha) for alpha in ALPHAS]
    assert min(fits) <= TOLERANCE[dtype]


def test_the_task_is_hard_enough_to_tell_estimators_apart():
    t = task(torch.float64)
    logits = [GDA(name).fit(t["x"], t["y"]).predict_logits(t["test"]) for name in ("ks", "ledoit_wolf", "identity", "none")]
    assert t["x"].shape[1] > SHOTS * 4  # a singular covariance
    for i, one in enumerate(logits):
        assert all((one - other).abs().max() > 1e-2 for other in logits[i + 1 :])
