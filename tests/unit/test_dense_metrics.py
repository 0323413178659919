"""Label maps and their scores: scikit-learn as the reference, values by hand, one class to a thousand, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from sklearn.metrics import confusion_matrix, jaccard_score

from clipkit.dense import (
    boundary_iou,
    confusion,
    cosines,
    group_max,
    iou_of,
    mean_iou,
    segment,
    text_classifier,
)
from clipkit.dense.metrics import border
from clipkit.errors import ClipkitError


def maps(n, classes, side=20, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(classes, (n, side, side), generator=g), torch.randint(classes, (n, side, side), generator=g)


@pytest.mark.parametrize("classes", [1, 2, 7, 1000])
def test_confusion_and_iou_against_scikit_learn(classes):
    p, t = maps(3, classes)
    theirs = confusion_matrix(t.flatten(), p.flatten(), labels=range(classes))
    assert np.array_equal(confusion(p, t, classes).numpy(), theirs)
    ours = mean_iou(p, t, classes)
    each = jaccard_score(t.flatten(), p.flatten(), labels=range(classes), average=None, zero_division=0)
    present = np.bincount(t.flatten(), minlength=classes) > 0
    np.testing.assert_allclose(ours.per_class.numpy()[present], each[present], atol=1e-12)
    assert np.isnan(ours.per_class.numpy()[~present]).all() and ours.n_classes == present.sum()
    assert ours.mean == pytest.approx(each[present].mean()) and ours.accuracy == pytest.approx((p == t).double().mean().item())
    weighted = jaccard_score(t.flatten(), p.flatten(), labels=range(classes), average="weighted", zero_division=0)
    assert ours.weighted == pytest.approx(weighted)


def test_by_hand_with_pixels_to_ignore():
    truth, predicted = torch.tensor([[[0, 0, 1, 255]]]), torch.tensor([[[0, 1, 1, 2]]])
    found = mean_iou(predicted, truth, 4)
    assert found.per_class.tolist()[:2] == [0.5, 0.5] and math.isnan(found.per_class[3]) and found.mean == 0.5 and found.n_classes == 2
    assert found.of([0]) == 0.5 and found.of([0, 3]) == 0.5  # a class that is not there does not count as 0


def test_a_data_set_is_one_matrix_not_a_mean_of_pictures():
    p, t = maps(4, 3)
    t[0] = 0
    parts = sum(confusion(a, b, 3) for a, b in zip(p, t, strict=True))
    assert iou_of(parts).mean == mean_iou(p, t, 3).mean
    assert abs(np.mean([mean_iou(a, b, 3).mean for a, b in zip(p, t, strict=True)]) - mean_iou(p, t, 3).mean) > 0.01


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_border_against_scipy(distance):
    mask = torch.rand(3, 17, 23, generator=torch.Generator().manual_seed(1)) > 0.2
    square = np.ones((2 * distance + 1,) * 2)
    for ours, m in zip(border(mask, distance), mask, strict=True):
        assert np.array_equal(ours.numpy(), m.numpy() & ~binary_erosion(m.numpy(), square, border_value=0))


def test_boundary_iou_by_hand():
    truth, off = torch.zeros(1, 8, 8, dtype=torch.int64), torch.zeros(1, 8, 8, dtype=torch.int64)
    truth[0, 2:6, 2:6] = 1
    off[0, 2:6, 3:7] = 1  # one to the right: rings of 12 pixels, 6 of them shared
    found = boundary_iou(off, truth, 2, distance=1)
    assert found.per_class[1].item() == pytest.approx(6 / 18)
    assert boundary_iou(truth, truth, 2).mean == 1.0
    assert boundary_iou(1 - truth, truth, 2, distance=1).mean < 0.4


def test_boundary_iou_sees_edges_that_iou_forgives():
    truth = torch.zeros(1, 64, 64, dtype=torch.int64)
    truth[0, 8:56, 8:56] = 1
    rough = truth.clone()
    rough[0, 8:56:2, 8:10] = 0
    assert mean_iou(rough, truth, 2).mean > 0.96 > boundary_iou(rough, truth, 2, distance=2).mean


class Words:
    """A text tower of three letters."""

    def text_features(self, prompts):
        rows = [[p.count("cat") * 2.0 + 0.1, p.count("dog"), len(p) / 10, p.count("an ")] for p in prompts]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


def test_text_classifier_groups_words():
    text, groups = text_classifier(Words(), ["sky; wall", "cat", ["dog", "owl"]], ["a {}", "{}"])
    assert groups.tolist() == [0, 0, 1, 2, 2] and torch.allclose(text.norm(dim=1), torch.ones(5))
    own = Words().text_features(["an owl", "owl"]).mean(0)
    torch.testing.assert_close(text[4], own / own.norm())
    special, _ = text_classifier(Words(), ["sky", "cat"], {0: ["{} scene"], -1: ["{}"]})
    torch.testing.assert_close(special[0], Words().text_features(["sky scene"])[0])


def test_segment_by_hand():
    scores = torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.3, 0.25]]).reshape(1, 3, 1, 2)
    groups = torch.tensor([0, 0, 1])
    found = segment(scores, (1, 2), groups, scale=10)
    p = (10 * scores).softmax(1)
    torch.testing.assert_close(found.probabilities[:, 0], p[:, :2].amax(1))
    assert found.labels.tolist() == [[[1, 1]]]
    assert segment(scores, (1, 2), groups, scale=10, background=0.15).labels.tolist() == [[[0, 1]]]
    assert segment(scores, (1, 2), groups, scale=10, prob_thd=0.8).labels.tolist() == [[[0, 1]]]
    assert segment(scores, (2, 8)).labels.shape == (1, 2, 8)
    # the largest word wins whatever the scale: it matters for thresholds only
    assert torch.equal(segment(scores, (1, 2), groups, scale=1).labels, found.labels)


def test_cosines_do_not_mind_lengths():
    f, t = torch.randn(2, 5, 3, 4), torch.randn(6, 5)
    torch.testing.assert_close(cosines(f * 7, t * 0.1), cosines(f, t))
    assert cosines(f, t).abs().max() <= 1 + 1e-6 and cosines(f, t).shape == (2, 6, 3, 4)


def test_what_is_refused():
    z, words = torch.zeros(1, 4, 4, dtype=torch.int64), Words()
    cases = [
        (lambda: mean_iou(z, torch.zeros(1, 4, 5, dtype=torch.int64), 2), "upsample the scores"),
        (lambda: mean_iou(z + 2, z, 2), "predicted labels must lie between 0 and 1, got 2 to 2"),
        (lambda: mean_iou(z, z - 1, 2), "true labels must lie between 0 and 1, got -1"),
        (lambda: mean_iou(z.float(), z, 2), "integers"),
        (lambda: mean_iou(z, z + 255, 2), "no pixel of any class"),
        (lambda: boundary_iou(z, z, 2, distance=0), "at least 1 pixel"),
        (lambda: boundary_iou(z, z + 255, 2), "no border"),
        (lambda: text_classifier(words, ["cat", "dog; cat"], ["{}"]), "no word may stand in two"),
        (lambda: text_classifier(words, ["cat", ""], ["{}"]), "empty name"),
        (lambda: text_classifier(words, ["cat"], ["a photo"]), "templates with a"),
        (lambda: cosines(torch.randn(1, 4, 2, 2), torch.randn(3, 5)), "do not match"),
        (lambda: cosines(torch.full((1, 4, 2, 2), torch.nan), torch.randn(3, 4)), "NaN"),
        (lambda: group_max(torch.zeros(1, 2, 1), torch.tensor([0, 2])), "without a word"),
        (lambda: segment(torch.zeros(1, 2, 2, 2), (4, 4), scale=0), "scale must be positive"),
    ]
    for call, message in cases:
        with pytest.raises(ClipkitError, match=message):
            call()
