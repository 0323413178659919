"""The page gda_adapter: heads see what their protocol allows and no more; thinning, halving, known Gaussians, two clouds."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from clipkit.adapt import GDA, LogisticHead, NearestClassMean, TipAdapter, ZeroShotProbe, select_alpha, selection_rows
from clipkit.adapt.selection import PROTOCOLS, equal_spread
from clipkit.errors import ClipkitError
from clipkit.features.few_shot import FewShot, turns
from clipkit.lab.figures import new_figure
from clipkit.metrics import percent_right
from clipkit.studies import gda_adapter as study
from clipkit.studies.gda_adapter import macro_percent

SCALE = 20.0


@pytest.fixture
def drawn():
    g = torch.Generator().manual_seed(0)
    w = normalize(torch.randn(6, 10, generator=g), dim=1)
    parts = {}
    for name, n in (("pool", 8), ("val", 4), ("test", 20)):
        y = torch.arange(6).repeat(n)
        parts[name] = normalize(w[y] + 0.5 * torch.randn(len(y), 10, generator=g) + 0.3, dim=1), y
    return FewShot(turn=turns(parts["pool"][1].numpy()), classnames=list("abcdef"), templates=["{}"], **parts), w


def test_examples_in_docstrings():
    found = doctest.testmod(study)
    assert found.attempted > 0 and found.failed == 0


def scored(draw, w, head, protocol, added="always", k=4):
    """Percent right and weight of a head on the test pictures, chosen as the protocol says."""
    support = draw.shots(k)
    rows = selection_rows(draw, k, protocol)
    logits, alpha = study.predict(head.fit(*support, w), w, SCALE, support, rows, draw.test[0], added)
    return percent_right(logits, draw.test[1]), alpha


def test_scores_are_those_of_the_steps_written_out(drawn):
    draw, w = drawn
    (xt, yt), (x, y), (xv, yv) = draw.test, draw.shots(4), draw.val
    head, zs = GDA().fit(x, y, w), SCALE * xt @ w.T
    alpha = select_alpha(SCALE * xv @ w.T, head.predict_logits(xv), yv)
    assert scored(draw, w, GDA(), "full_val") == (percent_right(zs + alpha * head.predict_logits(xt), yt), alpha)
    spread = equal_spread(SCALE * x @ w.T, head.predict_logits(x))
    assert scored(draw, w, GDA(), "fixed")[0] == percent_right(zs + spread * head.predict_logits(xt), yt)  # k / 4 = 1
    assert scored(draw, w, GDA(), "fixed", k=2)[1] == pytest.approx(
        0.5 * equal_spread(SCALE * draw.shots(2)[0] @ w.T, GDA().fit(*draw.shots(2), w).predict_logits(draw.shots(2)[0]))
    )


def test_heads_that_stand_alone_or_set_their_own_numbers(drawn):
    draw, w = drawn
    (xt, yt), (x, y) = draw.test, draw.shots(4)
    probe = ZeroShotProbe(SCALE, epochs=20)
    assert scored(draw, w, probe, "fixed", "chosen") == (percent_right(probe.fit(x, y, w).predict_logits(xt), yt), None)
    assert scored(draw, w, probe, "full_val", "chosen")[1] is not None
    assert len({scored(draw, w, NearestClassMean(SCALE), protocol, "never") for protocol in PROTOCOLS}) == 1
    tip = TipAdapter(1.0, 5.5, SCALE).fit(x, y, w)
    assert scored(draw, w, TipAdapter(1.0, 5.5, SCALE), "fixed") == (percent_right(tip.predict_logits(xt), yt), None)
    searched = percent_right(tip.search(*draw.val).predict_logits(xt), yt)
    assert scored(draw, w, TipAdapter(1.0, 5.5, SCALE), "full_val") == (searched, None)


def test_test_labels_reach_the_oracle_only(drawn):
    draw, w = drawn
    turned = FewShot(draw.pool, draw.turn, draw.val, (draw.test[0], (draw.test[1] + 1) % 6), draw.classnames, draw.templates)
    one, other = ({p: scored(d, w, GDA(), p, k=2) for p in PROTOCOLS} for d in (draw, turned))
    assert all(one[protocol][1] == other[protocol][1] for protocol in PROTOCOLS[:-1])
    assert one["oracle_test"][0] >= max(one[p][0] for p in ("fewshot_val", "full_val"))


def test_macro_accuracy_by_hand():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert macro_percent(logits, torch.tensor([0, 0, 0, 1])) == 50.0 and percent_right(logits, torch.tensor([0, 0, 0, 1])) == 75.0


def test_zipf_shots():
    few = study.zipf_shots(48, 16, 3)
    assert few.max() == 16 and few.min() == 1 and sorted(few.tolist()) == sorted(study.zipf_shots(48, 16, 4).tolist())
    assert few.tolist() != study.zipf_shots(48, 16, 4).tolist() and study.zipf_shots(1, 5, 0).tolist() == [5]
    with pytest.raises(ClipkitError, match="at least 1"):
        study.zipf_shots(0, 1, 0)


def test_long_tail(drawn):
    draw, w = drawn
    found, zero_shot = study.long_tail(draw, w, 8, SCALE, seed=1), SCALE * draw.test[0] @ w.T
    assert found["zero_shot_macro"] == pytest.approx(macro_percent(zero_shot, draw.test[1]))
    few = study.zipf_shots(6, 8, 1)
    rare = torch.as_tensor(few == few.min())[draw.test[1]]
    assert found["zero_shot_macro_rare"] == pytest.approx(macro_percent(zero_shot[rare], draw.test[1][rare]))
    thin = draw.thinned(few)
    head = GDA().fit(*thin.pool, w).predict_logits
    alpha = select_alpha(SCALE * thin.val[0] @ w.T, head(thin.val[0]), thin.val[1])
    assert found["gda_zipf"] == pytest.approx(macro_percent(zero_shot + alpha * head(draw.test[0]), draw.test[1]))
    logistic = LogisticHead(SCALE).fit(*thin.pool, w).search(*thin.val).predict_logits(draw.test[0])
    assert found["logistic_zipf"] == pytest.approx(macro_percent(logistic, draw.test[1]))
    clap = ZeroShotProbe(SCALE, penalty="clap").fit(*thin.pool, w).predict_logits
    alpha = select_alpha(SCALE * thin.val[0] @ w.T, clap(thin.val[0]), thin.val[1])
    assert found["clap_zipf"] == pytest.approx(macro_percent(zero_shot + alpha * clap(draw.test[0]), draw.test[1]))
    assert all(0 <= value <= 100 for value in found.values()) and len(found) == 14
    assert found == study.long_tail(draw, w, 8, SCALE, seed=1) != study.long_tail(draw, w, 8, SCALE, seed=2)


def test_new_classes(drawn):
    draw, w = drawn
    found = study.new_classes(draw, w, 8, SCALE, seed=0)
    order = np.random.default_rng(0).permutation(6)
    for kind, classes in (("base", order[:3]), ("new", order[3:])):
        part = draw.of(classes)
        assert found[f"zero_shot_{kind}"] == percent_right(SCALE * part.test[0] @ w[np.sort(classes)].T, part.test[1])
    assert set(found) == {f"{arm}_{kind}" for arm in ("zero_shot", "gda", "gda_shared") for kind in ("base", "new")}
    with pytest.raises(ClipkitError, match="two classes"):
        study.new_classes(draw, w[:1], 8, SCALE, seed=0)


def test_samples_have_the_stated_moments():
    world = study.known_gaussians(3, 5, seed=1)
    x, y = world.sample(20000, 0)
    torch.testing.assert_close(torch.stack([x[y == c].mean(0) for c in range(3)]), world.means, atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov((x - world.means[y]).T), world.covariance, atol=0.06, rtol=0.05)
    torch.testing.assert_close(world.root @ world.root.T, world.covariance)
    assert world.covariance.trace().item() == pytest.approx(5)


def test_fewer_samples_are_the_start_of_more():
    world = study.known_gaussians(4, 6)
    (few, y), (many, _) = world.sample(2, 7), world.sample(5, 7)
    assert torch.equal(few, many[:8]) and y.tolist() == [0, 1, 2, 3] * 2
    assert not torch.equal(world.sample(2, 8)[0], few)


def test_bayes_rule_reaches_the_analytic_accuracy():
    world = study.known_gaussians(2, 8, seed=3)
    gap = world.means[1] - world.means[0]
    delta = (gap @ torch.linalg.inv(world.covariance) @ gap).sqrt().item()
    x, y = world.sample(20000, 1)
    expected = 0.5 * (1 + math.erf(delta / 2 / math.sqrt(2)))  # Φ(Δ/2)
    assert percent_right(world.bayes_logits(x), y) / 100 == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 40000))


def test_the_distance_is_the_typical_one():
    world = study.known_gaussians(60, 64, distance=4.0, seed=2)
    P = torch.linalg.inv(world.covariance)
    gaps = (world.means[:, None] - world.means[None]).flatten(0, 1)
    squared = ((gaps @ P) * gaps).sum(1)
    assert (squared.sum() / (60 * 59)).sqrt().item() == pytest.approx(4.0, rel=0.05)


def test_learning_curves_stay_below_bayes_and_come_near():
    rows = study.learning_curves({"gda": GDA(), "identity": GDA("identity")}, (4, 400), range(3), n_classes=5, d=8)
    assert len(rows) == 3 * 2 * 3 and rows[0].keys() == {"seed", "shots", "arm", "value"}

    def mean(arm, k):
        return sum(row["value"] for row in rows if row["arm"] == arm and row["shots"] == k) / 3

    assert mean("bayes_rule", 400) - mean("gda", 400) < 1.0 < mean("bayes_rule", 4) - mean("gda", 4)
    assert mean("identity", 400) < mean("gda", 400)


def test_edges_and_refusals():
    assert study.known_gaussians(1, 1).sample(1, 0)[0].shape == (1, 1)
    for wrong in ({"n_classes": 0}, {"d": 0}, {"decay": -1.0}, {"distance": -1.0}):
        with pytest.raises(ClipkitError, match="at least"):
            study.known_gaussians(**wrong)
    with pytest.raises(ClipkitError, match="at least 1"):
        study.known_gaussians().sample(0, 0)


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    root, means = rng.normal(size=(6, 6)), rng.normal(size=(2, 6))
    points = {name: mean + rng.normal(size=(20, 6)) @ root.T for name, mean in zip("ab", means, strict=True)}
    return means, root @ root.T, np.linalg.inv(root @ root.T), points


def test_both_normals_lie_in_the_plane(clouds):
    means, _, precision, _ = clouds
    plane, normal = study.discriminant_plane(means, precision)
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    for direction in (means[1] - means[0], precision @ (means[1] - means[0])):
        np.testing.assert_allclose(plane @ (plane.T @ direction), direction, atol=1e-9)
    np.testing.assert_allclose(plane @ normal, precision @ (means[1] - means[0]), atol=1e-9)


def test_a_round_cloud_has_one_border():
    plane, normal = study.discriminant_plane(np.eye(3)[:2], np.eye(3))
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    assert abs(normal[1]) < 1e-12
    with pytest.raises(ClipkitError, match="means are the same"):
        study.discriminant_plane(np.ones((2, 3)), np.eye(3))


def test_what_is_drawn(clouds):
    means, covariance, precision, points = clouds
    axes = new_figure().subplots()
    study.draw_two_clouds(axes, points, means, covariance, precision)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["a", "b", "border of the nearest mean", "border of the Gaussians"]
    ring = axes.lines[1].get_xydata() @ study.discriminant_plane(means, precision)[0].T + means.mean(0)
    from_mean = (ring - means[0]) @ np.linalg.inv(covariance) * (ring - means[0])
    assert from_mean.sum(1).min() > 0


def test_differences_by_hand(capsys):
    rows = [(seed, k, arm, v + k + seed) for seed in (0, 1) for k in (1, 4) for arm, v in (("gda", 5.0), ("zero_shot", 2.0 * k))]
    rows = pd.DataFrame(rows, columns=["seed", "shots", "arm", "value"])
    found = study.subtract(rows, "zero_shot")
    assert found.arm.unique().tolist() == ["gda"] and found.set_index(["seed", "shots"]).value.to_dict() == {
        (0, 1): 3.0, (0, 4): -3.0, (1, 1): 3.0, (1, 4): -3.0
    }  # fmt: skip
    gain = study.draw_gain_by_task(rows.assign(task="a_b"), "Points")
    assert gain.loc["a b"].to_dict() == {"gda": 0.0} and "Best head: a b: gda" in capsys.readouterr().out
