"""The first lesson of everything that looks through `Eyes`: names of what a patch lies on, before any question or caption.

It plays the part of the region texts in the diet of the paper's models (LLaVA's mix has region captions and referring
expressions). Without it a small model spends its questions on finding out which words go with which patches.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import WordVocabulary
from clipkit.score.eyes import Eyes
from clipkit.train import train
from clipkit.world.taxonomy import CATEGORIES, COLOURS, TEXTURES

NAMES: tuple[tuple[str, ...], ...] = (CATEGORIES, tuple(COLOURS), TEXTURES)
COVERED = 0.3  # a patch shows a thing if it covers so much of it


def region_labels(scenes, instances: np.ndarray, side: int = 8) -> Tensor:
    """Category, colour and texture of the thing on each patch, int16 (N, side², 3); −1 where none covers COVERED of it.

    Args: scenes: Scenes. instances: uint8 (N, S, S) of `render(masks=True)`, S a multiple of `side`.
    """
    n, s = instances.shape[:2]
    if s % side:
        raise ClipkitError(f"pictures of {s} px cannot be cut into {side} × {side} patches; use a multiple of {side}")
    step = s // side
    cut = instances.reshape(n, side, step, side, step).transpose(0, 1, 3, 2, 4).reshape(n, side * side, step * step)
    share = np.stack([(cut == slot + 1).mean(-1) for slot in range(scenes.category.shape[1])], -1)  # (N, M, K)
    slot, there = share.argmax(-1), share.max(-1) >= COVERED
    columns = [np.where(there, np.take_along_axis(v, slot, 1), -1) for v in (scenes.category, scenes.colour, scenes.texture)]
    return torch.from_numpy(np.stack(columns, -1).astype(np.int16))


def region_names(vocabulary: WordVocabulary) -> list[Tensor]:
    """Word numbers of all categories, colours and textures."""
    return [torch.tensor(vocabulary.ids(" ".join(names))) for names in NAMES]


def _likeness(eyes: Eyes, names: list[Tensor], pictures: Tensor) -> list[Tensor]:
    patches = F.normalize(eyes.patches(pictures).flatten(0, 1), dim=-1)
    return [patches @ F.normalize(eyes.words(ids.to(patches.device)), dim=-1).T for ids in names]


def region_loss(eyes: Eyes, names: list[Tensor], pictures: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the names of what each patch shows; a patch without a thing should resemble no category. 0-d.

    Args: names: of `region_names`. pictures: (B, M, D). labels: (B, M, 3) of `region_labels`.
    """
    labels = labels.flatten(0, 1).long()
    on, likeness = labels[:, 0] >= 0, _likeness(eyes, names, pictures)
    told = sum(F.cross_entropy(eyes.log_scale.exp() * some[on], labels[on, k]) for k, some in enumerate(likeness))
    return told + F.relu(likeness[0][~on]).mean()


def learn_regions(module: nn.Module, pictures: Tensor, labels: Tensor, steps: int, batch: int = 64, seed: int = 0, lr: float = 2e-3):
    """Teach `module.eyes` in place; returns the History. pictures (N, M, D), labels (N, M, 3)."""
    names, device = region_names(module.vocabulary), module.eyes.where.device

    def batches():
        rng = np.random.default_rng([seed, 5])
        for _ in range(steps):
            rows = torch.from_numpy(rng.integers(0, len(pictures), batch))
            yield pictures[rows].to(device), labels[rows].to(device)

    return train(module.eyes, batches(), lambda eyes, some: region_loss(eyes, names, *some), steps, lr=lr, weight_decay=0.02)


@torch.no_grad()
def region_accuracy(module: nn.Module, pictures: Tensor, labels: Tensor) -> dict[str, float]:
    """Percent of the patches on a thing whose nearest category, colour and texture are right."""
    labels = labels.flatten(0, 1).long()
    on, likeness = labels[:, 0] >= 0, _likeness(module.eyes, region_names(module.vocabulary), pictures.to(module.eyes.where.device))
    right = [(some.cpu()[on].argmax(1) == labels[on, k]).double().mean().item() for k, some in enumerate(likeness)]
    return dict(zip(("category", "colour", "texture"), (100 * r for r in right), strict=True))
