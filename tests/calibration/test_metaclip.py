"""Matching, threshold and sampling against MetaCLIP's released code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clipkit.pretrain import (
    SubstringMatcher,
    count_matches,
    entry_probability,
    keep_probability,
    tail_share,
    threshold_for_tail,
)
from tests.calibration.metaclip_official import COUNTS, DRAWS, ENTRIES, SHARES, THRESHOLDS, VALUES, T, texts

STORED = json.loads(VALUES.read_text(encoding="utf-8"))


def test_provenance_is_complete():
    assert all(row["repository"] == "facebookresearch/MetaCLIP" and len(row["release"]) == 40 and row["call"] for row in STORED.values())


def test_matching_is_theirs_on_every_text():
    found = [ids.tolist() for ids in SubstringMatcher(ENTRIES).match(texts())]
    assert found == STORED["matching"]["value"] and sum(map(len, found)) > 500


def test_share_and_probability():
    counts = np.array(COUNTS)
    assert [tail_share(counts, t) for t in THRESHOLDS] == pytest.approx(STORED["share"]["value"], abs=1e-12)
    assert entry_probability(counts, 20).tolist() == pytest.approx(STORED["probability"]["value"], abs=1e-12)


def test_threshold():
    """A deliberate difference: their share takes in the entries at t. So theirs is ours, or the entry before it in order of counts."""
    order = sorted({*COUNTS, max(COUNTS) + 1} - {0})
    for share, theirs in zip(SHARES, STORED["threshold"]["value"], strict=True):
        ours = threshold_for_tail(np.array(COUNTS), share)
        assert 0 <= order.index(ours) - order.index(theirs) <= 1
        assert abs(tail_share(np.array(COUNTS), ours) - share) <= abs(tail_share(np.array(COUNTS), theirs) - share)


def test_their_coins_land_on_our_closed_form():
    matches = SubstringMatcher(ENTRIES).match(texts())
    keep = keep_probability(matches, count_matches(matches, len(ENTRIES)), T)
    spread = np.sqrt(keep * (1 - keep) / DRAWS)
    gap = np.abs(np.array(STORED["sampling"]["value"]) / DRAWS - keep)
    assert (gap <= 4.5 * spread + 1e-12).all() and 0.2 < keep.mean() < 0.9
