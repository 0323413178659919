"""Groups chosen by failures, the drop between them, effective robustness, and the linear theory of a spurious cue."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize

from clipkit.errors import ClipkitError
from clipkit.robust import (
    accuracy_by_place,
    discover_spurious_groups,
    fit_effective_robustness,
    group_drop,
    in_groups,
    linear_clip_direction,
    linear_counter_error,
    simulate_linear_clip,
)


@pytest.fixture
def pictures():
    """Of 3 classes before 4 places, 60 of each class; how often a model is right depends on both."""
    rng = np.random.default_rng(0)
    labels, places = np.repeat([0, 1, 2], 60), rng.integers(0, 4, 180)
    return rng.random(180) < np.array([[0.9, 0.5, 0.7, 0.2], [0.6, 0.6, 0.6, 0.6], [0.1, 0.9, 0.4, 0.5]])[labels, places], labels, places


def test_the_table_is_that_of_pandas(pictures):
    correct, labels, places = pictures
    accuracy, counts = accuracy_by_place(correct, labels, places)
    frame = pd.DataFrame({"right": correct, "label": labels, "place": places})
    table = frame.pivot_table("right", "label", "place", aggfunc=["mean", "size"])
    np.testing.assert_allclose(accuracy, 100 * table["mean"])
    np.testing.assert_array_equal(counts, table["size"])


def test_groups_are_the_best_and_the_worst_cell(pictures):
    correct, labels, places = pictures
    accuracy, counts = accuracy_by_place(correct, labels, places)
    found = discover_spurious_groups(correct, labels, places, min_gap=5, min_n=1)
    assert set(found) == {0, 1, 2}
    for c, (common, counter) in found.items():
        assert accuracy[c, common] == accuracy[c].max() and accuracy[c, counter] == accuracy[c].min()
    widest = np.ptp(accuracy, axis=1)
    assert set(discover_spurious_groups(correct, labels, places, widest.min(), 1)) == set(np.flatnonzero(widest > widest.min()))
    few = discover_spurious_groups(correct, labels, places, 0, int(np.sort(counts[0])[2]))
    assert counts[0, few[0][0]] >= np.sort(counts[0])[2] and counts[0, few[0][1]] >= np.sort(counts[0])[2]
    assert discover_spurious_groups(correct, labels, places, 0, 61) == {}


def test_only_the_split_chooses(pictures):
    correct, labels, places = pictures
    split = np.arange(180) % 2 == 0
    found = discover_spurious_groups(correct, labels, places, 0, 1, split)
    other = np.where(split, correct, ~correct)
    assert found == discover_spurious_groups(other, labels, places, 0, 1, split)
    assert found == discover_spurious_groups(correct[split], labels[split], places[split], 0, 1)


def test_the_drop_is_a_mean_over_classes():
    labels, places = np.array([0] * 10 + [1] * 3), np.array([0] * 8 + [1] * 2 + [0, 1, 1])
    correct = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0], bool)
    found = group_drop(correct, labels, in_groups(labels, places, {0: (0, 1), 1: (0, 1)}))
    assert found.per_class.tolist() == [[75.0, 50.0], [100.0, 0.0]]
    assert (found.common, found.counter, found.drop) == (87.5, 25.0, 62.5) and found.low == 25 and found.high == 100
    by_picture = correct[places == 0].mean() - correct[places == 1].mean()
    assert abs(100 * by_picture - found.drop) > 5  # the mean over pictures is another number
    assert group_drop(correct, labels, in_groups(labels, places, {0: (0, None), 1: (0, None)})).drop == found.drop
    alone = group_drop(correct, labels, in_groups(labels, places, {0: (0, 1), 1: (0, 7)}))
    assert alone.per_class.tolist() == [[75.0, 50.0]]  # a class without a counter picture does not count


def test_the_interval_covers_the_drop_of_all_classes():
    rng, hits = np.random.default_rng(1), 0
    for draw in range(60):
        true = rng.normal(20, 10, 30)  # the classes' drops; their mean in the population is 20
        labels, group = np.repeat(np.arange(30), 80), np.tile([0, 1], 1200)
        right = rng.random(2400) < np.where(group == 0, 0.8, 0.8 - true[labels] / 100)
        found = group_drop(right, labels, group, seed=draw)
        hits += found.low <= 20 <= found.high
    assert 51 <= hits <= 60


def test_luck_chooses_a_drop_that_new_pictures_do_not_have():
    rng = np.random.default_rng(2)
    labels, places = (grid.ravel() for grid in np.indices((40, 6, 40))[:2])
    coin, split = rng.random(len(labels)) < 0.6, np.arange(len(labels)) % 2 == 0
    group = in_groups(labels, places, discover_spurious_groups(coin, labels, places, split=split))
    same, new = (group_drop(coin[h], labels[h], group[h]) for h in (split, ~split))
    assert same.drop > 20 and new.low < 0 < new.high


def test_effective_robustness_is_what_the_line_leaves():
    line = lambda x: 100 / (1 + np.exp(-(0.9 * np.log(x / (100 - x)) - 0.7)))  # noqa: E731
    standard = np.array([30.0, 55.0, 70.0, 92.0])
    fit = fit_effective_robustness(standard, line(standard))
    assert (fit.slope, fit.intercept) == pytest.approx((0.9, -0.7))
    np.testing.assert_allclose(fit.effective([40.0, 80.0], line(np.array([40.0, 80.0])) + [0, 6]), [0, 6], atol=1e-9)
    assert np.isfinite(fit_effective_robustness([0, 100], [0, 100]).slope)


def test_the_closed_form_by_hand_and_by_simulation():
    assert linear_counter_error(0.9, 1.0, 0.5, 0.3) == pytest.approx(0.4193, abs=1e-4)
    w = linear_clip_direction(0.9, 1.0, 0.5, 0.3)
    assert w == (pytest.approx(1.89), pytest.approx(1.672))
    for cell in ((0.9, 1.0, 0.5, 0.3), (0.95, 2.0, 1.0, 0.5), (0.6, 1.5, 0.7, 0.4)):
        for noise in (0.0, 0.5):
            fitted = np.mean([simulate_linear_clip(*cell, noise=noise, seed=s) for s in range(25)])
            assert linear_counter_error(*cell, noise=noise) == pytest.approx(fitted, abs=0.012)


def test_without_a_tie_the_background_is_not_read():
    mu = np.linspace(0.5, 3, 6)
    np.testing.assert_allclose(linear_counter_error(0.5, mu, 0.5, 0.3), linear_counter_error(0.5, 0.0, 0.5, 0.3))
    w_inv, w_spu = linear_clip_direction(0.9, mu, 0.5, 0.3)
    assert ((linear_counter_error(0.9, mu, 0.5, 0.3) > 0.5) == (mu * w_spu > w_inv)).all()


def test_the_covariance_over_rho_minimises_the_loss_of_the_paper():
    """The loss as the paper writes it, pair by pair, minimised by a general method over the product of the encoders."""
    rng, n, rho = np.random.default_rng(3), 12, 0.7
    x, t = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))

    def loss(flat):
        m = flat.reshape(3, 2)
        s = x @ m @ t.T
        pairs = sum(s[i, j] - s[i, i] + s[j, i] - s[i, i] for i in range(n) for j in range(n) if i != j)
        return pairs / (2 * n * (n - 1)) + rho / 2 * (m**2).sum()

    found = minimize(loss, np.zeros(6)).x.reshape(3, 2)
    covariance = (x - x.mean(0)).T @ (t - t.mean(0)) / (n - 1)
    np.testing.assert_allclose(found, covariance / rho, atol=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy_by_place([True], [0, 1], [0, 1]),
        lambda: accuracy_by_place([], [], []),
        lambda: discover_spurious_groups([True, False], [0, -1], [0, 1]),
        lambda: discover_spurious_groups([True, False], [0, 0], [0, 1], split=[True]),
        lambda: discover_spurious_groups([True, False], [0, 0], [0, 1], split=[False, False]),
        lambda: group_drop([True, False], [0, 0], [-1, -1]),
        lambda: group_drop([True, False], [0, 1], [0, 1]),
        lambda: fit_effective_robustness([50.0], [40.0]),
        lambda: fit_effective_robustness([50.0, 50.0], [40.0, 30.0]),
        lambda: fit_effective_robustness([50.0, 150.0], [40.0, 30.0]),
        lambda: simulate_linear_clip(1.2, 1, 1, 1),
        lambda: simulate_linear_clip(0.9, 1, 1, 1, n=1),
    ],
)
def test_what_cannot_be_is_said(call):
    with pytest.raises(ClipkitError):
        call()


def test_torch_is_taken_too():
    right, labels, group = torch.tensor([True, False]), torch.tensor([0, 0]), torch.tensor([0, 1])
    assert group_drop(right, labels, group).drop == 100
