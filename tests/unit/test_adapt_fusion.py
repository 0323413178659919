"""Logit bias: z-scores, weights by uncertainty, overlap of errors, and one face for the biases of five methods."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipkit.adapt.fusion import (
    KINDS,
    PAPER_REFERENCE,
    complementarity,
    uncertainty_statistic,
    uncertainty_weight,
    zscore,
)
from clipkit.errors import ClipkitError


def unit(n, d, seed, dtype=torch.float64):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


def probabilities(n, c, seed=0, sharp=3.0, dtype=torch.float64):
    return (sharp * torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=dtype)).softmax(1)


@pytest.mark.parametrize("C", [2, 3, 10, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_zscore_is_scipys(C, dtype, tolerance):
    scores = 5 + 2 * torch.randn(7, C, generator=torch.Generator().manual_seed(C), dtype=dtype)
    found = zscore(scores)
    np.testing.assert_allclose(found, scipy.stats.zscore(scores.numpy(), axis=1, ddof=1), atol=10 * tolerance)
    np.testing.assert_allclose(found.mean(1), 0, atol=tolerance)
    np.testing.assert_allclose(found.std(1), 1, atol=tolerance)


@pytest.mark.parametrize("C", [2, 8, 10, 48, 1000])
def test_a_one_hot_row_has_gap_root_C(C):
    row = zscore(torch.eye(C, dtype=torch.float64)[:1])[0]
    assert row[0] - row[1] == pytest.approx(math.sqrt(C))
    assert row.softmax(0)[0] == pytest.approx(math.exp(math.sqrt(C)) / (math.exp(math.sqrt(C)) + C - 1))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 20), st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_zscore_does_not_see_scale_or_shift_and_one_hot_gap_is_the_largest(C, seed, scale, shift):
    scores = torch.randn(3, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = zscore(scores)
    np.testing.assert_allclose(zscore(scale * scores + shift), found, atol=1e-6)
    top = found.topk(2, dim=1).values
    assert (top[:, 0] - top[:, 1] <= math.sqrt(C) + 1e-9).all()


def test_zscore_of_a_constant_row_and_of_one_class():
    flat = torch.full((2, 4), 3.0, requires_grad=True)
    zscore(flat).sum().backward()
    assert (zscore(flat) == 0).all() and torch.isfinite(flat.grad).all()
    for bad in (torch.zeros(3, 1), torch.zeros(3)):
        with pytest.raises(ClipkitError, match="two classes"):
            zscore(bad)


def test_zscore_gradient():
    assert torch.autograd.gradcheck(
        zscore, torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    )


@pytest.mark.parametrize("C", [2, 5, 48, 1000])
def test_statistics_equal_scipys(C):
    p = probabilities(20, C)
    # scipy divides by the biased variance: ((C - 1) / C)^2 between the two
    kurtosis = scipy.stats.kurtosis(p.numpy(), axis=1, fisher=False) * ((C - 1) / C) ** 2
    np.testing.assert_allclose(uncertainty_statistic(p)[:, 0], kurtosis, rtol=1e-9)
    np.testing.assert_allclose(uncertainty_statistic(p, "entropy")[:, 0], scipy.stats.entropy(p.numpy(), axis=1, base=C), rtol=1e-9)
    ordered = np.sort(p.numpy(), axis=1)
    np.testing.assert_allclose(uncertainty_statistic(p, "margin")[:, 0], ordered[:, -1] - ordered[:, -2], atol=1e-12)


@pytest.mark.parametrize("C", [5, 10, 48, 1000])
def test_kurtosis_runs_from_flat_to_C_minus_4(C):
    one_hot = uncertainty_statistic(torch.eye(C, dtype=torch.float64)[:1]).item()
    assert one_hot == pytest.approx(((C - 1) ** 4 + C - 1) / C**3)
    assert one_hot == pytest.approx(C - 4 + 6 / C, abs=0.2)
    flat = torch.full((1, C), 1 / C, dtype=torch.float64)
    assert uncertainty_statistic(flat).item() == pytest.approx(((C - 1) / C) ** 2)


@pytest.mark.parametrize("kind", ["kurtosis", "entropy", "margin"])
def test_the_median_row_weighs_one_and_sharper_rows_weigh_less(kind):
    logits = torch.tensor([[2.0, 1.0, 0.3, 0.0, -0.5, -1.0]], dtype=torch.float64)
    p = torch.cat([(t * logits).softmax(1) for t in (0.5, 1, 2, 4, 8)])
    weight = uncertainty_weight(p, kind)[:, 0]
    assert (weight.diff() < 0).all()
    assert weight[2] == pytest.approx(1)
    assert (uncertainty_weight(p, kind, rho=1.0)[:, 0] - 1).abs().ge((weight - 1).abs() - 1e-12).all()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(2, 30), st.integers(0, 10**6), st.floats(0, 2))
def test_weights_are_positive_and_blind_to_the_order_of_classes(kind, C, seed, rho):
    p = probabilities(9, C, seed)
    weight = uncertainty_weight(p, kind, rho)
    assert weight.shape == (9, 1) and torch.isfinite(weight).all() and (weight > 0).all()
    shuffled = torch.randperm(C, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_allclose(uncertainty_weight(p[:, shuffled], kind, rho), weight, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rho_zero_and_none_weigh_all_alike(kind):
    p = probabilities(6, 7)
    np.testing.assert_allclose(uncertainty_weight(p, kind, rho=0.0), 1, atol=1e-12)
    np.testing.assert_array_equal(uncertainty_weight(p, "none", rho=0.4, ref=PAPER_REFERENCE["none"]), np.ones((6, 1)))


def test_the_papers_reference_on_few_classes_is_always_above_one():
    """With 250 from ImageNet, ten classes get kappa between 4.3 and 7.7 whatever the picture: little room to act."""
    extremes = torch.cat([torch.eye(10, dtype=torch.float64)[:1], probabilities(50, 10, sharp=0.01)])
    weight = uncertainty_weight(extremes, ref=PAPER_REFERENCE["kurtosis"])[:, 0]
    assert weight[0] == pytest.approx((250 / 6.57) ** 0.4, rel=1e-3) and weight.min() == weight[0]


def test_a_tie_has_a_finite_margin_weight():
    p = torch.tensor([[0.5, 0.5, 0.0]])
    assert uncertainty_weight(p, "margin", 0.4, 1.0).item() == pytest.approx(0.01**-0.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((probabilities(3, 4), "variance"), "kind of uncertainty"),
        ((probabilities(3, 4), "kurtosis", -1.0), "rho"),
        ((probabilities(3, 4), "kurtosis", 0.4, 0.0), "reference"),
        ((probabilities(3, 4), "margin", 0.4, float("nan")), "reference"),
        ((torch.ones(3, 1),), "two classes"),
        ((torch.randn(3, 4),), "softmax"),
        ((probabilities(3, 4) * float("nan"),), "NaN"),
        ((probabilities(3, 4)[0],), "want floating-point numbers"),
    ],
)
def test_bad_probabilities_are_said(arguments, message):
    with pytest.raises(ClipkitError, match=message):
        uncertainty_weight(*arguments)


def test_complementarity_by_hand():
    a, b, y = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 1, 1, 2, 1]), torch.tensor([0, 1, 2, 2, 0])
    found = complementarity(a, b, y)
    assert found == pytest.approx(
        {
            "accuracy_a": 0.6,
            "accuracy_b": 0.6,
            "both": 0.4,
            "only_a": 0.2,
            "only_b": 0.2,
            "neither": 0.2,
            "disagreement": 0.4,
            "union": 0.8,
        }
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_complementarity_is_consistent(n, seed):
    a, b, y = torch.randint(0, 4, (3, n), generator=torch.Generator().manual_seed(seed))
    found, back = complementarity(a, b, y), complementarity(b, a, y)
    assert found["union"] == pytest.approx(found["both"] + found["only_a"] + found["only_b"])
    assert found["union"] >= max(found["accuracy_a"], found["accuracy_b"]) - 1e-12
    assert found["only_a"] == back["only_b"] and found["union"] == back["union"]
    assert found["only_a"] + found["only_b"] <= found["disagreement"] + 1e-12
    with pytest.raises(ClipkitError, match="labels"):
        complementarity(a, b[:-1], y)
