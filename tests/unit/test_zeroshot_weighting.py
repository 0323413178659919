"""Prompt weighting against a plain loop in float64, its invariants, and bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.zeroshot import prompt_scores, prompt_weights, weighted_classifier
from clipkit.zeroshot.weighting import DEBIAS, centre, selected

S = 20.0


def task(n=7, p=5, c=4, d=6, m=9, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    unit = lambda *shape: F.normalize(torch.randn(*shape, d, generator=g, dtype=torch.float64), dim=-1).to(dtype)  # noqa: E731
    return unit(n), unit(p, c), unit(m)


def plain(z, t, r, debias, per_image=False):
    """The paper's formulas with loops over every picture, prompt and class."""
    z, t, r = (x.double().numpy() for x in (z, t, r))
    out = np.zeros((len(z), len(t)))
    for p in range(len(t)):
        for n in range(len(z)):
            centred = []
            for c in range(t.shape[1]):
                logit = S * float(z[n] @ t[p, c])
                pre = float(np.mean([S * float(x @ t[p, c]) for x in r]))
                test = float(np.mean([S * float(x @ t[p, c]) for x in z]))
                centred.append(logit - {"both": (pre + test) / 2, "pretrain": pre, "test": test, "none": 0.0}[debias])
            out[n, p] = max(centred)
    return out if per_image else out.mean(0)


