"""Selection, its k and the smoothed loss against NoLA's released code."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from clipkit.adapt import confident_count, select_confident
from tests.calibration.nola_official import CASES, COUNTS, SMOOTHED, VALUES, probs
from tests.calibration.official import features

STORED = json.loads(VALUES.read_text())


def test_provenance_is_complete():
    assert all(row["repository"] == "fazliimam/NoLA" and len(row["release"]) == 40 and row["call"] for row in STORED.values())


@pytest.mark.parametrize("i", range(len(CASES)))
def test_selection(i):
    n, classes, k, scale, phase = CASES[i]
    table = probs(n, classes, scale, phase)
    rows, labels, confidence = select_confident(table, k)
    theirs = STORED["selection"]["value"][i]
    assert rows.tolist() == theirs[0] and labels.tolist() == theirs[1]
    assert 1 in theirs[1] and not (table.argmax(1) == 1).any()  # the fallback is what is compared
    # A deliberate difference: for a second choice they store the probability of the first.
    first = table[rows].max(1).values
    torch.testing.assert_close(torch.tensor(theirs[2], dtype=table.dtype), first)
    torch.testing.assert_close(confidence, table[rows, labels])


def test_count():
    assert [confident_count(n, classes) for n, classes in COUNTS] == STORED["count"]["value"]


def test_label_smoothing_is_torchs():
    ours = [F.cross_entropy(6 * features(n, c, phase), torch.arange(n) % c, label_smoothing=0.1).item() for n, c, phase in SMOOTHED]
    assert ours == pytest.approx(STORED["smoothing"]["value"], abs=1e-12)
