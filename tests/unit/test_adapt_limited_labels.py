"""The three settings hide what they should, by the seed; the harmonic mean by hand."""

from __future__ import annotations

import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.studies.pseudolabel_prompts_settings import SETTINGS, harmonic_accuracy, limited_labels

Y = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2, 3])


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_picture_is_on_one_side(setting):
    s = limited_labels(Y, setting, 4)
    assert sorted([*s.labelled.tolist(), *s.unlabelled.tolist()]) == list(range(10))


def test_semi_supervised_keeps_the_first_of_each_class():
    s = limited_labels(Y, "semi_supervised", 4, shots=2)
    assert s.labelled.tolist() == [0, 1, 2, 3, 4, 5, 9] and s.classes.tolist() == [0, 1, 2, 3] and s.seen.all()


def test_transductive_hides_whole_classes():
    splits = [limited_labels(Y, "transductive", 4, seed=seed) for seed in range(20)]
    for s in splits:
        assert s.seen.sum() == 2  # 0.62 of 4 is 2.48
        assert set(Y[s.labelled].tolist()) == set(s.seen.nonzero().flatten().tolist())
        assert set(Y[s.unlabelled].tolist()) == set(s.classes.tolist()) and not s.seen[s.classes].any()
    assert len({tuple(s.classes.tolist()) for s in splits}) > 2
    assert limited_labels(Y, "transductive", 4, seed=3).classes.tolist() == splits[3].classes.tolist()
    assert limited_labels(torch.tensor([0, 1]), "transductive", 2, seen_share=0.99).seen.sum() == 1
    assert limited_labels(torch.arange(100), "transductive", 100).seen.sum() == 62


def test_unsupervised_hides_all():
    s = limited_labels(Y, "unsupervised", 4)
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
        (lambda: limited_labels(Y, "inductive", 4), "unknown setting"),
        (lambda: limited_labels(Y, "unsupervised", 3), "0 … 2"),
        (lambda: limited_labels(Y[:0], "unsupervised", 3), "at least one"),
        (lambda: limited_labels(Y * 0, "transductive", 1), "two classes"),
        (lambda: limited_labels(Y[:3], "semi_supervised", 4), "every picture has a label"),
    ],
)
def test_what_cannot_be_is_said(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
