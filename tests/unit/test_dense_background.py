"""The background's offset: all offsets at once are each offset alone, and the chosen one is the one the truth was made with."""

from __future__ import annotations

import pytest
import torch

from clipkit.dense import choose_offset, mean_iou, miou_by_offset, segment
from clipkit.dense.background import OFFSETS
from clipkit.errors import ClipkitError


def scores_and_truth():
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(18, 6, 4, 4, generator=g) * 0.2
    return scores, torch.tensor([0, 0, 1, 2, 2, 3]), torch.randint(0, 4, (18, 16, 16), generator=g)


def test_all_offsets_at_once_are_each_offset_alone():
    scores, groups, truth = scores_and_truth()
    for offset, miou in zip(OFFSETS, miou_by_offset(scores, groups, truth), strict=True):
        found = segment(scores, (16, 16), groups, background=offset)
        assert mean_iou(found.labels, truth, 4).mean == pytest.approx(miou, abs=1e-3)  # ties of float arithmetic
        assert miou_by_offset(scores, groups, truth, [offset]) == [miou]


def test_the_chosen_offset_is_the_one_that_the_truth_was_made_with():
    scores, groups, _ = scores_and_truth()
    assert choose_offset(scores, groups, segment(scores, (16, 16), groups, background=0.1).labels) == pytest.approx(0.1)


def test_of_equal_offsets_the_smallest_in_size_is_chosen():
    scores, groups = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0, 1])
    assert choose_offset(scores, groups, torch.zeros(1, 2, 2, dtype=torch.int64)) == 0


def test_maps_and_label_maps_go_together():
    scores, groups, truth = scores_and_truth()
    with pytest.raises(ClipkitError, match="do not go together"):
        miou_by_offset(scores[:2], groups, truth)
