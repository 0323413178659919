"""Our functions against stored values of official code, each with its tolerance and its named differences."""

import json

import numpy as np
import pytest
import torch

from clipkit.pretrain import info_nce
from clipkit.robust import fit_temperature, reliability
from clipkit.zeroshot import zeroshot_weights
from tests.calibration.official import CALLS, CLASSNAMES, TEMPLATES, VALUES, features, text_table

STORED = json.loads(VALUES.read_text())


class TextTable:
    def text_features(self, texts):
        return text_table(texts)


@pytest.mark.parametrize("name", CALLS)
def test_provenance_is_complete(name):
    assert {"repository", "release", "call", "value"} <= set(STORED[name])


def test_loss_1e_12():
    ours = [info_nce(features(n, 6, 0.0), features(n, 6, 1.0), s).item() for n, s in ((1, 5.0), (4, 1.0), (9, 30.0))]
    np.testing.assert_allclose(ours, STORED["open_clip_loss"]["value"], rtol=0, atol=1e-12)


def test_zeroshot_weights_1e_12():
    ours = zeroshot_weights(TextTable(), CLASSNAMES, TEMPLATES)
    np.testing.assert_allclose(ours.numpy(), STORED["open_clip_zeroshot"]["value"], rtol=0, atol=1e-12)


def test_temperature_minimises_scikit_learns_log_loss():
    # Difference by design: scikit-learn scores probabilities, we minimise over T; at T = 1 both must say the same.
    logits, labels = 4 * features(12, 5, 0.3), torch.arange(12) % 5
    assert torch.nn.functional.cross_entropy(logits, labels).item() == pytest.approx(STORED["sklearn_log_loss"]["value"], abs=1e-12)
    best = torch.nn.functional.cross_entropy(logits / fit_temperature(logits, labels), labels).item()
    assert best <= STORED["sklearn_log_loss"]["value"]


def test_reliability_1e_12():
    # Difference by design: scikit-learn's bins are closed on the left, ours on the right; no value here lies on an edge.
    p = (0.5 + 0.499 * features(40, 1, 0.2).cumsum(0).sin()[:, 0] ** 2).clamp(0.5, 1)
    correct = torch.tensor([(7 * k) % 3 > 0 for k in range(40)])
    confidence, accuracy, share = reliability(torch.stack([p, 1 - p], 1), (~correct).long(), bins=10)
    filled = share > 0
    np.testing.assert_allclose(
        [accuracy[filled].tolist(), confidence[filled].tolist()], STORED["sklearn_calibration_curve"]["value"], atol=1e-12
    )
