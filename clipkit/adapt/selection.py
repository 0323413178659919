"""Mixing a head with zero-shot, and the labelled pictures that may be looked at to choose how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from clipkit.features.few_shot import FewShot

ALPHAS = tuple(10.0**k for k in range(-4, 3))  # the grid of arXiv:2402.04087's released code
PROTOCOLS = ("fixed", "fewshot_val", "full_val", "oracle_test")
FEW = 4  # validation pictures a class that a few-shot learner may have at most


def ensemble_logits(zs: Tensor, other: Tensor, alpha: float) -> Tensor:
    """Zero-shot logits (N, C) plus alpha times another head's (N, C).

    Raises ClipkitError when the shapes differ.
    """
    checks.same_shape(zs, other, what="logits to be mixed")
    return zs + alpha * other.to(zs)


def select_alpha(zs_logits: Tensor, other_logits: Tensor, labels: Tensor, grid: Sequence[float] = ALPHAS) -> float:
    """The alpha in `grid` with the best accuracy of the mixture; of equals the smallest, which is nearest to zero-shot.

    >>> zs, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 30.0]])
    >>> select_alpha(zs, other, torch.tensor([0, 1]))
    0.1

    Args:
        zs_logits, other_logits: (N, C) on validation pictures, never on test ones. labels: (N,) integers.

    Raises ClipkitError: an empty grid, shapes that do not match, NaN, labels out of range.
    """
    if not len(grid):
        raise ClipkitError("select_alpha needs at least one alpha")
    zs_logits, other_logits = _logits(zs_logits, other_logits)
    labels = checks.labels(labels, len(zs_logits), zs_logits.shape[1]).to(zs_logits.device)
    right = [((ensemble_logits(zs_logits, other_logits, alpha).argmax(1) == labels).sum().item(), -alpha) for alpha in grid]
    return float(-max(right)[1])


def equal_spread(zs_logits: Tensor, other_logits: Tensor) -> float:
    """The alpha with which both parts of the mixture vary equally much among the classes; needs no labels.

    Both arguments: (N, C), on the support for instance. The spread is the standard deviation over classes, root mean
    square over rows. 0 when the other head does not tell classes apart.

    >>> equal_spread(torch.tensor([[1.0, -1.0]]), torch.tensor([[6.0, 2.0]]))
    0.5

    Raises ClipkitError: shapes that differ, NaN.
    """
    here, there = ((x - x.mean(1, keepdim=True)).double().square().mean().sqrt().item() for x in _logits(zs_logits, other_logits))
    return here / there if there > 0 else 0.0


def _logits(zs: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    zs, other = checks.features(zs, "zero-shot logits"), checks.features(other, "the other head's logits")
    checks.same_shape(zs, other, what="logits to be mixed")
    return zs, other


def selection_rows(draw: FewShot, shots: int, protocol: str) -> tuple[Tensor, Tensor] | None:
    """Features and labels on which a method may choose its hyper-parameters.

    - "fixed": none (None is returned): one setting for every task, decided before any of them is seen.
    - "fewshot_val": min(shots, 4) validation pictures a class, what a few-shot learner could have (CoOp's protocol).
    - "full_val": every validation picture of the draw: what the papers' code uses, often more labels than the shots.
    - "oracle_test": the test pictures. Only to show how much this cheats.

    Raises ClipkitError for an unknown protocol, or shots below 1.
    """
    checks.one_of("selection protocol", protocol, PROTOCOLS)
    checks.at_least(1, shots=shots)
    if protocol == "fixed":
        return None
    if protocol != "fewshot_val":
        return draw.val if protocol == "full_val" else draw.test
    from clipkit.features.few_shot import turns

    few = torch.as_tensor(turns(draw.val[1].cpu().numpy()) < min(shots, FEW))
    return draw.val[0][few], draw.val[1][few]
