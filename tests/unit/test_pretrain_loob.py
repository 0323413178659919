"""InfoLOOB, CLOOB and the decoupled loss: plain forms, limits, symmetries, the saturation identity, false negatives."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipkit import ClipkitError
from clipkit.pretrain import (
    cloob_loss,
    decoupled_info_nce,
    equal_texts,
    info_loob,
    info_nce,
    leave_one_out,
    memory_info_nce,
    positive_logs,
    retrieval_weights,
    retrieve,
)
from clipkit.pretrain.gradient_saturation import identity_error, saturation
from clipkit.pretrain.hopfield import recall, self_weight

LOSSES = {"info_nce": info_nce, "info_loob": info_loob, "cloob": cloob_loss, "memory": memory_info_nce, "decoupled": decoupled_info_nce}


def pair(seed: int, B: int, D: int, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(B, D, generator=g, dtype=dtype), dim=-1) for _ in range(2)]


def loob_by_hand(a, b, scale, skip=lambda i, j: False) -> float:
    """Anchor by anchor, with Python's own exp and log."""
    total = 0.0
    for i in range(len(a)):
        logits = [scale * float(a[i] @ b[j]) for j in range(len(b))]
        total += math.log(sum(math.exp(logits[j]) for j in range(len(b)) if j != i and not skip(i, j))) - logits[i]
    return total / len(a)


def retrieve_by_hand(query, stored, beta):
    rows = []
    for q in query:
        weights = [math.exp(beta * float(s @ q)) for s in stored]
        mean = sum(w * s for w, s in zip(weights, stored, strict=True)) / sum(weights)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), B=st.integers(2, 7), scale=st.floats(0.1, 50))
def test_info_loob_equals_the_plain_form(seed, B, scale):
    x, y = pair(seed, B, 5)
    expected = loob_by_hand(x, y, scale) + loob_by_hand(y, x, scale)
    assert info_loob(x, y, scale, tau_scaled=False).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert info_loob(x, y, scale).item() == pytest.approx(expected / scale, rel=1e-9, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), B=st.integers(2, 6), beta=st.floats(0.1, 40), scale=st.floats(1, 40))
def test_cloob_equals_the_plain_form(seed, B, beta, scale):
    x, y = pair(seed, B, 4)
    u_x, u_y, v_x, v_y = (retrieve_by_hand(q, s, beta) for q, s in ((x, x), (y, x), (x, y), (y, y)))
    expected = (loob_by_hand(u_x, u_y, scale) + loob_by_hand(v_y, v_x, scale)) / scale
    assert cloob_loss(x, y, scale, beta).item() == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_a_thousand_pairs_in_both_precisions(dtype, tolerance):
    x, y = pair(3, 1000, 16, dtype)
    logits = 20.0 * (x @ y.T).double()
    expected = (logits - 1e9 * torch.eye(1000, dtype=torch.float64)).logsumexp(1).mean() - logits.diagonal().mean()
    assert abs(leave_one_out(x, y, 20.0).double().mean() - expected) < tolerance * 20
    assert math.isfinite(cloob_loss(x, y, 100.0, 50.0).item())


def test_two_pairs_by_hand():
    # own logit s, the other's 0: one negative, so each direction is log(e^0) - s
    x = torch.eye(2)
    assert info_loob(x, x, 3.0, tau_scaled=False).item() == pytest.approx(-6.0)
    assert info_loob(x, x, 3.0).item() == pytest.approx(-2.0)  # negative: there is no floor


def test_memory_that_recalls_the_query_exactly():
    # orthonormal patterns and a sharp memory: what is recalled is the partner itself
    x = torch.eye(5, dtype=torch.float64)
    assert cloob_loss(x, x, 7.0, beta=1e4).item() == pytest.approx(info_loob(x, x, 7.0).item(), abs=1e-9)