@pytest.mark.parametrize("dtype,atol", [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("debias", DEBIAS)
@pytest.mark.parametrize("block", [1, 9, 10**6])
def test_equals_the_plain_loop(debias, dtype, atol, block):
    z, t, r = task(dtype=dtype)
    np.testing.assert_allclose(prompt_scores(z, t, r, scale=S, debias=debias, block=block), plain(z, t, r, debias), rtol=0, atol=atol)
    single = prompt_scores(z, t, r, scale=S, debias=debias, block=block, per_image=True)
    np.testing.assert_allclose(single, plain(z, t, r, debias, True), rtol=0, atol=atol)


@pytest.mark.parametrize("n,p,c", [(1, 1, 1), (1, 3, 1), (2, 1, 1000), (3, 2, 1000)])
def test_edge_sizes(n, p, c):
    z, t, r = task(n, p, c, d=4, m=2)
    np.testing.assert_allclose(prompt_scores(z, t, r, scale=S, block=700), plain(z, t, r, "both"), rtol=0, atol=1e-12)


def test_the_block_bounds_what_is_held():
    z, t, r = task(n=5, p=6, c=50)
    biggest = []
    real = torch.Tensor.amax

    def watched(self, *args):
        biggest.append(self.numel())
        return real(self, *args)

    torch.Tensor.amax = watched
    try:
        prompt_scores(z, t, r, block=100)
    finally:
        torch.Tensor.amax = real
    assert max(biggest) <= 100 < 5 * 6 * 50


def test_mean_feature_in_place_of_the_pictures():
    z, t, r = task()
    torch.testing.assert_close(prompt_scores(z, t, r.mean(0)), prompt_scores(z, t, r))
    torch.testing.assert_close(centre(z, r), (z.mean(0) + r.mean(0)) / 2)


@given(shift=st.floats(-30, 30), seed=st.integers(0, 99), debias=st.sampled_from(DEBIAS))
@settings(max_examples=25, deadline=None)
def test_a_constant_on_a_prompts_logits_moves_the_plain_score_only(shift, seed, debias):
    # A constant picture coordinate and a prompt coordinate of size shift / S add `shift` to every logit of prompt 0.
    z, t, r = task(seed=seed)
    one = lambda x: torch.cat([x, torch.ones(*x.shape[:-1], 1, dtype=x.dtype)], -1)  # noqa: E731
    before = torch.cat([t, torch.zeros(*t.shape[:-1], 1, dtype=t.dtype)], -1)
    after = before.clone()
    after[0, :, -1] = shift / S
    moved = prompt_scores(one(z), after, one(r), scale=S, debias=debias) - prompt_scores(one(z), before, one(r), scale=S, debias=debias)
    expected = torch.zeros(len(t), dtype=t.dtype)
    expected[0] = shift if debias == "none" else 0.0
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-9)


@given(seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_orders_do_not_matter(seed):
    z, t, r = task(seed=seed)
    g = torch.Generator().manual_seed(seed)
    rows, prompts, classes = (torch.randperm(k, generator=g) for k in (len(z), *t.shape[:2]))
    scores = prompt_scores(z, t, r)
    torch.testing.assert_close(prompt_scores(z[rows], t[prompts][:, classes], r.flip(0)), scores[prompts])
    torch.testing.assert_close(prompt_weights(scores[prompts]), prompt_weights(scores)[prompts])


def test_weights_by_hand():
    scores = torch.tensor([0.0, math.log(2.0), math.log(5.0)], dtype=torch.float64)
    torch.testing.assert_close(prompt_weights(scores), torch.tensor([1, 2, 5], dtype=torch.float64) / 8)
    torch.testing.assert_close(prompt_weights(scores, temperature=0.5), torch.tensor([1, 4, 25], dtype=torch.float64) / 30)
    torch.testing.assert_close(prompt_weights(torch.tensor([1.0, 3.0]), "raw"), torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(prompt_weights(scores, "equal"), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_selection_by_hand():
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0])  # median 3, deviations 2 1 0 1 7, their median 1
    assert selected(scores, 0.5).tolist() == [False, False, False, True, True]
    assert selected(scores, 2.0).tolist() == [False, False, False, False, True]
    assert prompt_weights(scores, "equal", threshold=0.5).tolist() == [0, 0, 0, 0.5, 0.5]
    even = torch.tensor([0.0, 1.0, 2.0, 3.0])  # median 1.5, MAD 1: where torch.median would say 1
    assert selected(even, 1.0).tolist() == [False, False, False, True]
    assert selected(scores, -math.inf).all()
    assert selected(scores, 99.0).tolist() == [False, False, False, False, True]  # never none
    both = torch.stack([scores, scores.flip(0)])
    assert selected(both, 2.0).nonzero().tolist() == [[0, 4], [1, 0]]


def test_identical_prompts_do_not_divide_by_zero():
    flat = torch.ones(4)
    assert selected(flat, 0.5).tolist() == [True, False, False, False]
    assert selected(flat, -0.5).all()
    assert prompt_weights(flat, threshold=0.5).tolist() == [1, 0, 0, 0]
    assert selected(torch.tensor([1.0, 1.0, 1.0, 2.0, 0.0]), 5.0).tolist() == [False, False, False, True, False]


def test_classifier_is_the_mean_of_logits():
    z, t, _ = task()
    each = torch.einsum("nd,pcd->pnc", z, t)
    w = prompt_weights(torch.arange(len(t), dtype=t.dtype))
    torch.testing.assert_close(z @ weighted_classifier(t, w).T, torch.einsum("p,pnc->nc", w, each))
    torch.testing.assert_close(weighted_classifier(t), weighted_classifier(t, prompt_weights(torch.zeros(len(t), dtype=t.dtype))))
    torch.testing.assert_close(weighted_classifier(t, torch.eye(len(t), dtype=t.dtype)[2]), t[2])
    torch.testing.assert_close(weighted_classifier(t, w, normalise=True).norm(dim=-1), torch.ones(t.shape[1], dtype=t.dtype))


def test_no_gradient_is_kept_and_device_and_type_follow():
    z, t, r = task(dtype=torch.float32)
    scores = prompt_scores(z.requires_grad_(), t, r)
    assert not scores.requires_grad and scores.dtype == torch.float32


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda z, t, r: (z, t, None), "needs pretrain_features"),
        (lambda z, t, r: (z[:, :5], t, r), "none empty"),
        (lambda z, t, r: (z[:0], t, r), "none empty"),
        (lambda z, t, r: (z, t[0], r), "none empty"),
        (lambda z, t, r: (z * math.nan, t, r), "image features: 7 rows hold NaN"),
        (lambda z, t, r: (z, t * math.inf, r), "text features: 5 rows hold NaN"),
        (lambda z, t, r: (z, t, r[:, :5]), "last dimension"),
        (lambda z, t, r: (z, t, r * math.nan), "pretrain_features: 9 rows hold NaN"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ClipkitError, match=message):
        prompt_scores(*change(*task()))


def test_more_bad_input():
    z, t, r = task()
    with pytest.raises(ClipkitError, match="debias"):
        prompt_scores(z, t, r, debias="all")
    for scores in (torch.tensor([]), torch.tensor([math.nan]), torch.ones(1, 1, 1)):
        with pytest.raises(ClipkitError, match="scores"):
            prompt_weights(scores)
    with pytest.raises(ClipkitError, match="mode"):
        prompt_weights(torch.ones(2), "max")
    with pytest.raises(ClipkitError, match="temperature"):
        prompt_weights(torch.ones(2), temperature=0.0)
    with pytest.raises(ClipkitError, match="positive"):
        prompt_weights(torch.tensor([-1.0, 1.0]), "raw")
    with pytest.raises(ClipkitError, match="weighted_classifier takes"):
        weighted_classifier(t, torch.ones(len(t) + 1))
