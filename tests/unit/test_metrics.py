"""Percent right by hand; rank correlations against their formulas and scipy; class means."""

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clipkit import ClipkitError, metrics
from clipkit.metrics import class_means, kendall, percent, percent_right, spearman

VECTORS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


def test_examples_in_docstrings():
    found = doctest.testmod(metrics)
    assert found.attempted > 3 and found.failed == 0


def test_percent_right_takes_labels_and_logits():
    labels = torch.tensor([0, 1, 2, 2])
    assert percent_right(torch.tensor([0, 1, 2, 0]), labels) == 75.0
    assert percent_right(torch.eye(3)[[0, 1, 2, 0]], labels) == 75.0
    assert percent_right(np.array([0, 0, 0, 0]), [1, 1, 1, 1]) == 0.0
    assert percent(np.array([[True, False], [True, True]])) == 75.0 and percent([0.25, 0.75]) == 50.0


@given(VECTORS)
def test_rank_correlations_are_scipys_and_nan_without_spread(rows):
    x, y = zip(*rows, strict=True)
    flat = len(set(x)) < 2 or len(set(y)) < 2
    for ours, theirs in ((spearman, stats.spearmanr), (kendall, stats.kendalltau)):
        assert np.isnan(ours(x, y)) if flat else ours(x, y) == pytest.approx(theirs(x, y).statistic)


def test_class_means():
    means, counts = class_means(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]), 4)
    assert means.flatten().tolist() == [2.0, 0.0, 5.0, 0.0] and counts.tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: percent_right([0, 1], [0]), "one shape"),
        (lambda: percent([]), "no answer"),
        (lambda: spearman([1, np.nan], [1, 2]), "NaN"),
        (lambda: kendall([1, 2], [1, 2], "a"), "unknown variant"),
        (lambda: kendall([1, 2], [1]), "one score for each"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ClipkitError, match=said):
        call()