def test_the_sharp_limit_is_the_nearest_stored_neighbour_and_not_plain_loob():
    # An image asks the images and finds itself; a text asks the images and finds the *nearest image*, not itself.
    x, y = pair(5, 6, 4)
    sharp = recall(x, y, 1e6)
    torch.testing.assert_close(sharp.image_by_image, x)
    torch.testing.assert_close(sharp.text_by_text, y)
    torch.testing.assert_close(sharp.text_by_image, x[(y @ x.T).argmax(1)])
    expected = (loob_by_hand(x, sharp.text_by_image, 9.0) + loob_by_hand(y, sharp.image_by_text, 9.0)) / 9.0
    assert cloob_loss(x, y, 9.0, 1e6).item() == pytest.approx(expected)
    assert abs(expected - info_loob(x, y, 9.0).item()) > 1e-2


def test_the_blunt_limit_recalls_the_same_for_all():
    x, y = pair(6, 8, 4)
    blunt = recall(x, y, 1e-9)
    for recalled, store in ((blunt.image_by_image, x), (blunt.text_by_image, x), (blunt.image_by_text, y), (blunt.text_by_text, y)):
        torch.testing.assert_close(recalled, F.normalize(store.mean(0), dim=0).expand_as(recalled), rtol=1e-6, atol=1e-6)
    assert cloob_loss(x, y, 9.0, 1e-9, tau_scaled=False).item() == pytest.approx(2 * math.log(7), abs=1e-5)


def test_swapping_the_roles_swaps_the_two_terms():
    x, y = pair(7, 9, 5)
    u_x, u_y, v_x, v_y = recall(x, y, 4.0)
    first, second = leave_one_out(u_x, u_y, 6.0).mean(), leave_one_out(v_y, v_x, 6.0).mean()
    w_x, w_y, z_x, z_y = recall(y, x, 4.0)  # now y plays the images
    torch.testing.assert_close(leave_one_out(w_x, w_y, 6.0).mean(), second)
    torch.testing.assert_close(leave_one_out(z_y, z_x, 6.0).mean(), first)
    torch.testing.assert_close(cloob_loss(y, x, 6.0, 4.0), cloob_loss(x, y, 6.0, 4.0))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), name=st.sampled_from(sorted(LOSSES)))
def test_order_and_rotation_do_not_matter(seed, name):
    x, y = pair(seed, 6, 4)
    g = torch.Generator().manual_seed(seed)
    order, rotation = torch.randperm(6, generator=g), torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=g))[0]
    value = LOSSES[name](x, y, 5.0)
    torch.testing.assert_close(LOSSES[name](x[order], y[order], 5.0), value)
    torch.testing.assert_close(LOSSES[name](x @ rotation, y @ rotation, 5.0), value)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name):
    x, y = (t.requires_grad_() for t in pair(3, 4, 3))
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[0, 2] = same[2, 0] = True
    assert torch.autograd.gradcheck(lambda a, b, s: LOSSES[name](a, b, s, false_negatives=same), (x, y, scale))


def test_memory_info_nce_is_info_nce_of_what_is_recalled():
    x, y = pair(4, 7, 5)
    u_x, u_y, v_x, v_y = recall(x, y, 3.0)
    target = torch.arange(7)
    expected = 0.5 * (F.cross_entropy(5 * u_x @ u_y.T, target) + F.cross_entropy(5 * v_y @ v_x.T, target))
    torch.testing.assert_close(memory_info_nce(x, y, 5.0, 3.0), expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), B=st.integers(2, 9), scale=st.floats(0.5, 8))
def test_saturation_identity(seed, B, scale):  # at a large scale 1 - p is so small that p has no digits left to hold it
    assert identity_error(*pair(seed, B, 6), scale) < 1e-6


def test_the_identity_test_can_fail():
    x, y = pair(1, 5, 4)
    nce = -positive_logs(x.requires_grad_(), y, 5.0)[0]
    loob = leave_one_out(x, y, 5.0)[0]
    wrong = torch.autograd.grad(nce, x, retain_graph=True)[0] - torch.autograd.grad(loob, x)[0]  # without 1 - p
    assert wrong.norm() > 1e-2


