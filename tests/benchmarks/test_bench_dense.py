"""Dense modes against a plain hook loop, and mean IoU against scikit-learn and a loop over classes.

Run with: pytest tests/benchmarks/test_bench_dense.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time. Each case asserts that it computed the same numbers, and the ratio of the two goes into the report of
ours, from turns taken one after the other in the same process.
"""

from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F

from clipkit import load_model
from clipkit.dense import boundary_iou, mean_iou, project, value_maps

pytest.importorskip("pytest_benchmark")
MODES = ("maskclip", "clearclip", "sclip", "vv")


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def ratio(theirs, ours, *arguments) -> float:
    turns = sorted(seconds(theirs, *arguments) / seconds(ours, *arguments) for _ in range(5))
    return round(turns[2], 2)


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu").freeze(), torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def ours(model, x):
    return [project(model, m) for m in value_maps(model, x, MODES)]


@torch.no_grad()
def hooks(model, x):
    """What one writes first: for each mode a forward pass whose last attention is replaced by a hook."""
    visual, out = model.module.visual, []
    block = visual.transformer.resblocks[-1]
    attn, kept = block.attn, []
    grab = visual.transformer.register_forward_hook(lambda module, args, output: kept.append(output))
    for mode in MODES:

        def other(module, args, output, mode=mode):
            y = args[0]
            q, k, v = (
                z.unflatten(2, (attn.num_heads, -1)).transpose(1, 2)
                for z in F.linear(y, attn.in_proj_weight, attn.in_proj_bias).chunk(3, -1)
            )
            soft = lambda z: (z @ z.transpose(2, 3) * z.shape[-1] ** -0.5).softmax(-1)  # noqa: E731
            a = {"clearclip": soft(q), "sclip": soft(q) + soft(k), "vv": soft(v)}.get(mode)
            o = attn.out_proj((v if a is None else a @ v).transpose(1, 2).flatten(2))
            module.alone = o
            return (o, None)

        handle = attn.register_forward_hook(other)
        visual(x)
        handle.remove()
        tokens = kept.pop() if mode == "sclip" else attn.alone
        out.append((visual.ln_post(tokens[:, 1:]) @ visual.proj).transpose(1, 2).unflatten(2, (8, 8)))
    grab.remove()
    del attn.alone
    return out


@pytest.mark.benchmark(group="four dense modes of 64 pictures")
def test_hooks(benchmark, nano):
    assert len(benchmark.pedantic(hooks, nano, rounds=3, warmup_rounds=1)) == len(MODES)


@pytest.mark.benchmark(group="four dense modes of 64 pictures")
def test_modes(benchmark, nano):
    found = benchmark.pedantic(ours, nano, rounds=3, warmup_rounds=1)
    for a, b in zip(found, hooks(*nano), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    if benchmark.enabled:
        benchmark.extra_info["hook loop / value_maps"] = ratio(hooks, ours, *nano)


@pytest.fixture(scope="module")
def maps():
    g = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 150, (16, 32, 32), generator=g).repeat_interleave(8, 1).repeat_interleave(8, 2)
    return torch.where(torch.rand(truth.shape, generator=g) < 0.7, truth, truth.roll(5, 2)), truth, 150


def by_class(predicted, truth, n):
    """A loop over classes, as often seen."""
    ious = []
    for c in range(n):
        p, t = predicted == c, truth == c
        if t.any():
            ious.append(((p & t).sum() / (p | t).sum()).item())
    return sum(ious) / len(ious)


def scikit_learn(predicted, truth, n):
    from sklearn.metrics import confusion_matrix

    m = confusion_matrix(truth.flatten().numpy(), predicted.flatten().numpy(), labels=range(n))
    hit, union = m.diagonal(), m.sum(0) + m.sum(1) - m.diagonal()
    return (hit / union)[m.sum(1) > 0].mean()


def mean(predicted, truth, n):
    return mean_iou(predicted, truth, n).mean


@pytest.mark.benchmark(group="mean IoU, 150 classes, a million pixels")
@pytest.mark.parametrize("peer", [by_class, scikit_learn])
def test_peers(benchmark, maps, peer):
    assert benchmark.pedantic(peer, maps, rounds=2) == pytest.approx(mean(*maps))


@pytest.mark.benchmark(group="mean IoU, 150 classes, a million pixels")
def test_mean_iou(benchmark, maps):
    assert benchmark.pedantic(mean, maps, rounds=3, warmup_rounds=1) == pytest.approx(by_class(*maps))
    if benchmark.enabled:
        benchmark.extra_info["loop over classes / mean_iou"] = ratio(by_class, mean, *maps)
        benchmark.extra_info["scikit-learn / mean_iou"] = ratio(scikit_learn, mean, *maps)


def erosion(predicted, truth, n, distance=7):
    """Borders by scipy's erosion, class by class."""
    from scipy.ndimage import binary_erosion

    square, ious = torch.ones(2 * distance + 1, 2 * distance + 1).numpy() > 0, []
    for c in range(n):
        both = either = true = 0
        for p, t in zip((predicted == c).numpy(), (truth == c).numpy(), strict=True):
            p, t = (m & ~binary_erosion(m, square, border_value=0) for m in (p, t))
            both, either, true = both + (p & t).sum(), either + (p | t).sum(), true + t.sum()
        if true:
            ious.append(both / either)
    return sum(ious) / len(ious)


@pytest.mark.benchmark(group="boundary IoU, 10 classes, 8 pictures")
def test_boundary_iou(benchmark, maps):
    few = tuple(m[:8, ::2, ::2] % 10 for m in maps[:2]) + (10,)
    found = lambda p, t, n: boundary_iou(p, t, n, distance=7).mean  # noqa: E731
    assert benchmark.pedantic(found, few, rounds=3) == pytest.approx(erosion(*few))
    if benchmark.enabled:
        benchmark.extra_info["scipy erosion / boundary_iou"] = ratio(erosion, found, *few)
