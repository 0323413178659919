"""Agreement of a metric with a truth: scipy's numbers, a plain loop over pairs, ties, groups, intervals, and what is refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clipkit.errors import ClipkitError
from clipkit.metrics import kendall
from clipkit.score import agreement
from clipkit.score.agreement import group_correlations, pairwise_accuracy

GRADES = st.lists(st.integers(0, 3), min_size=2, max_size=14)


def test_examples_in_docstrings():
    found = doctest.testmod(agreement)
    assert found.attempted > 0 and found.failed == 0


def counted(truth, metric, eps=0.0):
    """Concordant, discordant, tied in truth, in metric, in both: one pair at a time."""
    C = D = H = M = HM = 0
    for i in range(len(truth)):
        for j in range(i):
            h, m = truth[i] - truth[j], metric[i] - metric[j]
            m = 0 if abs(m) <= eps else m
            if h == 0 and m == 0:
                HM += 1
            elif h == 0:
                H += 1
            elif m == 0:
                M += 1
            elif h * m > 0:
                C += 1
            else:
                D += 1
    return C, D, H, M, HM


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_kendall_is_its_formula(data):
    truth = data.draw(GRADES)
    metric = data.draw(st.lists(st.integers(0, 5), min_size=len(truth), max_size=len(truth)))
    C, D, H, M, HM = counted(truth, metric)
    P = C + D + H + M + HM
    if len(set(truth)) == 1 or len(set(metric)) == 1:
        assert np.isnan(kendall(truth, metric))
        return
    assert kendall(truth, metric) == pytest.approx((C - D) / np.sqrt((P - H - HM) * (P - M - HM)))
    k = min(len(set(truth)), len(set(metric)))
    assert kendall(truth, metric, "c") == pytest.approx(2 * (C - D) / (len(truth) ** 2 * (k - 1) / k))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pairwise_accuracy_equals_a_loop_over_pairs_and_every_eps(data):
    truth = data.draw(GRADES)
    metric = data.draw(st.lists(st.integers(0, 9).map(lambda v: v / 4), min_size=len(truth), max_size=len(truth)))

    def accuracy(eps):
        C, D, H, M, HM = counted(truth, metric, eps)
        return (C + HM) / (C + D + H + M + HM)

    strict = pairwise_accuracy(truth, metric, "strict")
    assert strict.accuracy == pytest.approx(accuracy(0.0)) and strict.pairs == len(truth) * (len(truth) - 1) // 2
    every = [abs(a - b) for a in metric for b in metric]
    best = pairwise_accuracy(truth, metric)
    assert best.accuracy == pytest.approx(max(map(accuracy, every)))
    assert best.accuracy == pytest.approx(accuracy(best.eps)) and best.accuracy >= strict.accuracy - 1e-12
    assert pairwise_accuracy(truth, metric, eps=0.5).accuracy == pytest.approx(accuracy(0.5))
    C, D, *_ = counted(truth, metric)
    ignored = pairwise_accuracy(truth, metric, "ignore")
    assert ignored.pairs == C + D and (C + D == 0 or ignored.accuracy == pytest.approx(C / (C + D)))


def test_a_constant_metric_wins_the_ties_only_and_a_perfect_one_all():
    truth = [1, 1, 2, 3, 3]
    assert pairwise_accuracy(truth, [7] * 5, "strict").accuracy == pytest.approx(2 / 10)
    assert pairwise_accuracy(truth, truth, "strict").accuracy == 1.0
    assert pairwise_accuracy(truth, [-t for t in truth], "ignore").accuracy == 0.0


def test_groups_weigh_the_same_and_share_one_eps():
    rng = np.random.default_rng(0)
    group = np.repeat([3, 1, 2], [2, 9, 5])
    truth, metric = rng.integers(0, 3, 16), rng.normal(size=16)
    for eps in (0.0, 0.3):
        parts = [pairwise_accuracy(truth[group == g], metric[group == g], eps=eps).accuracy for g in (1, 2, 3)]
        assert pairwise_accuracy(truth, metric, eps=eps, group=group).accuracy == pytest.approx(np.mean(parts))
    best = pairwise_accuracy(truth, metric, group=group)
    grid = [pairwise_accuracy(truth, metric, eps=e, group=group).accuracy for e in np.linspace(0, 3, 400)]
    assert best.accuracy >= max(grid) - 1e-12


def test_difficulty_of_prompts_is_seen_pooled_and_not_within():
    """A metric that knows the prompt only: perfect between prompts, nothing within them."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(60), 5)
    truth = 10.0 * group + rng.normal(size=300)
    knows_prompt = 10.0 * group + rng.normal(size=300)
    assert group_correlations(truth, knows_prompt).mean > 0.99
    assert abs(group_correlations(truth, knows_prompt, group).mean) < 0.15
    assert pairwise_accuracy(truth, knows_prompt, "strict").accuracy > 0.98
    assert pairwise_accuracy(truth, knows_prompt, "strict", group).accuracy < 0.6


@pytest.mark.parametrize(
    ("how", "peer"),
    [("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)],
    ids=["pearson", "spearman", "kendall"],
)
def test_correlations_equal_scipys_group_by_group(how, peer):
    rng = np.random.default_rng(2)
    group = rng.permutation(np.repeat(np.arange(30), rng.integers(2, 9, 30)))
    truth = rng.integers(0, 4, len(group)) / 3 + 100
    metric = rng.normal(size=len(group)).round(1)
    found = group_correlations(truth, metric, group, how)
    want = []
    for g in np.unique(group):
        x, y = truth[group == g], metric[group == g]
        want.append(np.nan if np.ptp(x) == 0 or np.ptp(y) == 0 else peer(x, y).statistic)
    np.testing.assert_allclose(found.values, want, atol=1e-9)
    assert found.dropped == np.isnan(want).sum() and found.mean == pytest.approx(np.nanmean(want))
    assert np.isnan(group_correlations([1, 1], [1, 2], how=how).mean)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pairwise_accuracy([1, 2], [1]), "one score for each"),
        (lambda: pairwise_accuracy([1, np.nan], [1, 2]), "NaN"),
        (lambda: pairwise_accuracy([1, 2], [1, 2], "some"), "unknown treatment"),
        (lambda: pairwise_accuracy([1, 2], [1, 2], group=[0, 1]), "no pair"),
        (lambda: group_correlations([1, 2], [1, 2], [0]), "one label for each"),
        (lambda: group_correlations([1, 2], [1, 2], how="rank"), "unknown correlation"),
        (lambda: kendall([1, 2], [1, 2], "a"), "unknown variant"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