def test_saturation_of_a_solved_batch():
    # All pairs told apart: InfoNCE has almost no gradient left, InfoLOOB keeps one of the same direction.
    x = torch.eye(6, dtype=torch.float64)
    rough = F.normalize(x + 0.1 * torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=1)
    seen = saturation(x, rough, 30.0)
    assert seen["positive"] > 0.99 and seen["gradient_nce"] < 0.05 * seen["gradient_loob"]
    blind = saturation(x, rough, 1e-6)
    assert blind["positive"] == pytest.approx(1 / 6, rel=1e-3)
    assert saturation(x, rough, 30.0, beta=1e-6)["positive"] == pytest.approx(1 / 6, rel=1e-3)


# -- false negatives ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["info_nce", "info_loob", "decoupled"])
def test_equal_captions_leave_each_others_sums(name):
    x, y = pair(2, 6, 5)
    y = torch.where(torch.arange(6)[:, None] == 4, y[1], y)  # pairs 1 and 4 share a caption
    same = equal_texts(torch.tensor([0, 1, 2, 3, 1, 5])[:, None])
    assert same.nonzero().tolist() == [[1, 4], [4, 1]]
    if name == "info_loob":
        expected = sum(loob_by_hand(a, b, 4.0, lambda i, j: bool(same[i, j])) for a, b in ((x, y), (y, x)))
        assert info_loob(x, y, 4.0, tau_scaled=False, false_negatives=same).item() == pytest.approx(expected)
    if name == "decoupled":
        equal = decoupled_info_nce(x, y, 4.0, sigma=None, false_negatives=same)
        torch.testing.assert_close(equal, 0.5 * info_loob(x, y, 4.0, tau_scaled=False, false_negatives=same))
    if name == "info_nce":
        logits = (4.0 * x @ y.T).masked_fill(same, -torch.inf)
        expected = -0.5 * (logits.log_softmax(1).diagonal().mean() + logits.log_softmax(0).diagonal().mean())
        torch.testing.assert_close(info_nce(x, y, 4.0, same), expected)
    assert LOSSES[name](x, y, 4.0, false_negatives=same) < LOSSES[name](x, y, 4.0)  # fewer to be told apart


@pytest.mark.parametrize("name", LOSSES)
def test_an_empty_mask_changes_nothing(name):
    x, y = pair(8, 5, 4)
    torch.testing.assert_close(LOSSES[name](x, y, 4.0, false_negatives=torch.zeros(5, 5, dtype=torch.bool)), LOSSES[name](x, y, 4.0))


def test_an_anchor_without_negatives_is_left_out_of_the_mean():
    x, y = pair(9, 3, 4)
    same = torch.zeros(3, 3, dtype=torch.bool)
    same[0, 1:] = True  # image 0 has no negative text
    terms = leave_one_out(x.requires_grad_(), y, 4.0, same)
    assert terms[0] == 0
    loss = info_loob(x, y, 4.0, tau_scaled=False, false_negatives=same)
    back = leave_one_out(y, x, 4.0, same.T)
    torch.testing.assert_close(loss, terms[1:].mean() + back.mean())
    loss.backward()
    assert torch.isfinite(x.grad).all()


# -- decoupled ------------------------------------------------------------------------------------
def test_decoupled_with_equal_weights_is_half_of_loob():
    x, y = pair(11, 9, 5)
    torch.testing.assert_close(decoupled_info_nce(x, y, 8.0, sigma=None), 0.5 * info_loob(x, y, 8.0, tau_scaled=False))


def test_decoupled_by_hand():
    x, y = pair(12, 4, 3)
    own = [float(a @ b) for a, b in zip(x, y, strict=True)]
    total = sum(math.exp(c / 0.5) for c in own)
    weights = [2 - 4 * math.exp(c / 0.5) / total for c in own]
    assert sum(weights) == pytest.approx(4)
    expected = 0.0
    for a, b in ((x, y), (y, x)):
        for i in range(4):
            rest = sum(math.exp(6 * float(a[i] @ b[j])) + math.exp(6 * float(a[i] @ a[j])) for j in range(4) if j != i)
            expected += (math.log(rest) - weights[i] * 6 * own[i]) / 8
    assert decoupled_info_nce(x, y, 6.0, 0.5, within=True).item() == pytest.approx(expected)


