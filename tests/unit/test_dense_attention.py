"""Dense modes: the model's own forward as the reference, hand-made attention, invariances, and what is refused."""

from __future__ import annotations

import doctest
import importlib

import pytest
import torch
import torch.nn.functional as F

from clipkit.compat import import_open_clip
from clipkit.dense import MODES, Mode, custom_attention, neighbourhood, project, proxy_attention, proxy_matrix, value_maps
from clipkit.dense.patches import embed, resized_positions
from clipkit.errors import ClipkitError


class Encoder:
    """What `clipkit.dense` asks of a model, around a bare tower."""

    def __init__(self, tower, dtype=torch.float64):
        self.module = torch.nn.Module()
        self.module.visual = tower
        self.device, self.dtype = torch.device("cpu"), dtype


def tower(seed=0, **options):
    torch.manual_seed(seed)
    settings = {"image_size": 16, "patch_size": 4, "width": 24, "layers": 3, "heads": 3, "mlp_ratio": 2.0, "output_dim": 10} | options
    made = import_open_clip().transformer.VisionTransformer(**settings).double().eval()
    for p in made.parameters():  # open_clip starts biases at zero; then half of the code would go untested
        if p.ndim == 1:
            p.data += 0.1 * torch.randn_like(p)
    return made


def dense_features(model, images, mode, **options):
    return project(model, value_maps(model, images, [mode], **options)[0])


