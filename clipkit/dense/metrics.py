"""How good a label map is: mean IoU over a data set, and IoU along the borders.

Letters: N pictures of H × W pixels, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

IGNORE = 255


@dataclass(frozen=True)
class IoU:
    """Intersection over union of a data set, shares in 0..1.

    Attributes:
        mean: over the classes that occur in the truth. per_class: (C,) float64, NaN for classes that do not.
        n_classes: how many the mean is over. weighted: mean weighted by the classes' pixels in the truth. accuracy: of pixels.
    """

    mean: float
    per_class: Tensor
    n_classes: int
    weighted: float
    accuracy: float

    def of(self, classes) -> float:
        """Mean over some classes, those in the truth among them."""
        part = self.per_class[torch.as_tensor(classes)]
        return float(part[part.isfinite()].mean())


def confusion(predicted: Tensor, truth: Tensor, n_classes: int, ignore: int = IGNORE) -> Tensor:
    """(C, C) int64: pixels of true class (row) called each class (column), over all pictures; add up those of several batches.

    Raises ClipkitError: shapes that differ, predictions outside 0..C−1, true labels outside it other than `ignore`.
    """
    if predicted.shape != truth.shape:
        raise ClipkitError(
            f"predicted labels {tuple(predicted.shape)} and true ones {tuple(truth.shape)} differ; upsample the scores, not labels"
        )
    keep = truth != ignore
    n = int(keep.sum())
    p = checks.labels(predicted[keep], n, n_classes, "predicted labels")
    t = checks.labels(truth[keep], n, n_classes, "true labels")
    return torch.bincount(t * n_classes + p, minlength=n_classes**2).reshape(n_classes, n_classes)


def iou_of(matrix: Tensor) -> IoU:
    """The scores of a confusion matrix (C, C). Raises ClipkitError when it is empty."""
    m = matrix.double()
    hit, true, called = m.diagonal(), m.sum(1), m.sum(0)
    present = true > 0
    if not present.any():
        raise ClipkitError("the truth holds no pixel of any class; is everything marked to be ignored?")
    per_class = torch.where(present, hit / (true + called - hit).clamp_min(1), torch.nan)
    weighted = (per_class[present] * true[present]).sum() / true.sum()
    mean = per_class[present].mean()
    return IoU(mean.item(), per_class, int(present.sum()), weighted.item(), (hit.sum() / true.sum()).item())


def mean_iou(predicted: Tensor, truth: Tensor, n_classes: int, ignore: int = IGNORE) -> IoU:
    """IoU of label maps (N, H, W): one confusion matrix for all pictures, then the mean over the classes in the truth.

    Averages of single pictures' IoUs, or with absent classes counted as 0, are other numbers, often by many points.
    >>> mean_iou(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 255]]), 3).per_class.tolist()
    [0.5, 0.5, nan]
    """
    return iou_of(confusion(predicted, truth, n_classes, ignore))


def border(mask: Tensor, distance: int) -> Tensor:
    """Pixels of masks (…, H, W) bool that lie within `distance` of a pixel outside (squares; the picture's edge counts as outside)."""
    side, counts = 2 * distance + 1, mask.int()
    for dim in (-1, -2):  # how many pixels of the square around each are in the mask: sums of a running sum, whatever the distance
        pad = (distance + 1, distance) if dim == -1 else (0, 0, distance + 1, distance)
        total = F.pad(counts, pad).cumsum(dim, dtype=torch.int32)
        n = mask.shape[dim]
        counts = total.narrow(dim, side, n) - total.narrow(dim, 0, n)
    return mask & (counts < side**2)


def boundary_iou(predicted: Tensor, truth: Tensor, n_classes: int, distance: int | None = None, ignore: int = IGNORE) -> IoU:
    """IoU of the borders of each class: of the pixels of a mask within `distance` of its contour, predicted and true.

    Args: predicted, truth: (N, H, W) labels. distance: pixels; default 2 % of the diagonal, at least 1.
    Intersections and unions are added up over the pictures, then divided; pixels to be ignored count for neither.
    `accuracy` is the share of all true borders that are found.
    Raises ClipkitError: what `confusion` refuses, distance below 1.
    Source: Cheng et al., arXiv:2103.16562 (there for one mask at a time).
    """
    confusion(predicted[:0], truth[:0], n_classes)
    h, w = truth.shape[-2:]
    distance = max(1, round(0.02 * (h * h + w * w) ** 0.5)) if distance is None else distance
    if distance < 1 or predicted.shape != truth.shape:
        raise ClipkitError(f"boundary IoU needs maps of one shape and a distance of at least 1 pixel, got {distance}")
    both, either, true = (torch.zeros(n_classes, dtype=torch.float64) for _ in range(3))
    keep = truth != ignore
    for c in range(n_classes):
        p, t = predicted == c, truth == c
        rows = p.any((1, 2)) | t.any((1, 2)) if p.ndim == 3 else torch.ones(len(p), dtype=torch.bool)
        if not rows.any():
            continue
        edges = border(torch.cat([p[rows], t[rows]]), distance) & keep[rows].repeat(2, 1, 1)
        a, b = edges.chunk(2)
        both[c], either[c], true[c] = (a & b).sum(), (a | b).sum(), b.sum()
    present = true > 0
    if not present.any():
        raise ClipkitError("the truth holds no border of any class")
    per_class = torch.where(present, both / either.clamp_min(1), torch.nan)
    weighted = (per_class[present] * true[present]).sum() / true.sum()
    return IoU(per_class[present].mean().item(), per_class, int(present.sum()), weighted.item(), (both.sum() / true.sum()).item())
