"""Blocks, bins and the DACE loss; optimal transport against a linear programme; pictures with dots."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from clipkit.dense import block_counts, blockwise, blurred_counts, dm_count_loss, sinkhorn, transport_loss
from clipkit.errors import ClipkitError

BINS = blockwise.count_bins(3)


@pytest.fixture
def dots():
    dice = torch.Generator().manual_seed(0)
    return [torch.rand(m, 2, generator=dice) * torch.tensor([48.0, 32.0]) for m in (0, 1, 40)]


def test_every_dot_is_in_one_block(dots):
    counts = block_counts(dots, (32, 48), 8)
    assert counts.shape == (3, 4, 6) and counts.sum((1, 2)).tolist() == [0, 1, 40]
    by_hand = torch.zeros(4, 6, dtype=torch.int64)
    for x, y in dots[2].tolist():
        by_hand[int(y // 8), int(x // 8)] += 1
    assert torch.equal(counts[2], by_hand)
    coarse = block_counts(dots, (32, 48), 16)
    assert torch.equal(counts.view(3, 2, 2, 3, 2).sum((2, 4)), coarse)
    edge = block_counts([torch.tensor([[48.0, 32.0], [0.0, 0.0], [8.0, 8.0]])], (32, 48), 8)[0]
    assert edge[3, 5] == edge[0, 0] == edge[1, 1] == 1


@pytest.mark.parametrize("sigma", [1.5, 6.0])
def test_blurred_counts_are_integrals_of_the_gaussian(dots, sigma):
    found = blurred_counts(dots, (32, 48), 8, sigma)
    assert torch.allclose(found.sum((1, 2)), torch.tensor([0.0, 1.0, 40.0]), atol=1e-4)
    fine = (np.arange(0, 48, 0.05) + 0.025, np.arange(0, 32, 0.05) + 0.025)  # midpoints of a fine grid
    [(x, y)] = dots[1].numpy()
    weights = [np.where(abs(g - c) <= 3 * sigma, np.exp(-((g - c) ** 2) / (2 * sigma**2)), 0) for g, c in zip(fine, (x, y), strict=True)]
    share = [(w / w.sum()).reshape(-1, 160).sum(1) for w in weights]
    assert np.allclose(found[1].numpy(), np.outer(share[1], share[0]), atol=2e-3)


def test_a_narrow_gaussian_is_a_dot():
    dots = [torch.tensor([[4.0, 4.0], [20.0, 12.0], [21.0, 11.0]])]
    found = blurred_counts(dots, (16, 24), 8, 0.2)
    assert torch.allclose(found, block_counts(dots, (16, 24), 8).float(), atol=1e-6)


def test_bins_meet_each_number_once():
    counts = torch.arange(8)
    assert blockwise.bin_classes(counts, BINS).tolist() == [0, 1, 2, 3, 3, 3, 3, 3]
    real = blockwise.real_bins(1, 0.5)
    assert blockwise.bin_classes(torch.tensor([0.0, 0.01, 0.5, 0.51, 1.0, 1.2]), real).tolist() == [0, 1, 1, 2, 2, 3]
    with pytest.raises(ClipkitError, match="whole counts, got 0.4"):
        blockwise.bin_classes(torch.tensor([0.4, 1.0]), BINS)
    with pytest.raises(ClipkitError, match="not negative"):
        blockwise.bin_classes(torch.tensor([-1.0]), BINS)
    with pytest.raises(ClipkitError, match="do not divide"):
        block_counts([], (30, 32), 8)
    with pytest.raises(ClipkitError, match="picture 0: dots"):
        block_counts([torch.tensor([[33.0, 1.0]])], (32, 32), 8)


def test_anchors_are_means_of_their_blocks():
    counts = torch.tensor([0, 0, 1, 3, 4, 8])
    assert blockwise.anchor_points(counts, BINS).tolist() == [0, 1, 2, 5]  # no block of two: the bin's own number
    assert blockwise.anchor_points(counts, BINS, "value").tolist() == [0, 1, 2, 3]
    # Perfect classes give the true total of the training blocks, because the last anchor is their mean.
    found = blockwise.anchor_points(counts, BINS)[blockwise.bin_classes(counts, BINS)]
    assert found.sum().item() == counts.sum().item()


def test_sentences_speak_of_their_bins():
    assert blockwise.count_sentences(blockwise.count_bins(14))[-2:] == ["There are 13 objects.", "There are 14 or more objects."]
    assert len(set(blockwise.count_sentences(blockwise.count_bins(6), "cell"))) == 7


def test_no_block_exceeds_the_last_anchor():
    torch.manual_seed(0)
    anchors = torch.tensor([0.0, 1.0, 2.0, 4.3])
    counter = blockwise.BlockwiseCounter(8, anchors, torch.randn(4, 5))
    logits, density = counter(1000 * torch.randn(6, 8, 3, 4))
    assert logits.shape == (6, 4, 3, 4) and density.shape == (6, 3, 4)
    assert (density >= 0).all() and density.max() <= 4.3 + 1e-5 and density.sum((1, 2)).max() <= 12 * 4.3
    assert torch.allclose(density, (logits.softmax(1) * anchors.view(1, 4, 1, 1)).sum(1), atol=1e-5)
    scaled = blockwise.BlockwiseCounter(8, anchors, 7 * counter.codes)
    scaled.decoder = counter.decoder
    x = torch.randn(2, 8, 3, 4)
    assert torch.allclose(scaled(x)[0], counter(x)[0], atol=1e-4)  # only a code's direction counts
    with pytest.raises(ClipkitError, match="one of each"):
        blockwise.BlockwiseCounter(8, anchors[:3], torch.randn(4, 5))


@pytest.mark.parametrize("learn", [False, True])
def test_frozen_codes_stay_and_others_move(learn):
    torch.manual_seed(0)
    counter, counts = blockwise.BlockwiseCounter(4, torch.arange(4.0), torch.eye(4), learn), torch.randint(0, 5, (2, 3, 3))
    loss = blockwise.dace_loss(*counter(torch.randn(2, 4, 3, 3)), counts, BINS)["loss"]
    loss.backward()
    assert (counter.codes.grad is not None and bool(counter.codes.grad.any())) == learn
    assert counter.log_scale.grad.abs() > 0


def test_dace_is_its_parts():
    torch.manual_seed(0)
    logits, counts = torch.randn(2, 4, 3, 5, dtype=torch.float64), torch.randint(0, 5, (2, 3, 5))
    density = logits.softmax(1).mul(torch.arange(4.0).view(1, 4, 1, 1)).sum(1)
    found = blockwise.dace_loss(logits, density, counts, BINS, weight=0.3)
    by_hand = -sum(logits.log_softmax(1)[b, min(int(counts[b, i, j]), 3), i, j] for b in range(2) for i in range(3) for j in range(5)) / 2
    off = (density - counts).abs().sum() / 2
    assert torch.allclose(found["cross_entropy"], by_hand) and torch.allclose(found["loss"], by_hand + 0.3 * off)
    with pytest.raises(ClipkitError, match="loss on the count"):
        blockwise.dace_loss(logits, density, counts, BINS, "huber")
    with pytest.raises(ClipkitError, match="one shape"):
        blockwise.dace_loss(logits, density[:, :2], counts, BINS)


def problem(n: int = 6, m: int = 4):
    dice = torch.Generator().manual_seed(1)
    a, b = (torch.rand(k, generator=dice, dtype=torch.float64) + 0.1 for k in (m, n))
    return a / a.sum(), b / b.sum(), torch.rand(m, n, generator=dice, dtype=torch.float64)


def test_sinkhorn_comes_to_the_linear_programme():
    a, b, cost = problem()
    m, n = cost.shape
    margins = np.vstack([np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))])
    best = linprog(cost.flatten().numpy(), A_eq=margins, b_eq=np.r_[a, b], bounds=(0, None))
    worth = []
    for reg, iterations in ((0.1, 300), (0.01, 1000), (0.001, 8000)):
        plan, beta = sinkhorn(a[None], b[None], cost[None], reg, iterations)
        assert torch.allclose(plan[0].sum(1), a, atol=1e-8) and torch.allclose(plan[0].sum(0), b, atol=1e-5)
        worth.append((plan[0] * cost).sum().item())
    assert worth[0] > worth[1] > worth[2] == pytest.approx(best.fun, abs=1e-4)
    # The dual is that of the programme up to a constant, which a density of fixed mass does not feel.
    dual = np.asarray(best.eqlin.marginals)[m:]
    assert np.allclose(beta[0] - beta.mean(), dual - dual.mean(), atol=2e-2)


def test_sinkhorn_of_a_batch_with_gaps_is_that_of_each():
    a, b, cost = problem()
    few = torch.cat([a[:2] / a[:2].sum(), torch.zeros(2, dtype=torch.float64)])
    plans, betas = sinkhorn(torch.stack([a, few]), torch.stack([b, b]), torch.stack([cost, cost]), 0.1)
    alone, beta = sinkhorn(few[None, :2], b[None], cost[None, :2], 0.1)
    assert torch.allclose(plans[1, :2], alone[0], atol=1e-9) and not plans[1, 2:].any()
    assert torch.allclose(betas[1], beta[0], atol=1e-9)
    with pytest.raises(ClipkitError, match="do not go with a cost"):
        sinkhorn(a[None], a[None], cost[None])


def test_transport_pulls_mass_to_the_dots():
    density = torch.full((1, 4, 4), 0.25, requires_grad=True)
    dots = [torch.tensor([[4.0, 4.0], [5.0, 3.0]])]
    transport_loss(density, dots, 8).backward()
    assert density.grad.argmin() == 0 and density.grad.argmax() == 15
    assert abs((density.grad * density).sum()) < 1e-4  # no pull on the total
    with torch.no_grad():
        moved = density - 0.001 * density.grad

    def work(d):  # what it costs to bring the mass to the dots
        centres = torch.cartesian_prod(torch.arange(4), torch.arange(4)).flip(1) * 8 + 4.0
        cost = torch.cdist(dots[0], centres).square()[None]
        share = d.flatten(1) / d.sum()
        return (sinkhorn(torch.full((1, 2), 0.5), share, cost)[0] * cost).sum()

    assert work(moved) < work(density.detach())


def test_dm_count_of_the_truth_and_of_nothing():
    dots = [torch.zeros(0, 2), torch.tensor([[4.0, 4.0], [12.0, 4.0]])]
    counts = block_counts(dots, (16, 16), 8).float()
    right = dm_count_loss(counts + 1e-6, counts, dots, 8, reg=1.0)
    assert dm_count_loss(2 * counts + 1e-6, counts, dots, 8, reg=1.0) > right + 0.9
    empty = torch.zeros(1, 2, 2, requires_grad=True)
    loss = dm_count_loss(empty, torch.zeros(1, 2, 2), [dots[0]], 8)
    loss.backward()
    assert loss.item() == 0 and math.isfinite(empty.grad.sum())
