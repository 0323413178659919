"""Dense modes against a plain hook loop, mean IoU against scikit-learn and a loop over classes, boundary IoU against scipy's erosion."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from clipkit import load_model
from clipkit.dense import boundary_iou, mean_iou, project, value_maps

MODES = ("maskclip", "clearclip", "sclip", "vv")


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


def test_modes(pair, size):
    nano, x = load_model("nano", device="cpu").freeze(), torch.randn(size(64, 4), 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def same(found, wanted):
        assert len(found) == len(MODES)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)

    pair("four dense modes of 64 pictures", lambda: ours(nano, x), lambda: hooks(nano, x), "a forward pass and a hook a mode", same)


@pytest.fixture(scope="module")
def maps(size):
    """(predicted, truth, number of classes): a million pixels, 150 classes."""
    g = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 150, (size(16, 8), 32, 32), generator=g).repeat_interleave(8, 1).repeat_interleave(8, 2)
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


def equal_means(ours, theirs):
    assert ours.mean == pytest.approx(theirs)


@pytest.mark.parametrize(("peer", "name"), [(by_class, "a loop over classes"), (scikit_learn, "scikit-learn's confusion matrix")])
def test_mean_iou(pair, maps, peer, name):
    pair("mean IoU, 150 classes, a million pixels", lambda: mean_iou(*maps), lambda: peer(*maps), name, equal_means)


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


def test_boundary_iou(pair, size, maps):
    few = tuple(m[: size(8, 2), ::2, ::2] % 10 for m in maps[:2]) + (10,)
    name = "boundary IoU, 10 classes, 8 pictures"
    pair(name, lambda: boundary_iou(*few, distance=7), lambda: erosion(*few), "scipy's binary erosion", equal_means)
