"""Contrastive losses with their gradients at 1,024 pairs of 512 dimensions, beside open_clip's loss and plainer ways to the same number.

Run with: pytest tests/benchmarks/test_bench_losses.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it computed the same value.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipkit.compat import import_open_clip
from clipkit.pretrain import cloob_loss, decoupled_info_nce, equal_texts, info_loob, info_nce

pytest.importorskip("pytest_benchmark")
PAIRS, DIMENSIONS, TOKENS, SCALE, BETA = 1024, 512, 32, 30.0, 8.0
BENCH = {"rounds": 5, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def pairs():
    g = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(PAIRS, DIMENSIONS, generator=g), dim=1)
    return x, F.normalize(x + torch.randn(PAIRS, DIMENSIONS, generator=g) / DIMENSIONS**0.5, dim=1)


def step(loss, pairs) -> float:
    x, y = (t.clone().requires_grad_() for t in pairs)
    value = loss(x, y)
    value.backward()
    return value.item()


def retrieve_by_attention(query, stored):
    """The same memory through torch's fused attention, whose temperature is `scale`."""
    return F.normalize(F.scaled_dot_product_attention(query[None], stored[None], stored[None], scale=BETA)[0], dim=1)


def cloob_by_attention(x, y):
    pairs = [(retrieve_by_attention(a, s), retrieve_by_attention(b, s)) for a, b, s in ((x, y, x), (y, x, y))]
    own = torch.eye(len(x), dtype=torch.bool)
    return sum(((SCALE * a @ b.T).masked_fill(own, -1000.0).logsumexp(1) - SCALE * (a * b).sum(1)).mean() / SCALE for a, b in pairs)


@pytest.mark.benchmark(group="loss and gradient")
def test_open_clip(benchmark, pairs):
    theirs = import_open_clip().ClipLoss()
    value = benchmark.pedantic(step, (lambda x, y: theirs(x, y, torch.tensor(SCALE)), pairs), **BENCH)
    assert value == pytest.approx(info_nce(*pairs, SCALE).item(), abs=1e-4)


@pytest.mark.benchmark(group="loss and gradient")
@pytest.mark.parametrize("name", ["info_nce", "info_loob", "decoupled_info_nce"])
def test_without_memory(benchmark, pairs, name):
    loss = {"info_nce": info_nce, "info_loob": info_loob, "decoupled_info_nce": decoupled_info_nce}[name]
    assert benchmark.pedantic(step, (lambda x, y: loss(x, y, SCALE), pairs), **BENCH) == pytest.approx(loss(*pairs, SCALE).item(), abs=1e-5)


@pytest.mark.benchmark(group="loss and gradient")
def test_cloob(benchmark, pairs):
    value = benchmark.pedantic(step, (lambda x, y: cloob_loss(x, y, SCALE, BETA), pairs), **BENCH)
    assert value == pytest.approx(cloob_by_attention(*pairs).item(), abs=1e-5)


@pytest.mark.benchmark(group="loss and gradient")
def test_cloob_by_fused_attention(benchmark, pairs):
    value = benchmark.pedantic(step, (cloob_by_attention, pairs), **BENCH)
    assert value == pytest.approx(cloob_loss(*pairs, SCALE, BETA).item(), abs=1e-5)


@pytest.fixture(scope="module")
def tokens():
    drawn = torch.randint(0, 4, (PAIRS, TOKENS), generator=torch.Generator().manual_seed(1)) // 3
    return drawn * (torch.arange(TOKENS) > 24)  # seven places that differ, so that some captions are equal


def every_pair(tokens):
    same = (tokens[:, None] == tokens[None]).all(-1)
    return same & ~torch.eye(len(tokens), dtype=torch.bool)


@pytest.mark.benchmark(group="equal captions")
def test_equal_texts(benchmark, tokens):
    found = benchmark.pedantic(equal_texts, (tokens,), **BENCH)
    assert torch.equal(found, every_pair(tokens)) and found.any()


@pytest.mark.benchmark(group="equal captions")
def test_every_pair_of_captions(benchmark, tokens):
    assert torch.equal(benchmark.pedantic(every_pair, (tokens,), **BENCH), equal_texts(tokens))
