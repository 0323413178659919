"""Pseudolabels: worked examples, balance, schedules, rounds that see what they should, Sinkhorn's margins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.adapt import balanced_assignment, balanced_confident, confident, pseudolabel_rounds, schedule
from clipkit.errors import ClipkitError


def table(n, c, seed):
    return torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(c), n))


P = torch.tensor(
    [  # six pictures, three classes
        [0.6, 0.3, 0.1],  # 0: class 0
        [0.7, 0.1, 0.2],  # 1: class 0, surer
        [0.5, 0.45, 0.05],  # 2: class 0, third
        [0.2, 0.5, 0.3],  # 3: class 1
        [0.9, 0.05, 0.05],  # 4: class 0, surest
        [0.1, 0.2, 0.7],  # 5: class 2
    ]
)


def test_rules_on_six_pictures_by_hand():
    rows, y = balanced_confident(P, 2)
    assert (rows.tolist(), y.tolist()) == ([4, 1, 3, 5], [0, 0, 1, 2])
    rows, y = balanced_confident(P, 2, rule="column")
    assert (rows.tolist(), y.tolist()) == ([4, 1, 3, 2, 5, 3], [0, 0, 1, 1, 2, 2])  # 3 stands under two labels
    # greedy: 0 and 1 fill class 0, unsorted with 1 (0.7) last. 2 (0.5) is turned away, enters class 1 and class 2.
    # 3 completes class 1. 4 (0.9) beats the last entry of class 0: 4, 1 stay. 5 completes class 2.
    rows, y = balanced_confident(P, 2, rule="greedy")
    assert (rows.tolist(), y.tolist()) == ([4, 1, 2, 3, 2, 5], [0, 0, 1, 1, 2, 2])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 12), st.integers(0, 10_000))
def test_argmax_and_column_against_a_plain_loop(n, c, k, seed):
    p = table(n, c, seed)
    best = p.argmax(1)
    rows, y = balanced_confident(p, k)
    if c > 1 and len(best.unique()) == 1:  # the documented fallback
        assert [t.tolist() for t in (rows, y)] == [t.tolist() for t in balanced_confident(p, k, rule="column")]
    else:
        expected = [(i, cls) for cls in range(c) for i in sorted((best == cls).nonzero().flatten().tolist(), key=lambda i: -p[i, cls])[:k]]
        assert list(zip(rows.tolist(), y.tolist(), strict=True)) == expected
        assert len(rows.unique()) == len(rows)
    rows, y = balanced_confident(p, k, rule="column")
    assert torch.bincount(y, minlength=c).tolist() == [min(k, n)] * c
    for cls in range(c):
        assert p[rows[y == cls], cls].tolist() == p[:, cls].sort(descending=True).values[:k].tolist()


@pytest.mark.parametrize("rule", ["argmax", "column", "greedy"])
def test_only_allowed_classes_are_given(rule):
    p = table(30, 6, 0)
    rows, y = balanced_confident(p, 3, rule, classes=[4, 1])
    assert set(y.tolist()) == {1, 4}
    rows2, y2 = balanced_confident(p[:, [1, 4]], 3, rule)
    assert rows.tolist() == rows2.tolist() and y.tolist() == [(1, 4)[i] for i in y2.tolist()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_one_class_and_all_alike(dtype):
    same = torch.full((5, 2), 0.5, dtype=dtype)  # every picture's best class is the first: fall back to columns
    assert [t.tolist() for t in balanced_confident(same, 2)] == [[0, 1, 0, 1], [0, 0, 1, 1]]
    assert [t.tolist() for t in balanced_confident(torch.ones(3, 1, dtype=dtype), 2)] == [[0, 1], [0, 0]]
    empty = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]], dtype=dtype)  # nobody chooses class 2: it gets nothing
    assert balanced_confident(empty, 5)[1].tolist() == [0, 1]
    assert balanced_confident(table(5000, 1000, 0), 2, rule="column")[0].shape == (2000,)


def test_threshold():
    rows, y = confident(P, 0.6)
    assert (rows.tolist(), y.tolist()) == ([0, 1, 4, 5], [0, 0, 0, 2])
    assert [len(t) for t in confident(P, 0.95)] == [0, 0]
    assert confident(P, 0.95, at_least=2)[0].tolist() == [1, 4] and confident(P, 0.6, at_least=2)[0].tolist() == rows.tolist()
    assert confident(P, 0.0)[0].tolist() == list(range(6))
    assert confident(P, 0.4, classes=[1])[0].tolist() == [2, 3]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 60), st.integers(1, 12))
def test_schedules(n, c, rounds):
    assert schedule("fpl", n, c, rounds, 7) == (7,)
    assert schedule("ifpl", n, c, rounds, 7) == (7,) * rounds
    ks = schedule("grip", n, c, rounds)
    assert len(ks) == rounds and list(ks) == sorted(ks) and ks[0] >= 1
    if n >= rounds * c:
        assert ks[-1] * c <= n
        assert ks[-1] > n / c - rounds / c - 1  # all but what rounding loses
    assert schedule("grip", 960, 48, 10)[-1] == 20 and schedule("grip", 960, 48, 10)[0] == 2


class Recorder:
    """Stands in for a learner: keeps what it was given, answers with fixed logits, another set each round."""

    def __init__(self, answers):
        self.answers, self.calls = answers, []

    def __call__(self, x, y, weights, i):
        self.calls.append((x, y, weights, i))
        self.i = i
        return self

    def predict_logits(self, features):
        return self.answers[self.i]


def test_rounds_relabel_and_weigh():
    x, first, second = torch.arange(12.0).reshape(6, 2), P, P.flip(0)
    known = (torch.tensor([[-1.0, -1.0], [-2.0, -2.0], [-3.0, -3.0]]), torch.tensor([0, 1, 2]))
    fit = Recorder([second.log(), None])
    learner, rounds = pseudolabel_rounds(fit, x, first, (1, 2), labelled=known, gamma=2.0, lam=0.5)
    assert learner is fit and [r.k for r in rounds] == [1, 2]
    assert rounds[0].rows.tolist() == [4, 3, 5] and rounds[1].rows.tolist() == [1, 4, 2, 0]
    for (got_x, y, weights, _), r in zip(fit.calls, rounds, strict=True):
        assert got_x[3:].tolist() == x[r.rows].tolist() and got_x[:3].tolist() == known[0].tolist()
        assert y.tolist() == [0, 1, 2, *r.labels.tolist()]
        torch.testing.assert_close(weights, torch.cat([torch.full((3,), 2 / 3), torch.full((len(r.rows),), 0.5 / len(r.rows))]))
    assert [call[3] for call in fit.calls] == [0, 1]


def test_settings_differ_in_labels_and_classes_only():
    x = torch.randn(6, 2)
    fit = Recorder([P.log()] * 2)
    _, rounds = pseudolabel_rounds(fit, x, P, (2, 2), labelled=(x[:2], torch.tensor([0, 0])), classes=[1, 2])  # class 0 is seen
    assert all(set(r.labels.tolist()) <= {1, 2} for r in rounds)
    _, rounds = pseudolabel_rounds(fit, x, P, (2,), gamma=0.0, labelled=(x[:2], torch.tensor([0, 1])))
    assert fit.calls[-1][2][:2].tolist() == [0, 0]  # γ = 0: labels weigh nothing
    _, rounds = pseudolabel_rounds(fit, x, P, (1,), select=lambda p, k: confident(p, 0.65))
    assert rounds[0].rows.tolist() == [1, 4, 5]


def test_pixels_are_fine():
    fit = Recorder([P.log()])
    pseudolabel_rounds(fit, torch.zeros(6, 3, 4, 4), P, (1,), labelled=(torch.ones(1, 3, 4, 4), torch.tensor([2])))
    assert fit.calls[0][0].shape == (4, 3, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "c"), [(1, 1), (7, 1), (40, 5), (300, 48)])
def test_assignment_has_its_margins(n, c, dtype):
    logits = 5 * torch.randn(n, c, dtype=dtype, generator=torch.Generator().manual_seed(0))
    q = balanced_assignment(logits, n_iter=5000)
    assert q.dtype == dtype
    torch.testing.assert_close(q.sum(1), torch.ones(n, dtype=dtype), atol=1e-5, rtol=0)
    torch.testing.assert_close(q.sum(0), torch.full((c,), n / c, dtype=dtype), atol=1e-4 if dtype == torch.float32 else 1e-5, rtol=0)


def test_assignment_is_scaling_of_rows_and_columns_and_takes_shares():
    logits, shares = torch.randn(50, 3, dtype=torch.float64), torch.tensor([0.6, 0.3, 0.1])
    q = balanced_assignment(logits, shares)
    torch.testing.assert_close(q.mean(0), shares.double(), atol=1e-6, rtol=0)
    rest = q.log() - logits  # u_i + v_c: a matrix of that form has no interaction
    interaction = rest - rest.mean(0) - rest.mean(1, keepdim=True) + rest.mean()
    assert interaction.abs().max() < 1e-10
    own = torch.randn(50, 3, dtype=torch.float64).softmax(1)
    torch.testing.assert_close(balanced_assignment(own.log(), own.mean(0)), own, atol=1e-6, rtol=0)  # right already: left alone


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: balanced_confident(P, 0), "k must be at least 1"),
        (lambda: balanced_confident(P, 1, "best"), "unknown rule"),
        (lambda: balanced_confident(P * float("nan"), 1), "NaN"),
        (lambda: balanced_confident(P[0], 1), "probs"),
        (lambda: balanced_confident(P, 1, classes=[3]), "some of 0 … 2"),
        (lambda: balanced_confident(P, 1, classes=[]), "some of 0 … 2"),
        (lambda: confident(P, 1.5), "threshold must lie"),
        (lambda: schedule("flp", 10, 2), "did you mean"),
        (lambda: schedule("fpl", 10, 0), "at least 1"),
        (lambda: pseudolabel_rounds(None, torch.zeros(6, 2), P, ()), "at least one round"),
        (lambda: pseudolabel_rounds(None, torch.zeros(5, 2), P, (1,)), "do not match"),
        (lambda: pseudolabel_rounds(None, torch.zeros(6, 2), P, (1,), labelled=(torch.zeros(1, 2), torch.tensor([3]))), "labels must lie"),
        (lambda: pseudolabel_rounds(None, torch.zeros(6, 2), P, (1,), select=lambda p, k: confident(p, 1.0)), "sure enough"),
        (lambda: balanced_assignment(P, torch.tensor([0.5, 0.5, 0.5])), "sum 1"),
        (lambda: balanced_assignment(P, torch.tensor([1.0, 0.0, 0.0])), "positive"),
    ],
)
def test_what_cannot_be_is_said(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
