"""Contrastive losses with their gradients at 1,024 pairs of 512 dimensions, beside open_clip's loss and plainer ways to the same number."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipkit.compat import import_open_clip
from clipkit.pretrain import cloob_loss, decoupled_info_nce, equal_texts, info_loob, info_nce

DIMENSIONS, TOKENS, SCALE, BETA, SIGMA = 512, 32, 30.0, 8.0, 0.5


@pytest.fixture(scope="module")
def pairs(size):
    g, n = torch.Generator().manual_seed(0), size(1024, 64)
    x = F.normalize(torch.randn(n, DIMENSIONS, generator=g), dim=1)
    return x, F.normalize(x + torch.randn(n, DIMENSIONS, generator=g) / DIMENSIONS**0.5, dim=1)


def step(loss, pairs) -> tuple[torch.Tensor, ...]:
    """The loss and its gradients."""
    x, y = (t.clone().requires_grad_() for t in pairs)
    value = loss(x, y)
    value.backward()
    return value.detach(), x.grad, y.grad


def without_own(logits):
    """log-sum-exp of each row with -1000 on the diagonal, as the released code of CLOOB hides the positive."""
    return torch.where(torch.eye(len(logits), dtype=torch.bool), -1000.0, logits).logsumexp(1)


def loob_as_written(x, y):
    """arXiv:2110.11316: both directions, each with its own product."""
    own = SCALE * (x * y).sum(1)
    return sum((without_own(SCALE * a @ b.T) - own).mean() / SCALE for a, b in ((x, y), (y, x)))


def decoupled_as_written(x, y):
    """arXiv:2110.06848, DCLW: exponentials, their sum without the positive, and its logarithm."""
    own = (x * y).sum(1)
    weight = 2 - (own / SIGMA).exp() / (own / SIGMA).exp().mean()
    others = 1 - torch.eye(len(x))
    return sum((((SCALE * a @ b.T).exp() * others).sum(1).log() - weight * SCALE * own).mean() for a, b in ((x, y), (y, x))) / 2


def recalled_by_attention(query, stored):
    """The memory through torch's fused attention, whose temperature is `scale`."""
    return F.normalize(F.scaled_dot_product_attention(query[None], stored[None], stored[None], scale=BETA)[0], dim=1)


def cloob_by_attention(x, y):
    pairs = [(recalled_by_attention(a, s), recalled_by_attention(b, s)) for a, b, s in ((x, y, x), (y, x, y))]
    return sum((without_own(SCALE * a @ b.T) - SCALE * (a * b).sum(1)).mean() / SCALE for a, b in pairs)


def open_clip_loss(x, y):
    return import_open_clip().ClipLoss()(x, y, torch.tensor(SCALE))


@pytest.mark.parametrize(
    ("name", "loss", "peer", "peer_name"),
    [
        ("InfoNCE", lambda x, y: info_nce(x, y, SCALE), open_clip_loss, "open_clip's ClipLoss"),
        ("InfoLOOB", lambda x, y: info_loob(x, y, SCALE), loob_as_written, "a product a direction"),
        ("decoupled InfoNCE", lambda x, y: decoupled_info_nce(x, y, SCALE, SIGMA), decoupled_as_written, "the paper's equations"),
        ("CLOOB", lambda x, y: cloob_loss(x, y, SCALE, BETA), cloob_by_attention, "torch's fused attention"),
    ],
)
def test_loss(pair, pairs, name, loss, peer, peer_name):
    def same(ours, theirs):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)

    pair(f"{name} and gradient", lambda: step(loss, pairs), lambda: step(peer, pairs), peer_name, same)


def every_pair(tokens):
    same = (tokens[:, None] == tokens[None]).all(-1)
    return same & ~torch.eye(len(tokens), dtype=torch.bool)


def test_equal_texts(pair, size):
    drawn = torch.randint(0, 4, (size(1024, 128), TOKENS), generator=torch.Generator().manual_seed(1)) // 3
    tokens = drawn * (torch.arange(TOKENS) > 24)  # seven places that differ, so that some captions are equal

    def same(ours, theirs):
        assert torch.equal(ours, theirs) and ours.any()

    pair("equal captions", lambda: equal_texts(tokens), lambda: every_pair(tokens), "every pair of captions", same)
