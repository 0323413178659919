"""Scores of a pool of prompts, against a loop over prompts that follows the paper's formulas.

Run with: pytest tests/benchmarks/test_bench_zeroshot.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time. Each case asserts that it computed the same scores, and the ratio of the two goes into the
report of `test_prompt_scores`, from turns taken one after the other in the same process.
"""

from __future__ import annotations

import time

import pytest
import torch
from torch.nn import functional as F

from clipkit.zeroshot import prompt_scores

pytest.importorskip("pytest_benchmark")
SCALE = 100.0
# name -> N test pictures, M pretraining pictures, P prompts, C classes, D dimensions
SIZES = {
    "ten classes": (2000, 2000, 247, 10, 512),  # a small data set, the paper's pool
    "a thousand classes": (500, 2000, 24, 1000, 512),  # a tenth of the paper's pool, so that the loop ends
}


@pytest.fixture(scope="module", params=SIZES)
def task(request):
    n, m, p, c, d = SIZES[request.param]
    g = torch.Generator().manual_seed(0)
    unit = lambda *shape: F.normalize(torch.randn(*shape, d, generator=g), dim=-1)  # noqa: E731
    return unit(n), unit(p, c), unit(m)


def loop(z, t, r):
    """What one writes first: for each prompt its logits on both sets of pictures, centred, the largest, the mean."""
    scores = []
    for prompt in t:  # (C, D)
        logits, usual = SCALE * z @ prompt.T, SCALE * r @ prompt.T
        scores.append((logits - (usual.mean(0) + logits.mean(0)) / 2).amax(1).mean())
    return torch.stack(scores)


def dense(z, t, r):
    """The whole array (N, P, C) at once, as in the released notebook."""
    logits, usual = (SCALE * torch.einsum("nd,pcd->npc", x, t) for x in (z, r))
    return (logits - (usual.mean(0) + logits.mean(0)) / 2).amax(2).mean(0)


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def ours(z, t, r):
    return prompt_scores(z, t, r, scale=SCALE)


@pytest.mark.benchmark(group="prompt scores")
def test_loop_over_prompts(benchmark, task):
    scores = benchmark.pedantic(loop, task, rounds=3, warmup_rounds=1)
    assert scores.shape == (len(task[1]),)


@pytest.mark.benchmark(group="prompt scores")
def test_dense(benchmark, task):
    scores = benchmark.pedantic(dense, task, rounds=3, warmup_rounds=1)
    torch.testing.assert_close(scores, loop(*task), rtol=0, atol=2e-3)


@pytest.mark.benchmark(group="prompt scores")
def test_prompt_scores(benchmark, task):
    scores = benchmark.pedantic(ours, task, rounds=3, warmup_rounds=1)
    torch.testing.assert_close(scores, loop(*task), rtol=0, atol=2e-3)
    if not benchmark.enabled:
        return
    turns = [(seconds(loop, *task), seconds(ours, *task)) for _ in range(3)]
    benchmark.extra_info["loop / prompt_scores"] = round(sorted(a / b for a, b in turns)[1], 2)
    tenth = task[0][: len(task[0]) // 10]
    turns = [(seconds(loop, *task), seconds(ours, tenth, *task[1:])) for _ in range(3)]
    benchmark.extra_info["loop / prompt_scores from a tenth of the pictures"] = round(sorted(a / b for a, b in turns)[1], 2)
