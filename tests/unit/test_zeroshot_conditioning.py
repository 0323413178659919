"""Conditioning on inferred contexts: the identities that say what it is, prompts, and bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.robust.worst_group import group_accuracy
from clipkit.zeroshot import conditional_zeroshot, infer_context, pool_contexts


def logits(n=6, c=4, z=3, seed=0, scale=20.0, dtype=torch.float64):
    return scale * torch.randn(n, c, z, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain(f, tau, g=None):
    """Algorithm 1 picture by picture, with exponentials as they stand."""
    p, q = [], []
    for i, x in enumerate(f.double()):
        e = (x / tau).exp().sum(0) if g is None else (g[i].double() / tau).exp()
        context = e / e.sum()
        given = torch.stack([x[:, z].exp() / x[:, z].exp().sum() for z in range(x.shape[1])], 1)
        p.append((given * context).sum(1))
        q.append(context)
    return torch.stack(p), torch.stack(q)


@pytest.mark.parametrize("dtype,atol", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("with_class", [True, False])
@pytest.mark.parametrize("c,z", [(4, 3), (1, 1), (1, 5), (1000, 2)])
def test_equals_algorithm_1(tau, with_class, dtype, atol, c, z):
    f, g = logits(3, c, z, scale=5, dtype=dtype), None if with_class else logits(3, 1, z, seed=1, scale=5, dtype=dtype)[:, 0]
    for ours, theirs in zip(conditional_zeroshot(f, tau, g), plain(f, tau, g), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=atol)


@given(seed=st.integers(0, 999), scale=st.floats(0.1, 100))
@settings(max_examples=30, deadline=None)
def test_with_class_at_temperature_one_is_log_sum_exp_pooling(seed, scale):
    f = logits(seed=seed, scale=scale)
    torch.testing.assert_close(conditional_zeroshot(f, 1.0)[0], pool_contexts(f, "lse").exp(), rtol=0, atol=1e-10)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_the_two_ends_of_the_temperature(seed):
    f = logits(seed=seed)
    p, context = conditional_zeroshot(f, math.inf)
    torch.testing.assert_close(p, pool_contexts(f, "prob").exp(), rtol=0, atol=1e-10)
    torch.testing.assert_close(context, torch.full_like(context, 1 / 3))
    best = f.amax(1).argmax(1)  # as tau falls, the sum over classes becomes its largest term
    p, context = conditional_zeroshot(f, 1e-9)
    torch.testing.assert_close(p, f.softmax(1)[torch.arange(6), :, best])
    assert (context.argmax(1) == best).all()


@given(seed=st.integers(0, 999), tau=st.sampled_from([0.3, 1.0, 10.0, math.inf]), with_class=st.booleans())
@settings(max_examples=30, deadline=None)
def test_invariants(seed, tau, with_class):
    f, g = logits(seed=seed), None if with_class else logits(seed=seed + 1)[:, 0]
    p, context = conditional_zeroshot(f, tau, g)
    torch.testing.assert_close(p.sum(1), torch.ones(6, dtype=p.dtype))
    torch.testing.assert_close(context.sum(1), torch.ones(6, dtype=p.dtype))
    order = torch.randperm(3, generator=torch.Generator().manual_seed(seed))
    again, turned = conditional_zeroshot(f[..., order], tau, None if g is None else g[:, order])
    torch.testing.assert_close(again, p)
    torch.testing.assert_close(turned, context[:, order])
    shift = logits(seed=seed + 2)[:, :1, :1]  # one number a picture
    torch.testing.assert_close(conditional_zeroshot(f + shift, tau, g)[0], p)


def test_one_context_is_plain_zero_shot():
    f = logits(z=1)
    for tau in (0.1, 1.0, math.inf):
        torch.testing.assert_close(conditional_zeroshot(f, tau)[0], f[..., 0].softmax(1))
    for how in ("prob", "lse", "max", "embed"):
        torch.testing.assert_close(pool_contexts(f, how), f[..., 0].log_softmax(1))


def test_a_context_named_twice_counts_twice():
    f = torch.log(torch.tensor([[[1.0, 4.0], [1.0, 1.0]]]))  # one picture, two classes, two contexts
    # Sums over classes 2 and 5; given the context the first class has 1/2 and 4/5.
    torch.testing.assert_close(conditional_zeroshot(f)[0], torch.tensor([[5 / 7, 2 / 7]]))
    twice = f[..., [0, 0, 1]]  # now (2 * 1 + 4) of (2 * 2 + 5)
    torch.testing.assert_close(conditional_zeroshot(twice)[0], torch.tensor([[6 / 9, 3 / 9]]))


def test_no_overflow_where_exponentials_would():
    f = logits(scale=100.0, dtype=torch.float32)
    p, _ = conditional_zeroshot(f, 0.05)
    assert not torch.isfinite((f / 0.05).exp()).all() and torch.isfinite(p).all()


def test_pooling_by_hand():
    f = torch.log(torch.tensor([[[1.0, 4.0], [1.0, 1.0]]]))
    torch.testing.assert_close(pool_contexts(f, "prob").exp(), torch.tensor([[0.65, 0.35]]))
    torch.testing.assert_close(pool_contexts(f, "max").exp(), torch.tensor([[0.8, 0.2]]))
    torch.testing.assert_close(pool_contexts(f, "embed").exp(), torch.tensor([[2 / 3, 1 / 3]]))


@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_log_sum_exp_goes_from_the_largest_to_the_mean(seed):
    f = logits(seed=seed)
    torch.testing.assert_close(pool_contexts(f, "lse", 1e-9), pool_contexts(f, "max"))
    torch.testing.assert_close(pool_contexts(f, "lse", math.inf), pool_contexts(f, "embed"))
    torch.testing.assert_close(pool_contexts(f, "lse", 1e7), pool_contexts(f, "embed"), rtol=0, atol=1e-3)


def test_group_accuracy_by_hand():
    found = group_accuracy(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 3, 3]))
    assert found.groups[[0, 3]].tolist() == [50, 100] and found.groups[[1, 2]].isnan().all() and found.sizes.tolist() == [2, 0, 0, 2]
    assert (found.worst, found.average) == (50, 75)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: conditional_zeroshot(torch.ones(2, 3)), "logits \\(N, C, Z\\)"),
        (lambda: conditional_zeroshot(torch.ones(2, 3, 0)), "no empty axis"),
        (lambda: conditional_zeroshot(torch.ones(2, 3, 4), tau=0.0), "tau must be positive"),
        (lambda: conditional_zeroshot(torch.ones(2, 3, 4), tau=math.nan), "tau must be positive"),
        (lambda: conditional_zeroshot(torch.ones(2, 3, 4) * math.nan), "NaN"),
        (lambda: conditional_zeroshot(torch.ones(2, 3, 4) * math.nan, 1.0, torch.ones(2, 4)), "NaN"),
        (lambda: conditional_zeroshot(torch.ones(2, 3, 4), 1.0, torch.ones(2, 3)), "context_logits must be"),
        (lambda: infer_context(torch.ones(3)), "\\(N, C, Z\\) or \\(N, Z\\)"),
        (lambda: pool_contexts(torch.ones(2, 3, 4), "mean"), "way of pooling"),
        (lambda: pool_contexts(torch.ones(2, 3)), "pooling takes"),
        (lambda: pool_contexts(torch.ones(2, 3, 4), "lse", 0.0), "tau must be positive"),
        (lambda: group_accuracy(torch.ones(2), torch.ones(3), torch.ones(2)), "one shape"),
        (lambda: group_accuracy(torch.ones(1), torch.ones(1), torch.tensor([-1])), "groups must be 0 or more"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
