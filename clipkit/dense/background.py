"""The background's offset: one number added to the cosines of its words, the only setting that every dense method has.

A background has many names and none fits, so how its words compare with the others' must be chosen, on validation pictures.

Letters: N pictures of H × W pixels, R words, C classes of which 0 is the background, h × w cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clipkit.dense.metrics import confusion, iou_of
from clipkit.dense.proxy import resize
from clipkit.errors import ClipkitError

OFFSETS = tuple(round(-0.2 + 0.025 * i, 3) for i in range(27))  # in cosine


def miou_by_offset(scores: Sequence[Tensor], groups: Tensor, truth: Sequence[Tensor], offsets: Sequence[float] = OFFSETS) -> list[float]:
    """Mean IoU, in 0..1, of cosines (R, h, w) of each picture, with each offset added to the background's words, against labels (H, W).

    A pixel is background where its margin, best other word minus best background word, is at most the offset: the labels of
    `segment`, up to ties, without a softmax for each offset.

    Args: scores, truth: tensors with N rows, or lists of N. groups: (R,) class of each word, see `text_classifier`.
    Raises ClipkitError: other numbers of maps and label maps.
    """
    if len(scores) != len(truth):
        raise ClipkitError(f"{len(scores)} maps and {len(truth)} label maps do not go together")
    n = int(groups.max()) + 1
    matrices = torch.zeros(len(offsets), n, n, dtype=torch.int64)
    for part, labels in zip(scores, truth, strict=True):
        [fine] = resize(part[None], tuple(labels.shape))
        fore, name = fine[groups > 0].max(0)
        margin, name = fore - fine[groups == 0].amax(0), groups[groups > 0][name]
        for matrix, offset in zip(matrices, offsets, strict=True):
            matrix += confusion(torch.where(margin > offset, name, 0), labels, n)
    return [iou_of(matrix).mean for matrix in matrices]


def choose_offset(scores: Sequence[Tensor], groups: Tensor, truth: Sequence[Tensor], offsets: Sequence[float] = OFFSETS) -> float:
    """The offset with the best mean IoU; of equals the smallest in size. Arguments as in `miou_by_offset`."""
    found = dict(zip(offsets, miou_by_offset(scores, groups, truth, offsets), strict=True))
    return max(found, key=lambda b: (round(found[b], 6), -abs(b)))