def pixels(b=2, h=16, w=16, seed=1):
    return torch.randn(b, 3, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


VARIANTS = {
    "class token": {},
    "average": {"pool_type": "avg"},
    "layer scale": {"ls_init_value": 0.3},
    "own blocks": {"block_type": "custom", "qk_norm": True, "scale_heads": True, "scale_attn_inner": True, "scale_attn": True},
}


@pytest.mark.parametrize("name", ["dense.attention", "dense.metrics", "dense.trident_windows", "datasets.segmentation"])
def test_examples_in_docstrings(name):
    found = doctest.testmod(importlib.import_module(f"clipkit.{name}"))
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_vanilla_is_what_open_clip_pools(variant):
    vit = tower(output_tokens=True, **VARIANTS[variant])
    pooled, tokens = vit(pixels())
    ours = dense_features(Encoder(vit), pixels(), "vanilla")
    torch.testing.assert_close(ours.flatten(2).transpose(1, 2), tokens @ vit.proj, rtol=0, atol=1e-12)
    if variant == "average":  # the image's feature is the mean of the patches' features: a map one may read
        torch.testing.assert_close(ours.mean((2, 3)), pooled, rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_own_attention_by_hand(variant):
    vit = tower(**VARIANTS[variant])
    attn = vit.transformer.resblocks[0].attn
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    out, a = custom_attention(x, attn, "qk")
    theirs = attn(x, x, x, need_weights=True, average_attn_weights=False) if isinstance(attn, torch.nn.MultiheadAttention) else (attn(x),)
    torch.testing.assert_close(out, theirs[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(a.sum(-1), torch.ones_like(a[..., 0]))
    if len(theirs) == 2:
        torch.testing.assert_close(a, theirs[1], rtol=0, atol=1e-12)


def plain(vit, x, mode, omega=None):
    """The last block's other attention, head by head and token by token, by the formulas of the papers."""
    tokens, grid = embed(vit, x)
    for block in vit.transformer.resblocks[:-1]:
        tokens = block(tokens)
    block = vit.transformer.resblocks[-1]
    y = block.ln_1(tokens)
    w, b = block.attn.in_proj_weight, block.attn.in_proj_bias
    q, k, v = (y @ w[i * 24 : (i + 1) * 24].T + b[i * 24 : (i + 1) * 24] for i in range(3))
    outs = []
    for h in range(3):
        cut = slice(8 * h, 8 * h + 8)
        soft = lambda z, extra=0.0: (z @ z.transpose(1, 2) / 8**0.5 + extra).softmax(-1)  # noqa: E731
        matrices = {
            "maskclip": torch.eye(17, dtype=torch.float64).expand(2, 17, 17),
            "sclip": soft(q[..., cut]) + soft(k[..., cut]),
            "clearclip": soft(q[..., cut]),
            "naclip": soft(k[..., cut], omega),
            "vv": soft(v[..., cut]),
        }
        outs.append(matrices[mode] @ v[..., cut])
    o = torch.cat(outs, -1) @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
    if mode == "sclip":
        o = tokens + o
        o = o + block.mlp(block.ln_2(o))
    return (vit.ln_post(o) @ vit.proj)[:, 1:].transpose(1, 2).unflatten(2, grid)


@pytest.mark.parametrize("mode", ["maskclip", "sclip", "clearclip", "naclip", "vv"])
def test_modes_by_their_formulas(mode):
    vit = tower()
    omega = torch.zeros(17, 17, dtype=torch.float64)
    for i in range(16):
        for j in range(16):
            omega[1 + i, 1 + j] = torch.exp(torch.tensor(-((i // 4 - j // 4) ** 2 + (i % 4 - j % 4) ** 2) / 50.0))
    torch.testing.assert_close(dense_features(Encoder(vit), pixels(), mode), plain(vit, pixels(), mode, omega), rtol=0, atol=1e-6)


def test_several_modes_at_once_are_each_alone():
    vit = Encoder(tower())
    guide = torch.randn(2, 6, 4, 4, dtype=torch.float64)
    names = [*MODES][:9] + ["proxy", Mode("vv", residual=True, last_n=2, dual_path=True), Mode("kk", last_n=3, residual=True)]
    together = value_maps(vit, pixels(), names, guide)
    for name, found in zip(names, together, strict=True):
        torch.testing.assert_close(project(vit, found), dense_features(vit, pixels(), name, guide=guide), rtol=0, atol=1e-12)


def test_a_bump_without_width_leaves_each_patch_alone():
    vit = Encoder(tower())
    lonely = dense_features(vit, pixels(), "naclip", sigma=1e-3, amplitude=1e6)
    torch.testing.assert_close(lonely, dense_features(vit, pixels(), "maskclip"), rtol=0, atol=1e-9)


def test_doubling_attention_matters_only_beside_a_residual():
    vit = Encoder(tower())
    block = vit.module.visual.transformer.resblocks[-1]
    block.attn.out_proj.bias.data.zero_()  # the last norm takes no notice of a factor, but does of one beside an offset
    for residual in (False, True):
        mean = sum(value_maps(vit, pixels(), [Mode("qq"), Mode("kk")])) / 2
        if residual:
            x, grid = embed(vit.module.visual, pixels())
            for layer in vit.module.visual.transformer.resblocks[:-1]:
                x = layer(x)
            mean = mean + x[:, 1:].transpose(1, 2).unflatten(2, grid)
        doubled = dense_features(vit, pixels(), Mode("qq+kk", residual))
        assert torch.allclose(project(vit, mean), doubled, atol=1e-3) != residual


def test_patches_that_change_places_change_places():
    vit = tower()
    vit.positional_embedding.data[1:] = 0
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    cut = pixels().unfold(2, 4, 4).unfold(3, 4, 4).reshape(2, 3, 16, 4, 4)
    mixed = cut[:, :, order].reshape(2, 3, 4, 4, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 16, 16)
    for mode in ("vanilla", "maskclip", "sclip", "clearclip"):
        one, other = (dense_features(Encoder(vit), x, mode).flatten(2) for x in (pixels(), mixed))
        torch.testing.assert_close(one[:, :, order], other, rtol=0, atol=1e-9)


def test_another_picture_size_leaves_the_model_as_it_was():
    vit = tower()
    before = {k: v.clone() for k, v in vit.state_dict().items()}
    assert dense_features(Encoder(vit), pixels(h=24, w=8), "naclip").shape == (2, 10, 6, 2)
    assert all(torch.equal(v, before[k]) for k, v in vit.state_dict().items())
    assert resized_positions(vit, (4, 4)) is vit.positional_embedding
    big = resized_positions(vit, (8, 8))
    assert big.shape == (65, 24) and torch.equal(big[0], vit.positional_embedding[0])


def test_dual_path_keeps_the_class_token_and_adds_up():
    vit = tower()
    found = value_maps(Encoder(vit), pixels(), [Mode("vv", residual=True, last_n=2, dual_path=True)])[0]
    x, _ = embed(vit, pixels())
    x = vit.transformer.resblocks[0](x)
    added = x
    for block in vit.transformer.resblocks[1:]:
        added = added + custom_attention(block.ln_1(x), block.attn, "vv")[0]
        x = block(x)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), added[:, 1:], rtol=0, atol=1e-12)


# -- proxy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (30, 34)])
def test_proxy_matrix_by_its_formula(dtype, size):
    g = torch.randn(2, 5, *size, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 0.3
    found = proxy_matrix(g, 1.2, 3.0)
    for b in range(2):
        f = F.normalize(g[b].flatten(1), dim=0)
        s = f.T @ f
        s = 3.0 * (s - 1.2 * s.mean())
        e = torch.where((s >= 0) | torch.eye(len(s), dtype=torch.bool), s.exp(), 0)
        torch.testing.assert_close(found[b], e / e.sum(1, keepdim=True), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.sum(-1), torch.ones_like(found[..., 0]))


def test_batch_mean_depends_on_the_batch_and_window_mean_does_not():
    g = torch.randn(3, 5, 3, 3) + torch.tensor([0.0, 1.0, 3.0])[:, None, None, None]
    assert torch.allclose(proxy_matrix(g)[:1], proxy_matrix(g[:1]), atol=1e-6)
    assert not torch.allclose(proxy_matrix(g, mean="batch")[:1], proxy_matrix(g[:1], mean="batch"), atol=1e-3)
    torch.testing.assert_close(proxy_matrix(g[:1], mean="batch"), proxy_matrix(g[:1]))


def test_proxy_attention_is_one_matrix_for_all_heads_on_the_guides_grid():
    v, g = torch.randn(2, 3, 6, 4), torch.randn(2, 5, 4, 6)
    found = proxy_attention(v, g, grid=(2, 3))
    assert found.shape == (2, 3, 24, 4)
    for h in range(3):
        big = F.interpolate(v[:, h].transpose(1, 2).reshape(2, 4, 2, 3), size=(4, 6), mode="bilinear", align_corners=False)
        torch.testing.assert_close(found[:, h], proxy_matrix(g) @ big.flatten(2).transpose(1, 2))


def test_proxy_with_residual_on_a_finer_grid():
    found = dense_features(Encoder(tower()), pixels(), Mode("proxy", residual=True, mlp=True), guide=torch.randn(2, 3, 8, 8))
    assert found.shape == (2, 10, 8, 8) and torch.isfinite(found).all()


def test_shipped_models():
    from clipkit import load_model

    nano = load_model("nano", device="cpu")
    x = torch.randn(2, 3, 32, 32)
    vanilla = dense_features(nano, x, "vanilla")
    torch.testing.assert_close(F.normalize(vanilla.mean((2, 3)), dim=1), nano.encode_image(x), rtol=0, atol=1e-5)
    ported = dense_features(nano, x, "maskclip_residual")
    torch.testing.assert_close(F.normalize(ported, dim=1).movedim(1, -1), nano.dense_features(x), rtol=0, atol=1e-5)
    dino = load_model("nano-dino", device="cpu")
    own = dense_features(dino, x, "maskclip")
    torch.testing.assert_close(F.normalize(own, dim=1).movedim(1, -1), dino.dense_features(x), rtol=0, atol=1e-5)
    assert dense_features(nano, x, "proxy", guide=own).shape == (2, 128, 8, 8)


def test_what_is_refused():
    vit, x = Encoder(tower()), pixels()
    conv = Encoder(torch.nn.Identity())
    cases = [
        (lambda: dense_features(vit, x, "nacclip"), "did you mean 'naclip'"),
        (lambda: dense_features(vit, x, "proxy"), "needs guide"),
        (lambda: dense_features(vit, x, "proxy", guide=torch.randn(3, 4, 4, 4)), "a guide for 3"),
        (lambda: dense_features(vit, pixels(h=18), "naclip"), "do not divide into patches"),
        (lambda: dense_features(vit, x[0], "naclip"), "normalised pixels"),
        (lambda: dense_features(vit, x * torch.nan, "naclip"), "NaN"),
        (lambda: dense_features(vit, x, "surgery"), "last 6 blocks"),
        (lambda: dense_features(conv, x, "naclip"), "no dense features|no attention"),
        (lambda: Mode("kq"), "unknown kind of attention"),
        (lambda: Mode("kk", last_n=0), "last_n"),
        (lambda: neighbourhood((2, 2), sigma=0), "sigma"),
        (lambda: proxy_matrix(torch.randn(3, 4)), "a guide gives"),
        (lambda: proxy_matrix(torch.full((1, 2, 2, 2), torch.nan)), "NaN"),
        (lambda: proxy_matrix(torch.randn(1, 2, 2, 2), mean="image"), "unknown mean"),
        (lambda: proxy_attention(torch.randn(1, 2, 6, 4), torch.randn(1, 3, 2, 2)), "do not go with a grid"),
        (lambda: custom_attention(torch.randn(1, 5, 24).double(), tower().transformer.resblocks[0].attn, "proxy"), "needs a matrix"),
        (lambda: custom_attention(torch.randn(1, 5, 24), torch.nn.Linear(24, 24), "qk"), "not understood"),
    ]
    for call, message in cases:
        with pytest.raises(ClipkitError, match=message):
            call()
