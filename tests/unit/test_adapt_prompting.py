"""Learned prompts: a template's own words give the template, gradients are true, sharing the beginning changes nothing."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn import functional as F

from clipkit import load_model
from clipkit.adapt import PromptLearner
from clipkit.adapt.prompting import frozen
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.models.prefix_packing import encode_packed
from clipkit.models.towers import can_pack, encode_text
from clipkit.zeroshot import zeroshot_weights

NAMES = ["cat", "fire engine", "dog", "palm tree"]
TEMPLATE = "a photo of a {}."


@functools.cache
def model(name):
    try:
        return load_model(name, "random" if name.startswith("ViT") else None, device="cpu")
    except MissingExtra as missing:
        pytest.skip(str(missing))


MODELS = ["nano", "ViT-S-32-alt", "lite"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("specific", [False, True])
@pytest.mark.parametrize("template", [TEMPLATE, "this is a {} in a picture"])
def test_a_templates_own_words_give_the_templates_features(name, specific, template):
    prompt = PromptLearner(model(name), NAMES, template=template, class_specific=specific)
    assert prompt.context.shape[-2] == len(template.split("{}")[0].split())
    expected = zeroshot_weights(model(name), NAMES, [template])
    torch.testing.assert_close(prompt.text_features().detach(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_random_context_equals_the_tower_fed_by_hand(name):
    clip = model(name)
    prompt = PromptLearner(clip, NAMES, n_ctx=5, seed=3)
    tokens = clip.tokenize([f"a a a a a {n}." for n in NAMES])  # five words to be replaced
    words = clip.token_embeddings(tokens).detach().clone()
    words[:, 1:6] = prompt.context.detach()
    torch.testing.assert_close(prompt.text_features().detach(), clip.encode_token_embeddings(words, tokens).detach(), atol=1e-5, rtol=0)
    assert not torch.equal(prompt.context, PromptLearner(clip, NAMES, n_ctx=5, seed=4).context)


@pytest.mark.parametrize("specific", [False, True])
def test_gradient_is_that_of_finite_differences(specific):
    clip = load_model("nano", device="cpu")
    clip.module.double()
    prompt = PromptLearner(clip, NAMES[:2], n_ctx=2, class_specific=specific)
    context = prompt.context.detach().double().requires_grad_()
    target = F.normalize(torch.randn(2, clip.embed_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=1)

    def loss(c):
        return (prompt._encode(c, slice(None)).double() * target).sum()

    (gradient,) = torch.autograd.grad(loss(context), context)
    direction = F.normalize(torch.randn(context.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).flatten(), dim=0)
    direction, step = direction.reshape(context.shape), 1e-2  # features come back as float32, so the step is not small
    f = [loss(context.detach() + k * step * direction) for k in (-2, -1, 1, 2)]
    five_point = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)
    expected = (gradient * direction).sum()
    assert abs(expected) > 1e-3
    torch.testing.assert_close(five_point, expected, rtol=2e-3, atol=1e-5)


def test_shared_beginning_equals_text_by_text_in_float64_with_its_gradients():
    clip = load_model("nano", device="cpu")
    clip.module.double()
    names = [f"cat {'fire ' * (i % 4)}engine" for i in range(7)]
    tokens = clip.tokenize([f"a photo of a {n}." for n in names])
    end = tokens.argmax(1) + 1
    words = clip.token_embeddings(tokens).detach()
    for row in (1, 8, 10_000):  # one ending a row, two, all
        parts = words[0, :5].clone().requires_grad_(), words[:, 5 : int(end.max())].clone().requires_grad_()
        whole = words.clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("clipkit.models.prefix_packing.ROW", row)
            packed = encode_packed(clip.module, *parts, end - 5)
        plain = encode_text(clip.module, tokens, whole)
        torch.testing.assert_close(packed, plain)
        weight = torch.randn(packed.shape, dtype=packed.dtype, generator=torch.Generator().manual_seed(0))
        grads = torch.autograd.grad((packed * weight).sum(), parts), torch.autograd.grad((plain * weight).sum(), whole)[0]
        torch.testing.assert_close(grads[0][0], grads[1][:, :5].sum(0))
        torch.testing.assert_close(grads[0][1], grads[1][:, 5 : int(end.max())])


def test_only_a_plain_causal_tower_shares():
    assert can_pack(model("nano").module) and can_pack(model("ViT-S-32-alt").module)
    custom = torch.nn.Linear(1, 1)
    assert not can_pack(custom)
    with pytest.raises(ClipkitError, match="one by one"):
        encode_packed(custom, torch.zeros(2, 4), torch.zeros(3, 2, 4), torch.ones(3, dtype=torch.int64))
    with pytest.raises(ClipkitError, match="do not fit the context"):
        encode_packed(model("nano").module, torch.zeros(60, 128), torch.zeros(3, 5, 128), torch.ones(3, dtype=torch.int64))


def test_chunks_change_nothing_and_no_weight_asks_for_gradients():
    clip = load_model("nano", device="cpu")
    names = [f"cat {i}" for i in range(10)]
    target = torch.randn(10, clip.embed_dim, generator=torch.Generator().manual_seed(0))
    results, asked = [], [p.requires_grad for p in clip.module.parameters()]
    for chunk in (1, 4, 10):
        for specific in (False, True):
            prompt = PromptLearner(clip, names, n_ctx=3, chunk=chunk, class_specific=specific)
            (prompt.text_features() * target).sum().backward()
            results.append((specific, prompt.context.grad))
    for specific, gradient in results[2:]:
        torch.testing.assert_close(gradient, results[specific][1], atol=1e-5, rtol=1e-4)
    assert all(p.grad is None for p in clip.module.parameters())
    assert [p.requires_grad for p in clip.module.parameters()] == asked and any(asked)
    with pytest.raises(RuntimeError), frozen(clip.module):
        raise RuntimeError
    assert [p.requires_grad for p in clip.module.parameters()] == asked and any(asked)


@pytest.fixture
def task():
    clip = model("nano")
    w = zeroshot_weights(clip, NAMES, [TEMPLATE])
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(24) % 4
    turned = w[[1, 2, 3, 0]]  # the names are wrong: only learning helps
    return F.normalize(turned[y] + 0.02 * torch.randn(24, w.shape[1], generator=rng), dim=1), y


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch", [None, 8])
def test_fit_learns_what_the_names_get_wrong_and_is_repeatable(task, optimizer, batch):
    x, y = task
    prompt = PromptLearner(model("nano"), NAMES, n_ctx=4, class_specific=True)
    start = prompt.context.detach().clone()
    kwargs = {"steps": 60, "lr": 0.05 if optimizer == "sgd" else 0.01, "batch": batch, "optimizer": optimizer}
    logits = prompt.fit(x, y, **kwargs).predict_logits(x)
    assert (logits.argmax(1) == y).float().mean() > 0.9
    assert prompt.losses_[-1] < prompt.losses_[0] and len(prompt.losses_) == 60
    torch.testing.assert_close(logits, prompt.logits(x).detach(), atol=1e-3, rtol=1e-4)
    first = prompt.losses_
    torch.testing.assert_close(prompt.fit(x, y, **kwargs).predict_logits(x), logits)  # starts anew
    torch.testing.assert_close(prompt.losses_, first)
    torch.testing.assert_close(prompt._initial, start)
    assert prompt.fit(x, y, **kwargs, warm_start=True).losses_[0] < 0.5 * first[0]  # goes on


def test_weights_say_what_counts(task):
    x, y = task
    half = torch.zeros(24)
    half[:12] = 1 / 12
    one, two = (PromptLearner(model("nano"), NAMES, n_ctx=2) for _ in range(2))
    one.fit(x, y, weights=half, steps=5)
    two.fit(x[:12], y[:12], steps=5)
    torch.testing.assert_close(one.context, two.context)
    one.fit(x, y, weights=torch.zeros(24), steps=3)
    torch.testing.assert_close(one.context.detach(), one._initial)  # nothing counts, nothing moves


def test_one_class_and_a_thousand():
    x = F.normalize(torch.randn(3, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    one = PromptLearner(model("nano"), ["cat"], n_ctx=2).fit(x, torch.zeros(3, dtype=torch.int64), steps=2)
    assert one.predict_logits(x).shape == (3, 1) and one.losses_ == [0.0, 0.0]
    many = PromptLearner(model("nano"), [f"cat {i}" for i in range(1000)], n_ctx=2).fit(x, torch.tensor([0, 500, 999]), steps=1)
    assert many.predict_logits(x).shape == (3, 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_ctx": 62}, "prompt of 'fire engine' takes"),
        ({"n_ctx": 0}, "n_ctx must be at least 1"),
        ({"template": "{} in a photo"}, "no words before"),
        ({"template": "a photo"}, "no {} where"),
        ({"classnames": ["cat", "cat"]}, "duplicate"),
        ({"classnames": ["cat", "dog " * 100]}, "lower n_ctx or shorten"),
    ],
)
@pytest.mark.parametrize("name", ["nano", "lite"])
def test_prompts_that_cannot_be(name, change, message):
    with pytest.raises(ClipkitError, match=message):
        PromptLearner(model(name), **{"classnames": NAMES, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(24, 5)}, "where 128 are wanted"),
        ({"features": torch.full((24, 128), float("nan"))}, "NaN"),
        ({"labels": torch.arange(24)}, "between 0 and"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "24 integers"),
        ({"weights": torch.ones(3)}, "24 numbers"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"optimizer": "lbfgs"}, "sgd, adam"),
        ({"batch": 0}, "batch must be at least 1"),
    ],
)
def test_what_cannot_be_fitted_is_said(task, change, message):
    x, y = task
    prompt = PromptLearner(model("nano"), NAMES, n_ctx=2)
    with pytest.raises(ClipkitError, match=message):
        prompt.fit(**{"features": x, "labels": y, "steps": 2, **change})
    with pytest.raises(ClipkitError, match="not fitted"):
        prompt.predict_logits(x)