# -- the memory -----------------------------------------------------------------------------------
def test_weights_sum_to_one_and_self_weight_agrees():
    cosine, n = 0.3, 12
    base = torch.linalg.cholesky(torch.full((n, n), cosine, dtype=torch.float64) + (1 - cosine) * torch.eye(n))  # rows: unit, cosine .3
    weights = retrieval_weights(base, base, 8.0)
    torch.testing.assert_close(weights.sum(1), torch.ones(n, dtype=torch.float64))
    torch.testing.assert_close(weights.diagonal(), torch.full((n,), self_weight(8.0, n, cosine), dtype=torch.float64))


def test_hidden_patterns_are_not_recalled():
    x, y = pair(13, 6, 4)
    hidden = torch.eye(6, dtype=torch.bool)
    weights = retrieval_weights(x, x, 8.0, hidden)
    assert not weights.diagonal().any() and torch.allclose(weights.sum(1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(recall(x, y, 8.0, hide_self=True).image_by_image, retrieve(x, x, 8.0, hidden))
    torch.testing.assert_close(recall(x, y, 8.0, hide_self=True).text_by_image, retrieve(y, x, 8.0))


def test_one_stored_pattern_is_always_recalled():
    x, y = pair(14, 1, 4)
    torch.testing.assert_close(retrieve(y.repeat(3, 1), x, 2.0), x.repeat(3, 1))


def test_the_two_memories_may_differ():
    x, y = pair(15, 5, 4)
    both = recall(x, y, 2.0, beta_text=20.0)
    torch.testing.assert_close(both.image_by_text, retrieve(x, y, 20.0))
    torch.testing.assert_close(both.text_by_image, retrieve(y, x, 2.0))


def test_half_precision_is_computed_in_single():
    x, y = pair(16, 32, 8, torch.float32)
    half = cloob_loss(x.bfloat16(), y.bfloat16(), 100.0, 50.0)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, cloob_loss(x.bfloat16().float(), y.bfloat16().float(), 100.0, 50.0))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cloob_loss(x, y, 100.0, 50.0), cloob_loss(x, y, 100.0, 50.0).float())
        inside = cloob_loss(x, y, 30.0, 8.0)
    torch.testing.assert_close(inside, cloob_loss(x, y, 30.0, 8.0))


# -- clear words ----------------------------------------------------------------------------------
def test_clear_words():
    x, y = pair(17, 4, 3)
    for name, loss in LOSSES.items():
        with pytest.raises(ClipkitError, match="one shape"):
            loss(x, y[:3], 1.0)
        with pytest.raises(ClipkitError, match="false_negatives as"):
            loss(x, y, 1.0, false_negatives=torch.zeros(3, 3, dtype=torch.bool))
        if name not in ("info_nce", "memory"):
            with pytest.raises(ClipkitError, match="at least two pairs"):
                loss(x[:1], y[:1], 1.0)
    with pytest.raises(ClipkitError, match="beta must be positive"):
        cloob_loss(x, y, 1.0, beta=0.0)
    with pytest.raises(ClipkitError, match="stored patterns"):
        retrieve(x, y[:, :2], 1.0)
    with pytest.raises(ClipkitError, match="can recall nothing"):
        retrieve(x, y, 1.0, torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ClipkitError, match="a row for each query"):
        retrieve(x, y, 1.0, torch.zeros(4, 3, dtype=torch.bool))
    with pytest.raises(ClipkitError, match="sigma must be"):
        decoupled_info_nce(x, y, 1.0, sigma=-1.0)
    with pytest.raises(ClipkitError, match="of pairs must be of one shape"):
        recall(x, y[:2], 1.0)
    with pytest.raises(ClipkitError, match="self_weight wants"):
        self_weight(-1.0, 5, 0.0)
