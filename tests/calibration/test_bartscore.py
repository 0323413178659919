"""BARTScore against the numbers of its released code, on a tiny BART with fixed weights and special tokens counted as there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clipkit.language.scorers import load_scorer
from clipkit.score.bartscore import BARTScore
from tests.calibration.bartscore_official import REFERENCES, SOURCES, TARGETS, VALUES, tiny_bart

STORED = json.loads(VALUES.read_text())
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bart")
    tiny_bart(path)
    return str(path)


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert STORED[name]["repository"] == "neulab/BARTScore" and len(STORED[name]["release"]) == 40 and "BARTScorer" in STORED[name]["call"]


@pytest.mark.parametrize("name, batch, length", [("score", 4, 1024), ("score_one_by_one", 1, 1024), ("score_cut_at_8", 3, 8)])
def test_scores(folder, name, batch, length):
    got = load_scorer(folder, "cpu", length, batch).logprob(SOURCES, TARGETS)
    np.testing.assert_allclose(got, STORED[name]["value"], atol=TOLERANCE)


@pytest.mark.parametrize("agg", ["mean", "max"])
def test_several_references(folder, agg):
    # their multi_ref_score writes each reference from the first text: our recall
    got = BARTScore(load_scorer(folder, "cpu"), agg=agg).recall(REFERENCES, SOURCES)
    np.testing.assert_allclose(got, STORED[f"multi_ref_{agg}"]["value"], atol=TOLERANCE)
