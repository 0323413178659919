"""Scores of a pool of prompts, against a loop over prompts that follows the paper's formulas, and the whole array at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipkit.zeroshot import prompt_scores

SCALE = 100.0
# name -> N test pictures, M pretraining pictures, P prompts, C classes, D dimensions
SIZES = {
    "247 prompts × 10 classes": (2000, 2000, 247, 10, 512),  # a small data set, the paper's pool
    "24 prompts × 1,000 classes": (500, 2000, 24, 1000, 512),  # a tenth of the paper's pool, so that the loop ends
}


@pytest.fixture(scope="module", params=SIZES)
def task(request, size):
    """(name, (z, t, r)): test pictures (N, D), prompts (P, C, D), pretraining pictures (M, D)."""
    n, m, p, c, d = SIZES[request.param]
    n, m, p, c = size(n, n // 20), size(m, m // 20), size(p, p // 4), size(c, min(c, 40))
    g = torch.Generator().manual_seed(0)
    unit = lambda *shape: F.normalize(torch.randn(*shape, d, generator=g), dim=-1)  # noqa: E731
    return request.param, (unit(n), unit(p, c), unit(m))


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


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("peer", "peer_name"), [(loop, "a loop over prompts"), (dense, "the whole array at once")])
def test_prompt_scores(pair, task, peer, peer_name):
    name, given = task
    pair(f"scores of {name}", lambda: prompt_scores(*given, scale=SCALE), lambda: peer(*given), peer_name, same)


def test_a_tenth_of_the_pictures(pair, task):
    name, (z, t, r) = task
    tenth = z[: len(z) // 10]

    def right(ours, _):
        same(ours, loop(tenth, t, r))

    ours = lambda: prompt_scores(tenth, t, r, scale=SCALE)  # noqa: E731
    pair(f"scores of {name}, 1/10 pictures", ours, lambda: loop(z, t, r), "a loop over prompts, all pictures", right)
