"""What one seed sees of a task, as pixels: for methods that change the image tower, where features cannot be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import warn_of_shared
from clipkit.errors import ClipkitError
from clipkit.features.draws import FRESH, turns
from clipkit.notices import notice


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pixels (N, 3, H, W) and labels (N,) for one seed. `pool` is in random order; names and templates are the data set's."""

    pool: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classnames: list[str]
    templates: list[str]


def draw_pictures(model, task, seed: int, per_class: int, n_test: int, root=None) -> Pictures:
    """The seed's training pictures, `per_class` of each class (fewer where there are fewer), and `n_test` test pictures.

    The world makes new scenes for every seed. From any other data set the seed chooses training pictures and, without
    replacement, test pictures.

    Args:
        model: a DualEncoder, for its preprocessing. task: a `clipkit.datasets.Task` with splits "train" and "test".

    Raises ClipkitError: a number below 1, a data set without labels.
    """
    if min(per_class, n_test) < 1:
        raise ClipkitError(f"per_class and n_test must be at least 1, got {per_class} and {n_test}")
    rng = np.random.default_rng(seed)
    if task.dataset == FRESH:
        train = task.load("train", seed=seed, per_class=per_class, captions=())
        test = task.load("test", seed=seed, n=n_test, captions=())
    else:
        train, test = task.load("train", root), task.load("test", root)
    if train.labels is None or test.labels is None:
        raise ClipkitError(f"{task.dataset} has no labels; give a data set with class folders")
    if task.dataset != FRESH:
        warn_of_shared(train, test)
        fewest = np.bincount(train.labels, minlength=len(train.classnames)).min()
        if fewest < per_class:
            notice(f"{task.dataset}: {per_class} training pictures a class asked, some class has {fewest} and gives those")
        if len(test) < n_test:
            notice(f"{task.dataset}: {n_test} test pictures asked, all {len(test)} are taken")
    rows = rng.permutation(len(train))
    rows = rows[turns(train.labels[rows]) < per_class]
    parts = (train, rows), (test, rng.permutation(len(test))[:n_test])
    pixels = [(model.preprocess_batch([d.images[i] for i in some]), torch.as_tensor(d.labels[some])) for d, some in parts]
    return Pictures(*pixels, list(test.classnames), list(test.templates))
