"""The parts of the page on Trident that are worth a test of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.datasets.segmentation import segmentation_scenes
from clipkit.dense import confusion
from clipkit.errors import ClipkitError
from clipkit.studies.trident_choices import OFFSETS, choose_offset, labels_of, offset_confusions
from clipkit.studies.trident_measures import EDGES, recall_by_size


def scores_and_truth():
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(18, 6, 4, 4, generator=g) * 0.2
    return scores, torch.tensor([0, 0, 1, 2, 2, 3]), torch.randint(0, 4, (18, 16, 16), generator=g)


def test_all_offsets_at_once_are_each_offset_alone():
    scores, groups, truth = scores_and_truth()
    for offset, matrix in zip(OFFSETS, offset_confusions(scores, groups, truth), strict=True):
        labels, p = labels_of(scores, groups, (16, 16), offset)
        assert (confusion(labels, truth, 4) - matrix).abs().sum() <= 4  # ties of float arithmetic
        assert p.shape == (18, 4, 16, 16)


def test_the_chosen_offset_is_the_one_that_the_truth_was_made_with():
    scores, groups, _ = scores_and_truth()
    truth, _ = labels_of(scores, groups, (16, 16), 0.1)
    assert choose_offset(scores, groups, truth) == pytest.approx(0.1)
    with pytest.raises(ClipkitError, match="do not go together"):
        offset_confusions(scores[:2], groups, truth)


def test_recall_by_size_counts_objects_not_pixels():
    scenes = segmentation_scenes("test", 6, 0)
    labels = torch.from_numpy(scenes.labels)
    found = recall_by_size(labels, scenes)
    assert len(found) == len(EDGES) - 1 and {r for r in found if not np.isnan(r)} == {1.0}
    slot = int(scenes.instances[0].max())
    lost = labels.clone()
    lost[0][torch.from_numpy(scenes.instances[0] == slot)] = 255
    where = int(np.clip(np.digitize(scenes.sides[0, slot - 1], EDGES) - 1, 0, len(EDGES) - 2))
    fewer = recall_by_size(lost, scenes)
    number = 1 / (1 - fewer[where])  # objects in the bin: one of them was lost whole
    assert number == pytest.approx(round(number)) and all(r == 1 or np.isnan(r) for b, r in enumerate(fewer) if b != where)
