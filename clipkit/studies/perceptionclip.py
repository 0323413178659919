"""Does a model know contexts, and does naming them help? The pictures to ask about, and what is measured for one kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from clipkit.studies.perceptionclip_contexts import Context, changed_contexts, resampled, world_contexts
from clipkit.zeroshot.conditioning import infer_context

ARMS = ("no_context", "correct_context", "wrong_context", "random_letters")
INFERRED = ("inferred_context", "inferred_without_class", "context_chance")
SEEN_STYLES = ("flat", "shaded", "pastel", "sketch")  # those that nano's pretraining has
MOST, SIDE = 240, 64  # photographs, each encoded four times on average; pixels a side


def known_contexts(model, dataset: str, n: int, seed: int) -> tuple[list[Context], tuple[str, ...]]:
    """Six kinds of context with their pictures, and the class names.

    "world": n new scenes of one object, with all values of a factor equally frequent. Any other data set: six changes to
    at most 240 of its test pictures, the same for every seed, which draws a bootstrap sample of them.
    """
    if dataset == "world":
        from clipkit.datasets import Task
        from clipkit.features.samples import test_pictures

        task = Task("contexts", "world", {"styles": SEEN_STYLES, "textured": 0.75})
        x, y, data = test_pictures(model, task, n, seed)
        return world_contexts(x, y, data.scenes), tuple(data.classnames)
    kinds, names = _changed(model, dataset, min(n, MOST))
    size = len(kinds[0].truth)
    rows = torch.as_tensor(np.random.default_rng(seed).integers(size, size=size))
    return [resampled(kind, rows) for kind in kinds], names


@lru_cache(maxsize=2)
def _changed(model, dataset: str, n: int) -> tuple[list[Context], tuple[str, ...]]:
    from clipkit.datasets import load_dataset

    data = load_dataset(dataset, "test")
    rows = np.random.default_rng(0).permutation(len(data))[:n]
    images = np.stack([np.asarray(data.images[int(i)].convert("RGB").resize((SIDE, SIDE))) for i in rows])
    return changed_contexts(model.image_features, images, torch.as_tensor(np.asarray(data.labels)[rows])), tuple(data.classnames)


def naming(model, kind: Context, names: Sequence[str], seed: int) -> dict[str, float]:
    """Percent right for one kind of context.

    Of the classes: "no_context" with the prompt that says nothing, "correct_context" with the true value, "wrong_context"
    with another drawn by lot, "random_letters" with letters in place of the true value's words. Of the context:
    "inferred_context" with class, "inferred_without_class", and "context_chance", what naming the most frequent value gets.
    """
    from clipkit.features.text import pool_features

    n, z, scale = len(kind.truth), len(kind.values), model.logit_scale.item()
    lot = torch.Generator().manual_seed(seed)
    wrong = (kind.truth + torch.randint(1, max(z, 2), (n,), generator=lot)) % z
    prompts = pool_features(model, names, (kind.plain, *kind.templates, *kind.scrambled(seed)))  # (1 + 2 Z, C, D)
    f = scale * torch.einsum("nd,zcd->ncz", kind.features, prompts)
    row = {}
    for arm, prompt in zip(ARMS, (torch.zeros_like(wrong), 1 + kind.truth, 1 + wrong, 1 + z + kind.truth), strict=True):
        row[arm] = _percent(f[torch.arange(n), :, prompt].argmax(1) == kind.labels)
    free = scale * kind.features @ model.text_features(kind.without_class()).T  # (N, Z)
    row["inferred_context"] = _percent(infer_context(f[..., 1 : 1 + z]).argmax(1) == kind.truth)
    row["inferred_without_class"] = _percent(infer_context(free).argmax(1) == kind.truth)
    row["context_chance"] = 100 * torch.bincount(kind.truth).max().item() / n
    return row


def _percent(right: torch.Tensor) -> float:
    return 100 * right.double().mean().item()
