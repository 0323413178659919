"""The arms that NoLA is compared with, on features and pixels that are there: two heads, clusters, two students."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clipkit.adapt.nola import FeatureLabeller, TunedTower, confident_count, named_clusters, select_confident


def two_heads(
    probs: Tensor,
    clip: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor],
    truth: Tensor | None = None,
    least: int = 16,
    epochs: int = 50,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Stages 1 and 2 for both feature sets, from the same pseudolabels.

    Args: probs (N, C) zero-shot of the unlabelled pictures; clip, other: features of the unlabelled (N, .) and test pictures (M, .);
        truth (N,): labels for two more heads that see them all, the ceilings clip_truth and dino_truth.
    Returns: test scores (M, C) by arm (clip_head, dino_head, named_clusters, the ceilings); the heads' logits (N, C).
    """
    rows, pseudo, _ = select_confident(probs, confident_count(len(probs), probs.shape[1], least=least))
    heads = {name: FeatureLabeller(epochs=epochs) for name in ("clip_head", "dino_head")}
    found, taught = {}, {}
    for (name, head), (pool, test) in zip(heads.items(), (clip, other), strict=True):
        head.fit(pool[rows], pseudo, probs.shape[1])
        found[name], taught[name] = head.predict_logits(test), head.predict_logits(pool)
        if truth is not None:
            found[name.replace("head", "truth")] = FeatureLabeller(epochs=epochs).fit(pool, truth, probs.shape[1]).predict_logits(test)
    centres, names = named_clusters(other[0], probs)
    found["named_clusters"] = names[torch.cdist(other[1], centres).argmin(1)]
    return found, taught


def watched(student: TunedTower, every: int, look: Callable[[TunedTower], tuple[float, ...]], **fit) -> list[tuple[float, ...]]:
    """Fit a student and look at it after each `every` steps, and after the last. Returns what `look` saw."""
    seen, steps = [], fit["steps"]

    def after(step: int, tower: TunedTower) -> None:
        if (step + 1) % every == 0 or step + 1 == steps:
            seen.append(look(tower))

    student.fit(**fit, after_step=after)
    return seen
