"""OOD scores and metrics: against torch and scikit-learn by another route, in the limit, by hand, and with bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from clipkit.errors import ClipkitError
from clipkit.robust import (
    balanced_accuracy,
    class_split,
    neg_label,
    ood_metrics,
    ood_score,
    threshold_for_recall,
    world_split,
)
from clipkit.robust.ood import OF_COSINES


def unit(n: int, d: int = 8, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [1, 2, 1000])
@pytest.mark.parametrize("method", OF_COSINES)
def test_scores_row_by_row(method, classes, dtype):
    x, w = unit(5, seed=1, dtype=dtype), unit(classes, seed=2, dtype=dtype)
    by_hand = {
        "max_softmax": lambda z: (20 * z).softmax(0).max(),
        "max_logit": lambda z: 20 * z.max(),
        "energy": lambda z: (20 * z).exp().sum().log(),
        "mcm": lambda z: z.softmax(0).max(),
        "entropy": lambda z: -torch.distributions.Categorical(logits=20 * z).entropy(),
    }[method]
    expected = torch.stack([by_hand(w @ row) for row in x])
    torch.testing.assert_close(ood_score(method, x, w, 20.0), expected, rtol=1e-4, atol=1e-5)


def test_mcm_at_the_models_temperature_is_max_softmax_and_a_cold_energy_the_largest_logit():
    x, w = unit(6), unit(4, seed=3)
    torch.testing.assert_close(ood_score("mcm", x, w, 20.0, temperature=1 / 20), ood_score("max_softmax", x, w, 20.0))
    torch.testing.assert_close(ood_score("energy", x, w, 20.0, temperature=1e-3), ood_score("max_logit", x, w, 20.0))


@given(seed=st.integers(0, 2**16), method=st.sampled_from(sorted(OF_COSINES)))
@settings(max_examples=20, deadline=None)
def test_classes_in_another_order_score_the_same(seed, method):
    x, w = unit(4, seed=seed), unit(6, seed=seed + 1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(ood_score(method, x, w, 10.0), ood_score(method, x, w[order], 10.0))


@pytest.mark.parametrize("method", OF_COSINES)
def test_every_score_is_larger_for_what_is_known(method):
    w = unit(5, 64)
    known, unknown = normalize(w + 0.02 * unit(5, 64, 9), dim=1), normalize(unit(200, 64, 7) - 2 * w.mean(0), dim=1)
    assert ood_metrics(ood_score(method, known, w, 30.0), ood_score(method, unknown, w, 30.0)).auroc > 95


def test_neg_label_in_its_limits():
    x, w = unit(6), unit(4, seed=5)
    assert torch.allclose(neg_label(x, w, w, 10.0), torch.full((6,), 0.5, dtype=x.dtype))  # negatives that are the classes
    far = neg_label(x, w, -x.mean(0, keepdim=True), 1e-9)
    torch.testing.assert_close(far, torch.full((6,), 4 / 5, dtype=x.dtype), atol=1e-6, rtol=0)  # no temperature: the share of names


def test_metrics_by_hand():
    found = ood_metrics(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([2.5, 0.0]))
    assert found.auroc == pytest.approx(100 * 4 / 6) and found.fpr95 == pytest.approx(50.0) and found.ties == 0
    perfect = ood_metrics(torch.arange(5.0) + 10, torch.arange(5.0))
    assert perfect[:4] == (100.0, 0.0, 100.0, 100.0)
    equal = ood_metrics(torch.ones(50), torch.ones(50))
    assert equal.auroc == 50 and equal.fpr95 == pytest.approx(95) and equal.ties == pytest.approx(0.99)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.lists(st.floats(-5, 5), min_size=2, max_size=30))
@settings(max_examples=25, deadline=None)
def test_metrics_turn_with_the_sides(known, unknown):
    a, b = np.round(known, 3), np.round(unknown, 3)  # so that turning the sign makes no new ties
    there, back = ood_metrics(a, b), ood_metrics(-b, -a)
    assert there.auroc == pytest.approx(back.auroc) and there.aupr_in == pytest.approx(back.aupr_out)
    assert ood_metrics(np.exp(a), np.exp(b)).auroc == pytest.approx(there.auroc)


def test_threshold_and_balanced_accuracy():
    scores = torch.arange(100.0)
    assert (scores >= threshold_for_recall(scores, 0.95)).float().mean() == pytest.approx(0.95)
    assert balanced_accuracy([True, True, False, True], [False, False]) == pytest.approx(87.5)
    with pytest.raises(ClipkitError, match="one side is empty"):
        balanced_accuracy([], [True])


@pytest.mark.parametrize("seed", range(8))
def test_world_splits_share_nothing_and_keep_their_promise(seed):
    from clipkit.world import CATEGORIES, SUPERCLASS_OF

    split = world_split(seed)
    assert len(split.known) == 20 and sorted([*split.known, *split.near, *split.far]) == sorted(CATEGORIES)
    kinds = [{SUPERCLASS_OF[c] for c in side} for side in split]
    assert not kinds[2] & kinds[0] and kinds[1] <= kinds[0] and len(kinds[2]) == 2
    assert split == world_split(seed) and split != world_split(seed + 100)


def test_class_split():
    split = class_split(list("abcde"), 3, seed=0)
    assert len(split.known) == 3 and sorted(split.known + split.near) == list("abcde") and split.far == []
    with pytest.raises(ClipkitError, match="1 to 4 can be known"):
        class_split(list("abcde"), 5, seed=0)
    with pytest.raises(ClipkitError, match="kinds can be far"):
        world_split(0, 20, 8)
    with pytest.raises(ClipkitError, match="categories can be known"):
        world_split(0, 36)


def test_bad_input():
    x, w = unit(3), unit(2)
    with pytest.raises(ClipkitError, match="unknown OOD score 'msp'"):
        ood_score("msp", x, w, 10.0)
    with pytest.raises(ClipkitError, match="temperature must be positive"):
        ood_score("energy", x, w, 10.0, temperature=0.0)
    with pytest.raises(ClipkitError, match="weights"):
        ood_score("mcm", x, w[:0], 10.0)
    with pytest.raises(ClipkitError, match="NaN"):
        ood_score("mcm", x * float("nan"), w, 10.0)
    with pytest.raises(ClipkitError, match="known scores"):
        ood_metrics(torch.tensor([float("nan")]), torch.ones(2))
