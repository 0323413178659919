"""Known Gaussians: moments, nested samples, and the analytic accuracy of two classes."""

from __future__ import annotations

import math

import pytest
import torch

from clipkit.adapt import GDA
from clipkit.errors import ClipkitError
from clipkit.studies.gda_adapter_gaussians import known_gaussians, learning_curves


def test_samples_have_the_stated_moments():
    world = known_gaussians(3, 5, seed=1)
    x, y = world.sample(20000, 0)
    torch.testing.assert_close(torch.stack([x[y == c].mean(0) for c in range(3)]), world.means, atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov((x - world.means[y]).T), world.covariance, atol=0.06, rtol=0.05)
    torch.testing.assert_close(world.root @ world.root.T, world.covariance)
    assert world.covariance.trace().item() == pytest.approx(5)


def test_fewer_samples_are_the_start_of_more():
    world = known_gaussians(4, 6)
    (few, y), (many, _) = world.sample(2, 7), world.sample(5, 7)
    assert torch.equal(few, many[:8]) and y.tolist() == [0, 1, 2, 3] * 2
    assert not torch.equal(world.sample(2, 8)[0], few)


def test_bayes_rule_reaches_the_analytic_accuracy():
    world = known_gaussians(2, 8, seed=3)
    gap = world.means[1] - world.means[0]
    delta = (gap @ torch.linalg.inv(world.covariance) @ gap).sqrt().item()
    x, y = world.sample(20000, 1)
    accuracy = (world.bayes_logits(x).argmax(1) == y).double().mean().item()
    expected = 0.5 * (1 + math.erf(delta / 2 / math.sqrt(2)))  # Φ(Δ/2)
    assert accuracy == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 40000))


def test_the_distance_is_the_typical_one():
    world = known_gaussians(60, 64, distance=4.0, seed=2)
    P = torch.linalg.inv(world.covariance)
    gaps = (world.means[:, None] - world.means[None]).flatten(0, 1)
    squared = ((gaps @ P) * gaps).sum(1)
    assert (squared.sum() / (60 * 59)).sqrt().item() == pytest.approx(4.0, rel=0.05)


def test_learning_curves_stay_below_bayes_and_come_near():
    rows = learning_curves({"gda": GDA(), "identity": GDA("identity")}, (4, 400), range(3), n_classes=5, d=8)
    assert len(rows) == 3 * 2 * 3 and rows[0].keys() == {"seed", "shots", "arm", "value"}

    def mean(arm, k):
        return sum(row["value"] for row in rows if row["arm"] == arm and row["shots"] == k) / 3

    assert mean("bayes_rule", 400) - mean("gda", 400) < 1.0 < mean("bayes_rule", 4) - mean("gda", 4)
    assert mean("identity", 400) < mean("gda", 400)


def test_edges_and_refusals():
    assert known_gaussians(1, 1).sample(1, 0)[0].shape == (1, 1)
    for wrong in ({"n_classes": 0}, {"d": 0}, {"decay": -1.0}, {"distance": -1.0}):
        with pytest.raises(ClipkitError, match="at least"):
            known_gaussians(**wrong)
    with pytest.raises(ClipkitError, match="at least 1"):
        known_gaussians().sample(0, 0)
