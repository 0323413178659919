"""CLIPN's loss with its gradient and its scores, beside the same equations written down as they stand.

Run with: pytest tests/benchmarks/test_bench_robust.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it computed the same value.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipkit.robust import clipn_loss, clipn_scores

pytest.importorskip("pytest_benchmark")
PAIRS, PICTURES, CLASSES, DIMENSIONS, SCALE = 1024, 2000, 1000, 512, 30.0
BENCH = {"rounds": 5, "warmup_rounds": 1}


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


def step(loss) -> float:
    f, g, no = (unit(PAIRS, seed).requires_grad_() for seed in range(3))
    value = loss(f, g, no, SCALE)
    value.backward()
    return value.item()


@pytest.mark.benchmark(group="clipn loss and gradient")
@pytest.mark.parametrize("name", ["clipkit", "as_written"])
def test_loss(benchmark, name):
    loss = {"clipkit": lambda *a: clipn_loss(*a)["total"], "as_written": loss_as_written}[name]
    value = benchmark.pedantic(step, (loss,), **BENCH)
    assert value == pytest.approx(loss_as_written(*(unit(PAIRS, seed) for seed in range(3)), SCALE).item(), rel=1e-4)


@pytest.mark.benchmark(group="clipn scores")
@pytest.mark.parametrize("name", ["clipkit", "as_written"])
def test_scores(benchmark, name):
    given = unit(PICTURES, 0), unit(CLASSES, 1), unit(CLASSES, 2), SCALE
    found = benchmark.pedantic({"clipkit": clipn_scores, "as_written": scores_as_written}[name], given, **BENCH)
    for ours, theirs in zip(found[:2], scores_as_written(*given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
