"""Visual prompts: none changes nothing, some equal tokens laid in by hand, gradients reach prompts only."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn import functional as F

from clipkit import load_model
from clipkit.adapt import VisualPrompts
from clipkit.adapt.visual_prompts import refusal
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.models import NanoEncoder, build_nano
from clipkit.zeroshot import zeroshot_weights


@functools.cache
def model(name):
    if name == "no-text":
        config = {k: v for k, v in model("nano").config.items() if k not in ("text_cfg", "tokenizer")}
        return NanoEncoder(build_nano(config), config)
    return load_model(name, "random" if name.startswith("ViT") else None, device="cpu")


def pixels(clip, n=3):
    return torch.randn(n, 3, clip.image_size, clip.image_size, generator=torch.Generator().manual_seed(0))


MODELS = ["nano", "no-text", "ViT-S-32-alt"]  # average pooling, no text, class token and another width


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("deep", [False, True])
def test_no_prompt_is_the_tower(name, deep):
    clip = model(name)
    x = pixels(clip)
    torch.testing.assert_close(VisualPrompts(clip, 0, deep=deep).image_features(x), clip.encode_image(x))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("deep", [False, True])
def test_equals_tokens_laid_in_by_hand(name, deep):
    clip, n = model(name), 4
    visual, x = clip.module.visual, pixels(clip)
    vp = VisualPrompts(clip, n, deep=deep, std=0.5, seed=1)
    with torch.no_grad():
        patches = visual.conv1(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([visual.class_embedding.expand(len(x), 1, -1), patches], 1) + visual.positional_embedding
        extra = [p.expand(len(x), -1, -1) for p in vp.prompts]
        h = visual.ln_pre(torch.cat([tokens[:, :1], extra[0], tokens[:, 1:]], 1))
        for i, block in enumerate(visual.transformer.resblocks):
            if deep and i:
                h = torch.cat([h[:, :1], extra[i], h[:, 1 + n :]], 1)
            h = block(h)
        h = visual._pool(torch.cat([h[:, :1], h[:, 1 + n :]], 1))[0]
        h = h if visual.proj is None else h @ visual.proj
        torch.testing.assert_close(vp.image_features(x), F.normalize(h, dim=-1), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(vp.image_features(x), clip.encode_image(x), atol=1e-3)  # they do something
    torch.testing.assert_close(clip.encode_image(x), VisualPrompts(clip, 0).image_features(x))  # and leave nothing behind


@pytest.mark.parametrize("deep", [False, True])
def test_start_from_patches_is_their_mean_and_disturbs_less(deep):
    clip = model("nano")
    visual, x = clip.module.visual, pixels(clip)
    vp = VisualPrompts(clip, 2, deep=deep, std=0.0, start=x)
    with torch.no_grad():
        patches = visual.conv1(x).flatten(2).transpose(1, 2) + visual.positional_embedding[1:]
        torch.testing.assert_close(vp.prompts[0], patches.mean((0, 1)).expand(2, -1), atol=1e-5, rtol=1e-4)
        if deep:
            class_token = (visual.class_embedding + visual.positional_embedding[0]).expand(len(x), 1, -1)
            h = visual.transformer.resblocks[0](visual.ln_pre(torch.cat([class_token, patches], 1)))
            torch.testing.assert_close(vp.prompts[1, 0], h[:, 1:].mean((0, 1)), atol=1e-5, rtol=1e-4)
        far = [(v.image_features(x) - clip.encode_image(x)).norm() for v in (vp, VisualPrompts(clip, 2, deep=deep))]
        assert far[0] < 0.7 * far[1]


@pytest.mark.parametrize("deep", [False, True])
def test_order_of_prompts_does_not_matter(deep):
    clip = model("nano")
    vp, x = VisualPrompts(clip, 5, deep=deep, std=1.0), pixels(clip)
    before = vp.image_features(x).detach()
    with torch.no_grad():
        vp.prompts.copy_(vp.prompts[:, [3, 1, 4, 0, 2]])
    torch.testing.assert_close(vp.image_features(x).detach(), before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("deep", [False, True])
def test_gradients_reach_the_prompts_and_nothing_else(deep):
    clip = load_model("nano", device="cpu")
    asked = [p.requires_grad for p in clip.module.parameters()]
    vp, x = VisualPrompts(clip, 2, deep=deep, std=0.5), pixels(clip)
    target = torch.randn(3, clip.embed_dim, generator=torch.Generator().manual_seed(2))
    (vp.image_features(x) * target).sum().backward()
    assert all(p.grad is None for p in clip.module.parameters()) and [p.requires_grad for p in clip.module.parameters()] == asked
    direction = F.normalize(torch.randn(vp.prompts.numel(), generator=torch.Generator().manual_seed(3)), dim=0).reshape(vp.prompts.shape)

    def loss(step):
        moved = VisualPrompts(clip, 2, deep=deep)
        with torch.no_grad():
            moved.prompts.copy_(vp.prompts + step * direction)
            return (moved.image_features(x).double() * target).sum()

    five_point = (loss(-0.1) - 8 * loss(-0.05) + 8 * loss(0.05) - loss(0.1)) / 0.6
    expected = (vp.prompts.grad * direction).sum().double()
    torch.testing.assert_close(five_point, expected, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("deep", [False, True])
def test_fit_learns_and_is_repeatable(deep):
    clip, names = model("nano"), ["cat", "dog", "apple"]
    w = zeroshot_weights(clip, names, ["a photo of a {}."])
    x, y = pixels(clip, 3), torch.arange(3)
    vp = VisualPrompts(clip, 4, deep=deep)
    kwargs = {"steps": 12, "lr": 0.2, "batch": None, "optimizer": "adam"}
    logits = vp.fit(x, y, w, **kwargs).predict_logits(x)
    assert vp.losses_[-1] < 0.7 * vp.losses_[0]
    first = vp.losses_
    torch.testing.assert_close(vp.fit(x, y, w, **kwargs).predict_logits(x, batch=2), logits, atol=1e-4, rtol=1e-4)
    assert vp.fit(x, y, w, **kwargs, warm_start=True).losses_[0] < 0.8 * first[0]
    two = [VisualPrompts(clip, 4, deep=deep).fit(x, y, w, steps=3, batch=2, seed=s).losses_ for s in (0, 0, 1)]
    assert two[0] == two[1] != two[2]


def test_weights_say_what_counts():
    clip = model("nano")
    w, x, y = zeroshot_weights(clip, ["cat", "dog"], ["{}"]), pixels(clip, 4), torch.tensor([0, 1, 1, 0])
    one, two = VisualPrompts(clip, 2), VisualPrompts(clip, 2)
    one.fit(x, y, w, weights=torch.tensor([0.5, 0.5, 0, 0]), steps=3, batch=None)
    two.fit(x[:2], y[:2], w, steps=3, batch=None)
    torch.testing.assert_close(one.prompts, two.prompts, atol=1e-6, rtol=1e-4)


def test_what_cannot_be_is_said():
    clip = model("nano")
    w, x, y = zeroshot_weights(clip, ["cat", "dog"], ["{}"]), pixels(clip, 4), torch.tensor([0, 1, 1, 0])
    with pytest.raises(ClipkitError, match="attention"):
        VisualPrompts(model("nano-conv"))
    assert "attention" in refusal(model("nano-conv")) and refusal(clip) == ""
    with pytest.raises(ClipkitError, match="n must be at least 0"):
        VisualPrompts(clip, -1)
    with pytest.raises(ClipkitError, match="at least 1"):
        VisualPrompts(clip, 0).fit(x, y, w)
    vp = VisualPrompts(clip, 1)
    for change, message in [
        ({"labels": y + 1}, "between 0 and"),
        ({"labels": y[:2]}, "4 integers"),
        ({"text_weights": w[:, :5]}, "where 128 are wanted"),
        ({"pixels": x * float("nan")}, "NaN"),
        ({"pixels": x[:, :, :5]}, "pictures of 32"),
        ({"weights": torch.ones(3)}, "4 numbers"),
    ]:
        with pytest.raises(ClipkitError, match=message):
            vp.fit(**{"pixels": x, "labels": y, "text_weights": w, "steps": 1, **change})
    with pytest.raises(ClipkitError, match="not fitted"):
        vp.predict_logits(x)


def test_lite_has_no_transformer_for_pictures():
    try:
        lite = model("lite")
    except MissingExtra as missing:
        pytest.skip(str(missing))
    with pytest.raises(ClipkitError, match="vision transformer"):
        VisualPrompts(lite)
