"""The rule "greedy" against the leaderboards of the released code: the same rows, labels and order."""

from __future__ import annotations

import json

import pytest

from clipkit.adapt import balanced_confident
from tests.calibration.pseudolabels_official import CASES, VALUES, logits

STORED = json.loads(VALUES.read_text())["leaderboards"]


def test_provenance_is_complete():
    assert STORED["repository"].startswith("BatsResearch/") and len(STORED["release"]) == 40 and "compute_pseudo_labels" in STORED["call"]


@pytest.mark.parametrize("i", range(len(CASES)))
def test_leaderboards(i):
    n, classes, k, scale, phase = CASES[i]
    probs = logits(n, classes, scale, phase).softmax(1)
    assert [t.tolist() for t in balanced_confident(probs, k, rule="greedy")] == STORED["value"][i]


def test_deliberate_difference_one_label_a_picture():
    # Their rejected pictures enter the lists of other classes, several at once. The default rule gives a picture one label.
    n, classes, k, scale, phase = CASES[2]
    theirs, ours = STORED["value"][2][0], balanced_confident(logits(n, classes, scale, phase).softmax(1), k)[0].tolist()
    assert len(set(theirs)) < len(theirs) and len(set(ours)) == len(ours)
