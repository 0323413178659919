"""From a coarse label map to prompts, and from a segmenter's answers back to a label map.

Letters: B pictures of S × S pixels, C classes, Q regions (one prompt each).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipkit.dense.proxy import resize
from clipkit.errors import ClipkitError

BATCH = 64  # prompts at once


class Regions(NamedTuple):
    """Connected regions of one class: image (Q,), label (Q,) int64, masks (Q, S, S) bool, boxes (Q, 4) and points (Q, 2) in pixels."""

    image: Tensor
    label: Tensor
    masks: Tensor
    boxes: Tensor
    points: Tensor


class Refined(NamedTuple):
    """labels (B, S, S); accepted (Q,) bool, whether the segmenter was sure of a region."""

    labels: Tensor
    accepted: Tensor


def find_regions(
    labels: Tensor, probabilities: Tensor, minimal_area: int = 225, coarse_thresh: float = 0.2, skip: tuple[int, ...] = ()
) -> Regions:
    """Eight-connected regions of label maps (B, H, W), with the tight box of each, and as a point its most probable pixel.

    Args:
        probabilities: (B, C, H, W). minimal_area: pixels; smaller regions are left out. coarse_thresh: pixels whose largest
            probability is below belong to no region. skip: classes without regions, such as a background with no shape of its own;
            the paper prompts all.
    """
    from scipy.ndimage import find_objects, label

    s, best = labels.shape[-2:], probabilities.amax(1)
    rows: list[tuple] = []
    masks: list[np.ndarray] = []
    for i in range(len(labels)):
        found = labels[i].masked_fill(best[i] < coarse_thresh, -1).cpu().numpy()
        for c in np.unique(found):
            if c < 0 or c in skip:
                continue
            parts, _ = label(found == c, np.ones((3, 3)))
            for number, place in enumerate(find_objects(parts), 1):
                mask, (y, x) = parts == number, place
                if mask.sum() < minimal_area:
                    continue
                peak = probabilities[i, int(c)].masked_fill(~torch.from_numpy(mask).to(best.device), -1).argmax().item()
                rows.append((i, int(c), x.start, y.start, x.stop, y.stop, peak % s[1] + 0.5, peak // s[1] + 0.5))
                masks.append(mask)
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 8)
    stacked = torch.from_numpy(np.stack(masks)) if masks else torch.zeros((0, *s), dtype=torch.bool)
    return Regions(table[:, 0].long(), table[:, 1].long(), stacked, table[:, 2:6].float(), table[:, 6:].float())


def two_way_refinement(probabilities: Tensor, image: Tensor, label: Tensor) -> Tensor:
    """The mask prompt: p_c / (p_c + the largest other) for each, (Q, S, S), above a half where class c wins."""
    own = probabilities[image, label]
    rest = probabilities[image].scatter(1, label[:, None, None, None].expand(-1, 1, *own.shape[-2:]), 0).amax(1)
    return own / (own + rest).clamp_min(1e-12)


@torch.no_grad()
def refine(segmenter, images: Tensor, labels: Tensor, probabilities: Tensor, iou_thresh: float = 0.8, **regions) -> Refined:
    """Each region of a coarse map becomes a box, a point and a mask prompt; the answers vote, weighed by the coarse probability.

    The score of class c at a pixel is the largest, over its accepted regions whose mask covers the pixel, of σ(mask logit) · p_c;
    a region with an expected IoU of at most `iou_thresh` keeps p_c in its place. The largest score wins; a pixel without one keeps
    its coarse label.

    Args:
        segmenter: see `clipkit.dense.segmenter.Segmenter`. images: (B, 3, S, S) as it takes them.
        labels: (B, H, W). probabilities: (B, C, H, W). regions: see `find_regions`.
    Raises ClipkitError: sizes that differ.
    Source: arXiv:2411.09219, section 3.4, and `sam_refinement` of its code, which finds the regions on maps of half the size.
    """
    if not images[:, 0].shape == labels.shape == probabilities[:, 0].shape:
        sizes = (tuple(x.shape) for x in (images, labels, probabilities))
        raise ClipkitError("pictures {}, labels {}, maps {} differ in size".format(*sizes))
    found, score = find_regions(labels, probabilities, **regions), torch.zeros_like(probabilities)
    q, accepted = len(found.image), [torch.zeros(0, dtype=torch.bool)]
    embedding = segmenter.encode(images) if q else None
    for start in range(0, q, BATCH):
        image, label, masks, boxes, points = (column[start : start + BATCH] for column in found)
        prompt = resize(two_way_refinement(probabilities, image, label)[:, None], embedding.grid)[:, 0]
        logits, expected = segmenter.decode(embedding, image, boxes, points, prompt)
        sharp = torch.where((expected > iou_thresh)[:, None, None], logits.sigmoid() * (logits > 0), masks.to(logits))
        for i, k, own in zip(image.tolist(), label.tolist(), sharp, strict=True):
            score[i, k] = torch.maximum(score[i, k], own * probabilities[i, k])
        accepted.append((expected > iou_thresh).cpu())
    best, refined = score.max(1)
    return Refined(torch.where(best > 0, refined, labels), torch.cat(accepted))
