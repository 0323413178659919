"""A seed's photographs, undisturbed and disturbed: corrupted at five severities, or other folders. For `holistic_robustness`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import Dataset
from clipkit.errors import ClipkitError
from clipkit.features.samples import own_pictures
from clipkit.features.text import pool_features
from clipkit.models.pixels import resize_crop
from clipkit.world.image_corruptions import corrupt

FAMILIES = ("gaussian_noise", "gaussian_blur", "fog", "contrast")  # one of each family of corruptions


def crops(data: Dataset, side: int) -> np.ndarray:
    """(N, side, side, 3) uint8, the middle of each photograph."""
    return np.stack([resize_crop(data.images[i], side, 0.875) for i in range(len(data))])


def disturbed(name: str, others: Sequence[str] | None, n: int, seed: int, side: int) -> dict[str, tuple[np.ndarray, Tensor]]:
    """Photographs of the seed's hand and their labels: 3 n of the training part ("val"), n of the test part ("id"), and disturbed ones.

    With `others` these are the test parts of other folders, else the test pictures under FAMILIES at five severities.
    Raises ClipkitError: other folders with other classes.
    """
    own = {"val": own_pictures(name, "train", 3 * n, seed), "id": own_pictures(name, "test", n, seed)}
    own |= {f"shift:{Path(other.partition(':')[2]).name or other}": own_pictures(other, "test", n, seed) for other in others or ()}
    if any(data.classnames != own["id"].classnames for data in own.values()):
        raise ClipkitError(f"the folders beside {name} need class folders of the same names")
    found = {key: (crops(data, side), torch.as_tensor(data.labels)) for key, data in own.items()}
    images, labels = found["id"]
    for corruption in () if others else FAMILIES:
        found |= {f"shift:{corruption} {k}": (corrupt(images, corruption, k, seed), labels) for k in range(1, 6)}
    return found


def photo_logits(model, images: np.ndarray, names: Sequence[str]) -> Tensor:
    """(N, C) logits of a model's zero-shot classifier."""
    w = pool_features(model, names, ["a photo of a {}"])[0]
    return model.logit_scale.item() * model.image_features(images, batch=16) @ w.T
