"""What a tuned model still can: suites of old abilities, new against old along a method's knob, and mixing with the start."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clipkit.adapt.cross_modal import wise
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right


def interpolated(start: nn.Module, trained: nn.Module, share: float) -> nn.Module:
    """A copy with the weights (1 − share) start + share trained. Source: WiSE-FT, arXiv:2109.01903, eq. 1."""
    mixed, one, other = copy.deepcopy(start), start.state_dict(), trained.state_dict()
    mixed.load_state_dict({k: wise(one[k], other[k], share) if one[k].is_floating_point() else one[k] for k in one})
    return mixed


@dataclass(frozen=True, eq=False)
class Suite:
    """What a model should still be able to do: pictures and texts as its towers take them; labels (N,), or None: text i is of picture i."""

    images: Tensor
    texts: Tensor
    labels: Tensor | None = None


@torch.no_grad()
def retention(towers: nn.Module, suites: Mapping[str, Suite]) -> dict[str, float]:
    """Percent right in each suite: of the pictures by their best text, or, without labels, of the texts by their best picture (R@1)."""
    found = {}
    for name, suite in suites.items():
        logits = encoded(towers.encode_image, suite.images) @ encoded(towers.encode_text, suite.texts).T
        found[name] = percent_right(*((logits.T, torch.arange(len(logits.T))) if suite.labels is None else (logits, suite.labels)))
    return found


def retention_report(before: nn.Module, after: nn.Module, suites: Mapping[str, Suite]):
    """A data frame with a row for each suite: percent right before and after, and the change in points."""
    import pandas

    table = pandas.DataFrame({"before": retention(before, suites), "after": retention(after, suites)})
    return table.assign(change=table.after - table.before)


def frontier_at(new: Sequence[float], old: Sequence[float], target: float) -> float:
    """The old accuracy of a method where its new accuracy is `target`: the matched comparison.

    `new` and `old` are its points along its knob. Between neighbours the way is a straight line: a point on it can be had by
    drawing one of two models by lot for each picture. Where the way passes the target several times, the best old one counts.

    >>> frontier_at([90.0, 80.0, 40.0], [50.0, 60.0, 96.0], 85.0)
    55.0

    Raises ClipkitError: fewer than two points, a target that the way never meets.
    """
    points = list(zip(new, old, strict=True))
    met = []
    for (a, x), (b, y) in zip(points, points[1:], strict=False):
        if min(a, b) <= target <= max(a, b):
            met += [x, y] if a == b else [x + (target - a) / (b - a) * (y - x)]
    if not met:
        raise ClipkitError(f"no point of this method has a new accuracy of {target:.4g}; add its two ends, start and plain fine-tuning")
    return max(met)


def encoded(encode: Callable[[Tensor], Tensor], inputs: Tensor, batch: int = 64) -> Tensor:
    """(N, D) features of many inputs (N, ...), `batch` at a time."""
    return torch.cat([encode(part) for part in inputs.split(batch)])
