"""CLIPN's loss with its gradient and its scores, beside the same equations written down as they stand."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from clipkit.robust import clipn_loss, clipn_scores

DIMENSIONS, SCALE = 512, 30.0


def unit(n: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, DIMENSIONS, generator=torch.Generator().manual_seed(seed)), dim=1)


def loss_as_written(f, g, no, scale):
    """arXiv:2308.12213: a softmax of two logits for every pair, and its logarithm."""
    both = torch.softmax(torch.stack([scale * f @ g.T, scale * f @ no.T], dim=-1), dim=-1)  # (B, B, 2)
    own = torch.eye(len(f))
    likelihood = -torch.log(own * both[..., 0] + (1 - own) * both[..., 1])
    n = len(f)
    tso = (2 - torch.sqrt(2 - 2 * (g * no).sum(1) + 1e-4)).mean()
    return 0.5 * ((own * likelihood).sum() / n + ((1 - own) * likelihood).sum() / (n * n - n) + tso)


def scores_as_written(x, yes, no, scale):
    logits, denied = scale * x @ yes.T, scale * x @ no.T
    share = torch.softmax(torch.stack([logits, denied], dim=-1), dim=-1)[..., 0]  # (N, C)
    return share.gather(1, logits.argmax(1, keepdim=True))[:, 0], (share * logits.softmax(1)).sum(1)


def test_loss(pair, size):
    given = [unit(size(1024, 64), seed) for seed in range(3)]

    def step(loss):
        tensors = [x.clone().requires_grad_() for x in given]
        value = loss(*tensors, SCALE)
        value.backward()
        return value.detach(), *(x.grad for x in tensors)

    def same(ours, theirs):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)

    ours = lambda *a: clipn_loss(*a)["total"]  # noqa: E731
    pair("CLIPN loss and gradient", lambda: step(ours), lambda: step(loss_as_written), "the paper's equations", same)


def test_scores(pair, size):
    classes = size(1000, 50)
    given = unit(2 * classes, 0), unit(classes, 1), unit(classes, 2), SCALE

    def same(ours, theirs):
        torch.testing.assert_close(tuple(ours[:2]), theirs, rtol=1e-4, atol=1e-6)

    pair("CLIPN scores", lambda: clipn_scores(*given), lambda: scores_as_written(*given), "the paper's equations", same)
