"""CapS-Adapter: equals its parts, depends on what it should; the support in captions and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipkit.adapt import CapSAdapter, TipAdapter, TipX, build_support
from clipkit.adapt.tip_x import kl_divergence, log_signatures
from clipkit.errors import ClipkitError


def unit(n, d, seed):
    return F.normalize(torch.tensor(np.random.default_rng(seed).normal(size=(n, d))), dim=1)


X, K, T, W, Y = unit(6, 5, 0), unit(9, 5, 1), unit(9, 5, 2), unit(3, 5, 3), torch.arange(9) % 3


@pytest.mark.parametrize("delta", [0.0, 0.3, 1.0])
def test_equals_the_formula(delta):
    affinity = (1 - delta) * X @ K.T + delta * X @ T.T
    labels = F.one_hot(Y, 3).double()
    got = CapSAdapter(2.0, 3.0, 0.0, delta, scale=20.0).fit(K, T, Y, W).predict_logits(X)
    torch.testing.assert_close(got, 20 * X @ W.T + 2 * torch.exp(-3 * (1 - affinity)) @ labels)


def test_delta_zero_is_tip_x_and_gamma_zero_besides_is_tip_adapter():
    for rescale in ("support", "batch"):
        caps = CapSAdapter(2.0, 3.0, 1.5, 0.0, scale=20.0, rescale=rescale).fit(K, T, Y, W)
        torch.testing.assert_close(caps.predict_logits(X), TipX(2.0, 3.0, 1.5, 20.0, rescale=rescale).fit(K, Y, W).predict_logits(X))
    caps = CapSAdapter(2.0, 3.0, 0.0, 0.0, scale=20.0).fit(K, T, Y, W)
    torch.testing.assert_close(caps.predict_logits(X), TipAdapter(2.0, 3.0, 20.0).fit(K, Y, W).predict_logits(X))


def test_delta_one_and_gamma_zero_see_captions_only():
    logits = [CapSAdapter(2.0, 3.0, 0.0, 1.0).fit(keys, T, Y, W).predict_logits(X) for keys in (K, unit(9, 5, 77))]
    torch.testing.assert_close(*logits)
    torch.testing.assert_close(logits[0], TipAdapter(2.0, 3.0).fit(T, Y, W).predict_logits(X))


def test_the_divergence_term_has_the_range_of_the_mixed_affinity():
    delta, labels = 0.4, F.one_hot(Y, 3).double()
    plain, gamma = (CapSAdapter(0.0, 1.0, g, delta, scale=1.0, rescale="batch").fit(K, T, Y, W).predict_logits(X) for g in (0.0, 1.0))
    mixed = X @ ((1 - delta) * K + delta * T).T
    far = kl_divergence(log_signatures(X, W), log_signatures(K, W))
    wanted = (far.max() - far) / (far.max() - far.min()) * (mixed.max() - mixed.min()) + mixed.min()
    torch.testing.assert_close(gamma - plain, wanted @ labels)


def test_search_over_delta_finds_the_useful_keys():
    y = torch.arange(40) % 4
    centres = unit(4, 8, 0)
    good = F.normalize(centres[y] + 0.3 * unit(40, 8, 1), dim=1)
    noise, w = unit(40, 8, 2), unit(4, 8, 3)
    val = F.normalize(centres[y] + 0.3 * unit(40, 8, 4), dim=1)
    few = {"alphas": (0.0, 5.0, 50.0), "betas": (2.0, 8.0), "gammas": (0.0,), "deltas": (0.0, 0.5, 1.0)}
    assert CapSAdapter().fit(good, noise, y, w).search(val, y, **few).delta == 0.0
    found = CapSAdapter().fit(noise, good, y, w).search(val, y, **few)
    assert found.delta >= 0.5 and set(found.chosen_) == {"alpha", "beta", "gamma", "delta", "validation"}
    assert found.chosen_["validation"] == 100 * (found.predict_logits(val).argmax(1) == y).double().mean().item()


def test_a_missing_class_gets_no_votes():
    got = CapSAdapter(5.0, 1.0, 0.0, 1.0).fit(K[:1], T[:1], torch.tensor([1]), W).predict_logits(X)
    torch.testing.assert_close(got[:, [0, 2]], (100 * X @ W.T)[:, [0, 2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CapSAdapter(delta=1.5), "between 0 and 1"),
        (lambda: CapSAdapter().fit(K, T[:3], Y, W), "of one shape"),
        (lambda: CapSAdapter().fit(K, T * float("nan"), Y, W), "caption features: 9 rows"),
        (lambda: CapSAdapter().fit(K, T, Y, W).search(X, Y[:6], deltas=()), "at least one value"),
    ],
)
def test_bad_input_is_said(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()


def told(images, names):
    return [f"{name} number {image}" for image, name in zip(images, names, strict=True)]


def test_support_cycles_captions_and_gives_each_class_its_own_name():
    pictures, texts, y = build_support(told, lambda t: [s.upper() for s in t], [10, 11, 12], [1, 0, 1], ["cat", "dog"], 3)
    assert texts == [
        "A photo of cat. cat number 11", "A photo of cat. cat number 11", "A photo of cat. cat number 11",
        "A photo of dog. dog number 10", "A photo of dog. dog number 12", "A photo of dog. dog number 10",
    ]  # fmt: skip
    assert y.tolist() == [0, 0, 0, 1, 1, 1] and pictures == [t.upper() for t in texts]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((told, list, [1, 2], [0, 0], ["cat", "dog"], 2), "no target picture of class 'dog'"),
        ((told, list, [1, 2], [0, 2], ["cat", "dog"], 2), "between 0 and 1"),
        ((told, list, [], [], ["cat"], 2), "pictures must be at least 1"),
        ((told, list, [1], [0], ["cat"], 0), "per_class"),
        ((lambda i, n: [], list, [1], [0], ["cat"], 1), "0 captions for 1"),
    ],
)
def test_a_support_that_cannot_be_built_is_said(arguments, message):
    with pytest.raises(ClipkitError, match=message):
        build_support(*arguments)
