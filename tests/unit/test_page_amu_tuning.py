"""The page amu_tuning: rivals that see both networks, partial correlation, the panels; choices use validation pictures only."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipkit.adapt.linear_probe import LinearProbe
from clipkit.adapt.shootout import WEIGHTS, FewShotInput, tip_adapter_f, zero_shot
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right
from clipkit.studies import amu_tuning as study
from clipkit.studies.amu_tuning import (
    MOST,
    accuracy_by_certainty,
    concat_probe,
    concatenate,
    concatenate_input,
    draw_score_panels,
    fit_amu,
    joint_cache_f,
    partial_correlation,
    shown_classes,
    usefulness,
)


def test_examples_in_docstrings():
    found = doctest.testmod(study)
    assert found.attempted > 0 and found.failed == 0


def unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


@pytest.fixture
def data():
    C, y = 4, torch.arange(20) % 4
    w, centres = unit(C, 8, 0), unit(C, 6, 1)
    near = [F.normalize(c[y] + 0.5 * unit(20, c.shape[1], 2 + i), dim=1) for i, c in enumerate((w, centres))]
    x, a = near
    return FewShotInput(x[:12], y[:12], a[:12], w, 10.0, (x[12:], y[12:], a[12:]))


def test_joining_keeps_norm_cosines_and_zero_shot(data):
    x, a = data.features, data.auxiliary
    both = concatenate(x, a)
    np.testing.assert_allclose(both.norm(dim=1), 1, atol=1e-12)
    np.testing.assert_allclose(both @ both.T, (x @ x.T + a @ a.T) / 2, atol=1e-12)
    np.testing.assert_allclose(zero_shot(concatenate_input(data))(both, a), zero_shot(data)(x, a), atol=1e-10)
    assert concatenate_input(data.fixed()).val is None


def test_concat_probe_is_logistic_regression_plus_zero_shot(data):
    x, a = unit(9, 8, 7), unit(9, 6, 8)
    both = concatenate_input(data)
    probe = LinearProbe((2.0,)).fit(both.features, both.labels, *both.val[:2])
    plain = zero_shot(data)(x, a) + 3.0 * torch.as_tensor(probe.logits(concatenate(x, a)))
    np.testing.assert_allclose(concat_probe(data, strengths=(2.0,), weights=(3.0,))(x, a), plain, atol=1e-10)
    np.testing.assert_allclose(concat_probe(data, weights=(0.0,))(x, a), zero_shot(data)(x, a), atol=1e-10)


def test_the_joint_cache_is_tip_adapter_f_on_joined_features(data):
    x, a = unit(9, 8, 7), unit(9, 6, 8)
    np.testing.assert_array_equal(joint_cache_f(data)(x, a), tip_adapter_f(concatenate_input(data))(concatenate(x, a), a))


def test_amus_weight_is_the_best_on_validation_and_the_smallest_of_equals(data):
    head = fit_amu(data, steps=10)
    x, y, a = data.val
    right = {w: ((zero_shot(data)(x, a) + w * head.bias(x, a)).argmax(1) == y).sum().item() for w in WEIGHTS}
    assert head.alpha == min(w for w in WEIGHTS if right[w] == max(right.values()))
    assert fit_amu(data.fixed(), steps=10, alpha=0.7).alpha == 0.7
    assert fit_amu(data, steps=10, scale=3.0).scale == 3.0


def test_usefulness_of_clip_itself_and_of_a_perfect_network(data):
    y = torch.arange(20) % 4
    x, blind = unit(20, 8, 9), F.normalize(torch.ones(20, 6, dtype=torch.float64), dim=1)
    none = usefulness(data, (x, blind), y)
    assert none["union"] >= none["strength"]
    perfect = torch.eye(6, dtype=torch.float64)[y]
    seen = replace(
        data,
        auxiliary=torch.eye(6, dtype=torch.float64)[data.labels],
        val=(*data.val[:2], torch.eye(6, dtype=torch.float64)[data.val[1]]),
    )
    found = usefulness(seen, (x, perfect), y, steps=20)
    assert found["strength"] == found["union"] == 100
    zero = zero_shot(data)(x, perfect)
    fused = fit_amu(seen, steps=20).predict_logits(x, perfect)
    assert found["gain"] == pytest.approx(percent_right(fused[1::2], y[1::2]) - percent_right(zero[1::2], y[1::2]))


def test_groups_by_certainty():
    y = torch.arange(20) % 4
    # kurtosis sees the shape of p and not its scale: the peak must rise out of values that differ
    shape = torch.tensor([2.0, 1.0, 0.4, 0.0], dtype=torch.float64)
    sharpness = torch.linspace(0.1, 5, 20, dtype=torch.float64)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    logits = torch.stack([s * shape.roll(int(label)) for s, label in zip(sharpness, y, strict=True)])
    late = torch.where((sharpness > sharpness.median())[:, None], logits, -logits)  # right for the certain half only
    table = {(r["arm"], r["part"]): r["value"] for r in accuracy_by_certainty(logits, {"zero": logits, "late": late}, y, parts=2)}
    assert table == {("zero", 1): 100, ("zero", 2): 100, ("late", 1): 0, ("late", 2): 100}
    with pytest.raises(ClipkitError, match="groups"):
        accuracy_by_certainty(logits, {"zero": logits}, y, parts=21)


def test_the_branches_are_those_of_the_fused_scores(data):
    x, a, y = unit(9, 8, 7), unit(9, 6, 8), torch.arange(9) % 4
    head, zero = fit_amu(data, steps=10), zero_shot(data)(x, a)
    parts = {"zero_shot": zero, "bias_alone": head.own_logits(a), "amu": head.predict_logits(x, a)}
    assert study.branches_by_certainty(data, (x, a), y, steps=10) == accuracy_by_certainty(zero, parts, y)


def test_what_cannot_be_done_is_said(data):
    with pytest.raises(ClipkitError, match="val"):
        concat_probe(data.fixed())
    few = data.labels < 3
    with pytest.raises(ClipkitError, match="all classes"):
        concat_probe(replace(data, features=data.features[few], labels=data.labels[few], auxiliary=data.auxiliary[few]))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 40), st.integers(0, 10**6))
def test_equals_the_correlation_of_residuals_and_the_textbook_formula(n, seed):
    x, y, z = np.random.default_rng(seed).normal(size=(3, n))
    design = np.stack([np.ones(n), z], 1)
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    found = partial_correlation(x, y, z)
    assert found == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-8)
    r = np.corrcoef([x, y, z])
    assert found == pytest.approx((r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2)), abs=1e-8)
    assert partial_correlation(3 * x + 2 * z - 5, -y, z) == pytest.approx(-found, abs=1e-8)


def test_shifts_of_whole_groups_do_not_matter():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 12))
    group = np.repeat(["a", "b", "c"], 4)
    shift = np.repeat([100.0, -50.0, 7.0], 4)
    assert partial_correlation(x + shift, y - 2 * shift, z + 3 * shift, group) == pytest.approx(partial_correlation(x, y, z, group))
    design = np.stack([*(group == g for g in "abc"), z], 1).astype(float)
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    assert partial_correlation(x, y, z, group) == pytest.approx(np.corrcoef(*left)[0, 1])


def test_nothing_where_nothing_moves():
    x, z = np.arange(5.0), np.array([0.1, 0.4, 0.2, 0.9, 0.3])
    assert partial_correlation(x, np.full(5, 0.1), z) == 0.0
    assert partial_correlation(x, 3 * z + 0.1, z) == 0.0  # all of y is explained by z
    assert partial_correlation(x, x, np.full(5, 2.0)) == pytest.approx(1.0)
    assert partial_correlation(x, z, z[::-1], group=range(5)) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2], [1, 2]), "at least 3"),
        (([1, 2, 3], [1, 2, 3, 4], [1, 2, 3]), "one length"),
        (([1, 2, float("nan")], [1, 2, 3], [1, 2, 3]), "NaN"),
        (([1, 2, 3], [1, 2, 3], [1, 2, 3], ["a"]), "group labels"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ClipkitError, match=message):
        partial_correlation(*arguments)


def test_the_classes_shown_hold_the_truth_and_every_winner():
    rng = np.random.default_rng(1)
    for C in (2, 5, 48):
        scores = [rng.normal(size=C) for _ in range(3)]
        shown = shown_classes(scores, C - 1)
        assert len(shown) == min(C, MOST) == len(set(shown)) and C - 1 in shown
        assert {int(s.argmax()) for s in scores} <= set(shown)


def test_panels_say_what_they_show(capsys):
    picture, names = np.zeros((4, 4, 3), np.uint8), ["cat", "cup", "car"]
    draw_score_panels(picture, {"zero-shot": [1, 3, 2], "bias": [0, 0, 0], "sum": [1, 3, 2]}, names, 2, "A title")
    said = capsys.readouterr().out
    assert "class car" in said and "zero-shot: cup" in said and "bias: all the same" in said


def test_pictures_of_networks_and_parts(capsys):
    values = {"a": (50.0, 70.0, 2.0), "b": (30.0, 60.0, 0.0)}
    rows = [
        (n, arm, v + s) for s in (0, 2) for n, three in values.items() for arm, v in zip(("strength", "union", "gain"), three, strict=True)
    ]
    points = study.draw_networks(pd.DataFrame([*rows, (None, "amu", 9.0)], columns=["network", "arm", "value"]), "A title")
    assert points.index.tolist() == ["b", "a"] and points.loc["a", ["strength", "union", "gain"]].tolist() == [51.0, 71.0, 3.0]
    arms = {"amu_low_shot": [60.0, 62.0], "without_mean_start": [58.0, 60.0], "without_own_loss": [61.0, 62.0]}
    said = study.draw_parts(pd.DataFrame(arms), "A title")
    assert said == "start at class means +2.0; loss of its own −0.5"
    out = capsys.readouterr().out
    assert "a: alone 51 %, either right 71 %, gain 3.0 points" in out and said in out
