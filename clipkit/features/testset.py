"""Test pictures of a task for one seed, where nothing is trained: new scenes, or a bootstrap sample of what there is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import Dataset, Task, choose
from clipkit.errors import ClipkitError
from clipkit.features.draws import FRESH
from clipkit.features.extraction import extract
from clipkit.notices import notice


def test_pictures(model, task: Task, n: int, seed: int) -> tuple[Tensor, Tensor, Dataset]:
    """Features (N, D), labels (N,) and the data set they are from (with the scenes, in the same order, for the world).

    The world makes n new scenes for every seed. Of any other data set at most 2 n pictures of the split "test" are looked
    at, the same for every seed, and the seed draws n of them with replacement (a bootstrap sample).

    Raises ClipkitError: n below 1, a data set without labels.
    """
    if n < 1:
        raise ClipkitError(f"n must be at least 1, got {n}")
    if task.dataset == FRESH:
        data = task.load("test", n=n, seed=seed, captions=())
        return extract(model, data).image, torch.as_tensor(data.labels), data
    data = task.load("test", readable=False)  # `extract` skips what cannot be read, and looks at the sample only
    if data.labels is None:
        raise ClipkitError(f"{task.dataset} has no labels; give a data set with class folders, or a captions.csv with a column 'label'")
    data = data.subset(choose(data.labels, len(data), min(len(data), 2 * n), 0, data.name))
    found = extract(model, data)
    if len(found) < n:
        notice(f"{task.dataset}: {n} test pictures asked, {len(found)} are there; each seed draws {len(found)} of them with replacement")
    rows = torch.as_tensor(np.random.default_rng(seed).integers(len(found), size=min(n, len(found))))
    return found.image[rows], torch.as_tensor(np.asarray(found.labels))[rows], data


test_pictures.__test__ = False  # pytest takes what begins with "test_" for a test
