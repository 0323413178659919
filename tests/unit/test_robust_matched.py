"""Robustness at equal accuracy: shape bias, the signed gap, the step between two groups of models, intervals over training runs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from clipkit.errors import ClipkitError
from clipkit.robust import expected_calibration_error, fit_effective_robustness, signed_gap
from clipkit.robust.matched import matched_gap, run_bootstrap, shape_bias


def test_shape_bias_by_hand():
    shape, texture = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 3, 0])
    assert shape_bias(torch.tensor([0, 1, 3, 1]), shape, texture) == (pytest.approx(200 / 3), 75, 3)
    assert shape_bias(torch.tensor([2, 3, 0, 1]), shape, texture) == (50, 0, 0)  # neither cue: no preference


@given(st.integers(3, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_two_biases_add_up(n, seed):
    rng = np.random.default_rng(seed)
    shape = torch.from_numpy(rng.integers(0, 5, n))
    texture = (shape + torch.from_numpy(rng.integers(1, 5, n))) % 5
    said = torch.from_numpy(rng.integers(0, 5, n))
    one, other = shape_bias(said, shape, texture), shape_bias(said, texture, shape)
    assert one.bias + other.bias == pytest.approx(100) and one.cue_accuracy == other.cue_accuracy
    assert one.cue_accuracy == pytest.approx(100 * ((said == shape) | (said == texture)).double().mean().item())


@pytest.mark.parametrize("cues", [([0, 1], [0, 2]), ([], []), ([0], [1, 2])])
def test_shape_bias_refuses(cues):
    with pytest.raises(ClipkitError):
        shape_bias(torch.zeros(len(cues[0]), dtype=torch.int64), *(torch.tensor(c, dtype=torch.int64) for c in cues))


def test_signed_gap_by_hand():
    sure = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    assert signed_gap(sure, torch.tensor([0, 1])) == pytest.approx(35)  # 85 % sure, 50 % right
    assert signed_gap(sure, torch.tensor([0, 0])) == pytest.approx(-15)
    with pytest.raises(ClipkitError):
        signed_gap(torch.tensor([[3.0, -1.0]]), torch.tensor([0]))


def test_the_gap_is_at_most_the_calibration_error():
    dice = torch.Generator().manual_seed(0)
    p, y = torch.rand(200, 4, generator=dice).softmax(1), torch.randint(0, 4, (200,), generator=dice)
    assert abs(signed_gap(p, y)) <= 100 * expected_calibration_error(p, y) + 1e-6


def family(step, slope=1.3, intercepts=(-0.5, 0.4)):
    """Two strata of models on lines in logits, the group a step above: standard, shifted, group, strata."""
    x = np.array([20.0, 35, 50, 65, 80] * 4)
    group, strata = np.repeat([False, True, False, True], 5), np.repeat([0, 0, 1, 1], 5)
    y = 100 * expit(np.array(intercepts)[strata] + slope * logit(x / 100) + step * group)
    return x, y, group, strata


@given(st.floats(-1, 1), st.floats(0.3, 2))
@settings(max_examples=30, deadline=None)
def test_a_planted_step_is_found(step, slope):
    x, y, group, strata = family(step, slope)
    found = matched_gap(x, y, group, strata)
    line = np.array([-0.5, 0.4])[strata] + slope * logit(x / 100)
    assert found.slope == pytest.approx(slope, abs=1e-6) and found.overlap == 100
    assert found.gap == pytest.approx(100 * (expit(line + step) - expit(line)).mean(), abs=1e-6)


def test_more_accurate_is_not_more_robust():
    """All on one line, the group at its upper end: raw means differ, the matched gap is nought. The strata need not be alike."""
    x = np.array([20.0, 30, 40, 60, 70, 80])
    y = 100 * expit(logit(x / 100) - 1)
    group = x > 50
    assert y[group].mean() - y[~group].mean() > 20
    found = matched_gap(x, y, group)
    assert found.gap == pytest.approx(0, abs=1e-9) and found.overlap == 0


def test_simpson():
    """Within each source the group is above; pooled without strata it seems below."""
    x, y, group, strata = family(0.5, intercepts=(2.0, -2.0))
    keep = (strata == 0) & ~group | (strata == 1) & group | (np.arange(20) % 5 == 2)
    x, y, group, strata = (v[keep] for v in (x, y, group, strata))
    assert matched_gap(x, y, group, strata).gap > 0 > matched_gap(x, y, group).gap


def test_one_group_on_the_line_of_the_other_is_effective_robustness():
    x, shifted = np.array([30.0, 50, 70, 90]), np.array([20.0, 45, 60, 85])
    line = fit_effective_robustness(x, shifted)
    planted = 100 * expit(logit(line.expected([40.0, 60.0, 80.0]) / 100) + 0.3)
    ours = matched_gap([*x, 40, 60, 80], [*shifted, *planted], [False] * 4 + [True] * 3)
    assert ours.slope == pytest.approx(line.slope)  # the planted ones lie on a parallel
    assert ours.gap > 0 and (line.effective([40.0, 60.0, 80.0], planted) > 0).all()


def test_turning_the_groups_round_turns_the_sign():
    x, y, group, strata = family(0.4)
    values = np.random.default_rng(0).normal(50, 5, 20)
    for value, scale in ((y, "logit"), (values, "linear")):
        one, other = matched_gap(x, value, group, strata, scale), matched_gap(x, value, ~group, strata, scale)
        assert np.sign(one.gap) == -np.sign(other.gap) and (scale == "logit" or one.gap == pytest.approx(-other.gap))


@pytest.mark.parametrize(
    ("x", "group", "strata"),
    [
        ([50, 60, 70], [True] * 3, None),
        ([50, 60, 70], [False, True], None),
        ([50, 50, 50, 50], [False, True, False, True], None),
        ([50, 60, 70, 80], [False, False, True, True], [0, 0, 1, 1]),
        ([50, 160, 70, 80], [False, False, True, True], None),
    ],
)
def test_what_cannot_be_fitted_is_said(x, group, strata):
    with pytest.raises(ClipkitError):
        matched_gap(x, [40] * len(x), group, strata)


def test_runs_come_and_go_together():
    values, runs = np.repeat([0.0, 10.0, 20.0, 30.0], 50), np.repeat(range(4), 50)
    low, high = run_bootstrap(lambda rows: values[rows].mean(), runs)
    naive = run_bootstrap(lambda rows: values[rows].mean(), np.arange(200))
    assert high - low > 5 * (naive[1] - naive[0])
    assert low == run_bootstrap(lambda rows: values[rows].mean(), runs)[0]
    with pytest.raises(ClipkitError, match="two"):
        run_bootstrap(lambda rows: 0.0, np.zeros(5))


def test_coverage_of_runs_and_of_models():
    """Five snapshots a run share the run's luck: an interval over models is far too narrow, one over runs nearly right."""
    rng, hit = np.random.default_rng(1), {"runs": 0, "models": 0}
    for _ in range(100):
        values = np.repeat(rng.normal(0, 1, 12), 5) + rng.normal(0, 0.3, 60)
        for what, of in (("runs", np.repeat(range(12), 5)), ("models", np.arange(60))):
            low, high = run_bootstrap(lambda rows, values=values: values[rows].mean(), of, draws=200)
            hit[what] += low < 0 < high
    assert hit["runs"] >= 84 and hit["models"] <= 75


def test_draws_without_a_group_are_left_out():
    x, y, group, strata = family(0.4)
    runs = np.repeat(range(4), 5)
    low, high = run_bootstrap(lambda rows: matched_gap(x[rows], y[rows], group[rows], strata[rows]).gap, runs, draws=300)
    assert low <= matched_gap(x, y, group, strata).gap <= high + 1e-9
    with pytest.raises(ClipkitError, match="most draws"):
        run_bootstrap(lambda rows: matched_gap(x[rows], y[rows], np.zeros(len(rows), bool)).gap, runs, draws=50)
