"""The page pseudolabel_prompts: the settings hide what they should, what each method is given, gains and slopes by hand."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipkit import load_model
from clipkit.adapt import NearestClassMean
from clipkit.adapt.pseudolabels import schedule
from clipkit.errors import ClipkitError
from clipkit.features.samples import Pictures
from clipkit.studies import pseudolabel_prompts as study
from clipkit.studies.pseudolabel_prompts import (
    SETTINGS,
    Problem,
    class_gains,
    fit_closed_forms,
    harmonic_accuracy,
    limit_labels,
    mean_slope,
    most_confident,
    self_train,
    self_train_visual,
)
from clipkit.zeroshot import zeroshot_weights

Y = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2, 3])


def test_examples_in_docstrings():
    found = doctest.testmod(study)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_picture_is_on_one_side(setting):
    s = limit_labels(Y, setting, 4)
    assert sorted([*s.labelled.tolist(), *s.unlabelled.tolist()]) == list(range(10))


def test_semi_supervised_keeps_the_first_of_each_class():
    s = limit_labels(Y, "semi_supervised", 4, shots=2)
    assert s.labelled.tolist() == [0, 1, 2, 3, 4, 5, 9] and s.classes.tolist() == [0, 1, 2, 3] and s.seen.all()


def test_transductive_hides_whole_classes():
    splits = [limit_labels(Y, "transductive", 4, seed=seed) for seed in range(20)]
    for s in splits:
        assert s.seen.sum() == 2  # 0.62 of 4 is 2.48
        assert set(Y[s.labelled].tolist()) == set(s.seen.nonzero().flatten().tolist())
        assert set(Y[s.unlabelled].tolist()) == set(s.classes.tolist()) and not s.seen[s.classes].any()
    assert len({tuple(s.classes.tolist()) for s in splits}) > 2
    assert limit_labels(Y, "transductive", 4, seed=3).classes.tolist() == splits[3].classes.tolist()
    assert limit_labels(torch.tensor([0, 1]), "transductive", 2, seen_share=0.99).seen.sum() == 1
    assert limit_labels(torch.arange(100), "transductive", 100).seen.sum() == 62


def test_unsupervised_hides_all():
    s = limit_labels(Y, "unsupervised", 4)
    assert len(s.labelled) == 0 and not s.seen.any() and s.classes.tolist() == [0, 1, 2, 3]


def test_harmonic_mean():
    y, seen = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([True, True, False])
    assert harmonic_accuracy(torch.tensor([0, 0, 1, 0, 2, 0]), y, seen) == pytest.approx(100 * 2 * 0.75 * 0.5 / 1.25)
    assert harmonic_accuracy(torch.tensor([0, 0, 1, 1, 0, 0]), y, seen) == 0.0
    assert harmonic_accuracy(torch.ones(6, dtype=torch.int64) * 3, y, seen) == 0.0
    for everything in (torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)):
        assert harmonic_accuracy(torch.tensor([0, 0, 1, 0, 2, 0]), y, everything) == pytest.approx(100 * 4 / 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: limit_labels(Y, "inductive", 4), "unknown setting"),
        (lambda: limit_labels(Y, "unsupervised", 3), "between 0 and 2"),
        (lambda: limit_labels(Y[:0], "unsupervised", 3), "at least 1"),
        (lambda: limit_labels(Y * 0, "transductive", 1), "two classes"),
        (lambda: limit_labels(Y[:3], "semi_supervised", 4), "every picture has a label"),
    ],
)
def test_settings_that_cannot_be_are_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()


def problem(setting, n=200, c=5, d=16, noise=0.25, seed=0):
    rng = torch.Generator().manual_seed(seed)
    w = F.normalize(torch.randn(c, d, generator=rng), dim=1)
    turned = F.normalize(w + 0.3 * torch.randn(c, d, generator=rng), dim=1)  # the names are a little off

    def pictures(m):
        y = torch.randint(c, (m,), generator=rng)
        return F.normalize(turned[y] + noise * torch.randn(m, d, generator=rng), dim=1), y

    pool, test = pictures(n), pictures(n)
    return Problem.of(pool, test, limit_labels(pool[1], setting, c, seed=seed), w, 10.0), pool


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_problem_hides_what_it_should(setting):
    p, pool = problem(setting)
    s = p.split
    assert torch.equal(p.unlabelled, pool[0][s.unlabelled]) and torch.equal(p.truth, pool[1][s.unlabelled])
    torch.testing.assert_close(p.probs.sum(1), torch.ones(len(p.unlabelled)))
    closed = [k for k in range(5) if k not in s.classes.tolist()]
    assert (p.probs[:, closed] == 0).all() and (len(closed) == 3) == (setting == "transductive")
    assert (p.labelled is None) == (setting == "unsupervised")
    logits = 10 * p.unlabelled @ p.text_weights[s.classes].T
    torch.testing.assert_close(p.probs[:, s.classes], logits.softmax(1))
    if setting != "transductive":
        assert p.score(p.zero_shot()) == pytest.approx(100 * (p.zero_shot().argmax(1) == p.test[1]).float().mean().item())


@pytest.mark.parametrize("setting", SETTINGS)
def test_closed_forms_learn_something(setting):
    p, _ = problem(setting)
    found = fit_closed_forms(p)
    assert set(found) == {"template_ensemble", "balanced_means", "gaussian_mixture"}
    assert torch.equal(found["template_ensemble"], p.zero_shot())
    for logits in found.values():
        assert logits.shape == (200, 5) and p.score(logits) > p.score(p.zero_shot()) - 5


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("strategy", ["fpl", "ifpl", "grip"])
def test_rounds_share_the_training(setting, strategy):
    p, _ = problem(setting)
    calls = []

    def fit(x, y, weights, share):
        calls.append((len(x), set(y.tolist()), share, weights.sum().item()))
        return NearestClassMean(10.0).fit(x, y, p.text_weights)

    tested, right = self_train(p, fit, strategy, rounds=4, k=3)
    n = 1 if strategy == "fpl" else 4
    assert len(tested) == len(right) == n and sum(call[2] for call in calls) == pytest.approx(1)
    assert all(call[3] == pytest.approx(1 if p.labelled is None else 2) for call in calls)
    sizes = [call[0] for call in calls]
    known, ks = 0 if p.labelled is None else len(p.labelled[0]), schedule(strategy, len(p.unlabelled), len(p.split.classes), 4, 3)
    assert all(known < size <= known + k * len(p.split.classes) for size, k in zip(sizes, ks, strict=True))
    assert all(0 <= r <= 100 for r in right)


def test_threshold_takes_the_sure_ones_or_as_many_as_classes():
    p, _ = problem("unsupervised")
    sizes = []

    def fit(x, y, weights, share):
        sizes.append(len(x))
        return NearestClassMean(10.0).fit(x, y, p.text_weights)

    self_train(p, fit, "fpl", threshold=0.5)
    self_train(p, fit, "fpl", threshold=1.0)
    assert sizes == [int((p.probs.max(1).values >= 0.5).sum()), 5]


def test_the_most_confident_show_hits_and_misses():
    p = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.0, 0.1, 0.9]])
    rows, captions, precision = most_confident(p, torch.tensor([0, 1, 1, 1, 2]), ["a", "b", "c"], k=2)
    assert rows == [0, 1, 2, 3] and captions == ["✓ a 90 %", "✗ a 80 %", "✓ b 90 %", "✓ b 80 %"]
    assert precision == pytest.approx(80)


def test_visual_rounds_on_a_small_tower():
    clip = load_model("nano", device="cpu")
    w = zeroshot_weights(clip, ["cat", "dog"], ["a {}"])
    x = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pictures = Pictures((x, torch.arange(10) % 2), (x[:4], torch.arange(4) % 2), ["cat", "dog"], ["a {}"])
    found = self_train_visual(clip, pictures, shots=1, steps=3, batch=4)
    same = 100 * ((clip.image_features(x[:4]) @ w.T).argmax(1) == torch.arange(4) % 2).float().mean().item()
    assert set(found) == {"visual_prompt", "template_ensemble"} and found["template_ensemble"] == pytest.approx(same)
    assert found == self_train_visual(clip, pictures, shots=1, steps=3, batch=4)


def test_gains_by_class_by_hand():
    p, _ = problem("unsupervised", n=60)
    after = F.one_hot(p.test[1], 5).float()  # all right
    before, gain = class_gains(p, after)
    for c in range(5):
        hit = (p.zero_shot().argmax(1) == c)[p.test[1] == c].float().mean()
        assert gain[c] == pytest.approx(100 * (1 - hit.item()), abs=1e-4)
        assert before[c] == pytest.approx(100 * (p.probs.argmax(1) == c)[p.truth == c].float().mean().item(), abs=1e-4)
    unchanged = class_gains(p, p.zero_shot())
    assert unchanged[1].abs().max() == 0


def test_slope_equals_numpys_fit():
    rng = np.random.default_rng(0)
    groups = [(torch.tensor(rng.normal(size=n)), torch.tensor(rng.normal(size=n))) for n in (5, 9)]
    assert mean_slope(groups) == pytest.approx(np.mean([np.polyfit(x.numpy(), y.numpy(), 1)[0] for x, y in groups]))
    assert mean_slope([*groups, (torch.ones(3), torch.rand(3))]) == pytest.approx(mean_slope(groups))
    with pytest.raises(ClipkitError, match="two classes"):
        mean_slope([(torch.ones(3), torch.rand(3))])


def test_what_does_not_fit_is_said():
    p, pool = problem("unsupervised")
    with pytest.raises(ClipkitError, match="does not fit the split"):
        Problem.of((pool[0][:5], pool[1][:5]), p.test, p.split, p.text_weights, 1.0)
