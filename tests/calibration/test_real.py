"""The cross-modal head against the released code of REAL-Linear, half-way mixed and not mixed."""

import json
import math

import pytest
import torch

from clipkit.adapt import CrossModalProbe
from tests.calibration.official_real import ALPHAS, SCALE_LOG, STEPS, VALUES, inputs

STORED = json.loads(VALUES.read_text())


def test_provenance_is_complete():
    assert {"repository", "commit", "call", "heads"} <= set(STORED)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_head_1e_6(alpha):
    # Difference by design: none. The released code rounds the logit scale and the mixed head to single precision.
    given = inputs()
    head = CrossModalProbe(scale=math.exp(SCALE_LOG), steps=STEPS, share=alpha)
    head.fit(given["images"], given["labels"], given["weights"], given["texts"], given["text_labels"])
    stored = torch.tensor(STORED["heads"][str(alpha)], dtype=torch.float64)
    assert torch.allclose(head.weight_, stored, rtol=0, atol=1e-6)
    assert (head.weight_ - given["weights"]).abs().max() > 1e-3  # it has moved
