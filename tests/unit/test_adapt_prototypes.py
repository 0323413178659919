"""Class means and their blend with text: ends of the blend, golden values, missing classes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from clipkit.adapt import NearestClassMean, PrototypeBlend
from clipkit.errors import ClipkitError


def task(classes=5, shots=3, d=8, dtype=torch.float64):
    g = torch.Generator().manual_seed(classes)
    w = normalize(torch.randn(classes, d, generator=g, dtype=dtype), dim=1)
    y = torch.arange(classes).repeat(shots)
    return normalize(w[y] + 0.5 * torch.randn(len(y), d, generator=g, dtype=dtype), dim=1), y, w


@pytest.mark.parametrize(("classes", "shots"), [(1, 1), (1, 4), (3, 1), (1000, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_means_equal_a_plain_loop(classes, shots, dtype):
    x, y, w = task(classes, shots, dtype=dtype)
    means = torch.stack([normalize(x[y == c].mean(0), dim=0) for c in range(classes)])
    torch.testing.assert_close(NearestClassMean(7.0).fit(x, y).predict_logits(x), 7 * x @ means.T)
    share = 1 / (1 + shots / 4)
    blend = normalize(share * w + (1 - share) * means, dim=1)
    torch.testing.assert_close(PrototypeBlend(7.0).fit(x, y, w).predict_logits(x), 7 * x @ blend.T)


def test_ends_of_the_blend():
    x, y, w = task()
    torch.testing.assert_close(PrototypeBlend(text_share=1.0).fit(x, y, w).predict_logits(x), 100 * x @ w.T)
    torch.testing.assert_close(
        PrototypeBlend(text_share=0.0).fit(x, y, w).predict_logits(x), NearestClassMean().fit(x, y).predict_logits(x)
    )


def test_by_hand():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    w = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    blend = PrototypeBlend(1.0).fit(x, torch.tensor([0, 1, 1, 1, 1]), w)  # four shots: half text (1, 0), half mean (0, 1)
    torch.testing.assert_close(blend.weight_, torch.tensor([[1.0, 0.0], [0.5**0.5, 0.5**0.5]]))


def test_a_missing_class_keeps_its_text_or_is_never_chosen():
    x, y, w = task(4)
    x, y = x[y != 2], y[y != 2]
    for head in (PrototypeBlend(), PrototypeBlend(text_share=0.0), NearestClassMean()):
        torch.testing.assert_close(head.fit(x, y, w).weight_[2], w[2])
    logits = NearestClassMean().fit(x, y, n_classes=4).predict_logits(x)
    assert (logits[:, 2] == -float("inf")).all() and torch.isfinite(logits[:, [0, 1, 3]]).all()


@given(st.permutations(range(15)))
def test_the_order_of_the_support_does_not_matter(order):
    x, y, w = task()
    torch.testing.assert_close(PrototypeBlend().fit(x[list(order)], y[list(order)], w).weight_, PrototypeBlend().fit(x, y, w).weight_)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y, w: NearestClassMean(0), "positive"),
        (lambda x, y, w: PrototypeBlend(text_share=2), "text_share"),
        (lambda x, y, w: PrototypeBlend().fit(x, y, w[:, :3]), "dimensions"),
        (lambda x, y, w: PrototypeBlend().fit(x, y + 1, w), "labels must lie"),
        (lambda x, y, w: NearestClassMean().fit(x, y, w, n_classes=9), "leave n_classes out"),
        (lambda x, y, w: NearestClassMean().fit(x, torch.ones(15, 5), w), "labels: want"),
        (lambda x, y, w: NearestClassMean().fit(x * float("nan"), y), "NaN"),
        (lambda x, y, w: NearestClassMean().predict_logits(x), "not fitted"),
        (lambda x, y, w: NearestClassMean().fit(x, y).predict_logits(x[:, :3]), "where 8 are wanted"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call(*task())
