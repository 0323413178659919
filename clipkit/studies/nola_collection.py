"""Pictures of one seed without a label in sight: unlabelled ones to learn from, a few to validate on, others to test on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import Dataset, load_dataset, warn_of_shared
from clipkit.errors import ClipkitError
from clipkit.features.draws import FRESH
from clipkit.notices import notice


@dataclass(frozen=True, eq=False)
class Part:
    """Pictures; their labels are there for whoever asks for them."""

    data: Dataset

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return torch.as_tensor(np.asarray(self.data.labels), dtype=torch.int64)

    def pixels(self, model) -> Tensor:
        """(N, 3, H, W) for the model."""
        data = self.data
        return model.preprocess_batch(data.array if data.array is not None else [data.images[i] for i in range(len(data))])


def collection(name: str, seed: int, n_pool: int, n_val: int, n_test: int, root=None, **options) -> tuple[Part, Part, Part]:
    """Unlabelled and validation pictures from the split "train", test pictures from "test"; the parts share no picture.

    The world makes new scenes for every seed, any other data set is sampled by the seed. Unlike `draw`, nothing is
    balanced by label in the world: an unlabelled collection is as it comes.

    Where there are fewer pictures than asked for, validation keeps its number and the pool is what is left; a notice says so.

    Raises ClipkitError: a number below 1, no picture left for the pool, no labels to test with.
    """
    if min(n_pool, n_val, n_test) < 1:
        raise ClipkitError(f"n_pool, n_val and n_test must be at least 1, got {n_pool}, {n_val}, {n_test}")
    both = load_dataset(name, "train", root, n=n_pool + n_val, seed=seed, **options)
    test = load_dataset(name, "test", root, n=n_test, seed=seed, **options)
    if both.labels is None or test.labels is None:
        raise ClipkitError(f"{name} has no labels to measure with; give a data set with class folders, or with a column 'label'")
    if len(both) <= n_val:
        raise ClipkitError(f"{name} has {len(both)} training pictures; n_val = {n_val} of them leave none for the pool, so lower n_val")
    if len(both) < n_pool + n_val:
        left = len(both) - n_val
        notice(f"{name}: n_pool = {n_pool} and n_val = {n_val} asked of {len(both)} training pictures; the pool has {left}")
    if name != FRESH:
        warn_of_shared(both, test)
    order = np.random.default_rng(seed).permutation(len(both))
    return Part(both.subset(order[n_val:])), Part(both.subset(order[:n_val])), Part(test)
