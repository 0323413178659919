"""Heads on two networks' features: zero-shot survives the joining, the rivals equal what they say, choices use val only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipkit.adapt.linear_probe import LinearProbe
from clipkit.adapt.shootout import Given, tip_adapter_f, zero_shot
from clipkit.errors import ClipkitError
from clipkit.studies.amu_tuning import WEIGHTS, by_certainty, chosen_amu, concat_probe, join, joined, joint_cache_f, percent, usefulness


def unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


@pytest.fixture
def given():
    C, y = 4, torch.arange(20) % 4
    w, centres = unit(C, 8, 0), unit(C, 6, 1)
    near = [F.normalize(c[y] + 0.5 * unit(20, c.shape[1], 2 + i), dim=1) for i, c in enumerate((w, centres))]
    x, a = near
    return Given(x[:12], y[:12], a[:12], w, 10.0, (x[12:], y[12:], a[12:]))


def test_joining_keeps_norm_cosines_and_zero_shot(given):
    x, a = given.features, given.auxiliary
    both = join(x, a)
    np.testing.assert_allclose(both.norm(dim=1), 1, atol=1e-12)
    np.testing.assert_allclose(both @ both.T, (x @ x.T + a @ a.T) / 2, atol=1e-12)
    np.testing.assert_allclose(zero_shot(joined(given))(both, a), zero_shot(given)(x, a), atol=1e-10)
    assert joined(given.fixed()).val is None


def test_concat_probe_is_logistic_regression_plus_zero_shot(given):
    x, a = unit(9, 8, 7), unit(9, 6, 8)
    both = joined(given)
    probe = LinearProbe((2.0,)).fit(both.features, both.labels, *both.val[:2])
    plain = zero_shot(given)(x, a) + 3.0 * torch.as_tensor(probe.logits(join(x, a)))
    np.testing.assert_allclose(concat_probe(given, strengths=(2.0,), weights=(3.0,))(x, a), plain, atol=1e-10)
    np.testing.assert_allclose(concat_probe(given, weights=(0.0,))(x, a), zero_shot(given)(x, a), atol=1e-10)


def test_the_joint_cache_is_tip_adapter_f_on_joined_features(given):
    x, a = unit(9, 8, 7), unit(9, 6, 8)
    np.testing.assert_array_equal(joint_cache_f(given)(x, a), tip_adapter_f(joined(given))(join(x, a), a))


def test_amus_weight_is_the_best_on_validation_and_the_smallest_of_equals(given):
    head = chosen_amu(given, steps=10)
    x, y, a = given.val
    right = {w: ((zero_shot(given)(x, a) + w * head.bias(x, a)).argmax(1) == y).sum().item() for w in WEIGHTS}
    assert head.alpha == min(w for w in WEIGHTS if right[w] == max(right.values()))
    assert chosen_amu(given.fixed(), steps=10, alpha=0.7).alpha == 0.7
    assert chosen_amu(given, steps=10, scale=3.0).scale == 3.0


def test_usefulness_of_clip_itself_and_of_a_perfect_network(given):
    y = torch.arange(20) % 4
    x, blind = unit(20, 8, 9), F.normalize(torch.ones(20, 6, dtype=torch.float64), dim=1)
    none = usefulness(given, (x, blind), y)
    assert none["union"] >= none["strength"]
    perfect = torch.eye(6, dtype=torch.float64)[y]
    seen = replace(
        given,
        auxiliary=torch.eye(6, dtype=torch.float64)[given.labels],
        val=(*given.val[:2], torch.eye(6, dtype=torch.float64)[given.val[1]]),
    )
    found = usefulness(seen, (x, perfect), y, steps=20)
    assert found["strength"] == found["union"] == 100
    zero = zero_shot(given)(x, perfect)
    fused = chosen_amu(seen, steps=20).predict_logits(x, perfect)
    assert found["gain"] == pytest.approx(percent(fused[1::2], y[1::2]) - percent(zero[1::2], y[1::2]))


def test_groups_by_certainty():
    y = torch.arange(20) % 4
    # kurtosis sees the shape of p and not its scale: the peak must rise out of values that differ
    shape = torch.tensor([2.0, 1.0, 0.4, 0.0], dtype=torch.float64)
    sharpness = torch.linspace(0.1, 5, 20, dtype=torch.float64)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    logits = torch.stack([s * shape.roll(int(label)) for s, label in zip(sharpness, y, strict=True)])
    late = torch.where((sharpness > sharpness.median())[:, None], logits, -logits)  # right for the certain half only
    table = {(r["arm"], r["part"]): r["value"] for r in by_certainty(logits, {"zero": logits, "late": late}, y, parts=2)}
    assert table == {("zero", 1): 100, ("zero", 2): 100, ("late", 1): 0, ("late", 2): 100}
    with pytest.raises(ClipkitError, match="groups"):
        by_certainty(logits, {"zero": logits}, y, parts=21)


def test_what_cannot_be_done_is_said(given):
    with pytest.raises(ClipkitError, match="val"):
        concat_probe(given.fixed())
    few = given.labels < 3
    with pytest.raises(ClipkitError, match="all classes"):
        concat_probe(replace(given, features=given.features[few], labels=given.labels[few], auxiliary=given.auxiliary[few]))
