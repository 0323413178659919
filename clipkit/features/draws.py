"""What one seed sees of a data set: training shots, validation and test pictures, as features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import Dataset, choose, load_dataset
from clipkit.errors import ClipkitError
from clipkit.features.extract import Features, extract


@dataclass(frozen=True, eq=False)
class Draw:
    """Features (N, D) float32 and labels (N,) int64 for one seed.

    Attributes:
        pool: training pictures that are not used for validation, in the seed's random order.
        turn: (N_pool,) how many pictures of its own class come before each.
        val, test: (features, labels).
        classnames, templates: as they travel with the data set.
    """

    pool: tuple[Tensor, Tensor]
    turn: np.ndarray
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classnames: list[str]
    templates: list[str]

    def shots(self, k: int) -> tuple[Tensor, Tensor]:
        """The first k pictures of each class: fewer shots are contained in more. A class that has fewer gives all."""
        few = torch.as_tensor(self.turn < k)
        return self.pool[0][few], self.pool[1][few]


def draw(model, name: str, seed: int, shots: int, n_val: int, n_test: int, root=None) -> Draw:
    """Draw training shots, validation and test pictures of a data set.

    The world makes new scenes for every seed. Any other data set has only the pictures it has: the seed draws shots
    and validation pictures from the split "train" and, with replacement, a bootstrap sample of the test pictures.
    There, at most twice `n_test` test pictures and four times the training pictures asked for are looked at, the
    same for every seed, so that their features are computed once.

    Args:
        model: a DualEncoder. name, root: see `load_dataset`; needs labels and the splits "train" and "test".
        shots: most training pictures a class that will be asked for.
        n_val: validation pictures a class. n_test: test pictures in all.

    Raises ClipkitError: no labels, a split that is missing, a class without a training picture.
    """
    if min(shots, n_val, n_test) < 1:
        raise ClipkitError(f"shots, n_val and n_test must be at least 1, got {shots}, {n_val}, {n_test}")
    fresh, rng = name == "world", np.random.default_rng(seed)
    if fresh:
        n_classes = len(load_dataset(name, n=1).classnames)
        # Classes are drawn by chance: twice as many scenes as needed, so that hardly any class falls short.
        train = load_dataset(name, "train", n=2 * n_classes * (shots + n_val), seed=seed)
        test = load_dataset(name, "test", n=n_test, seed=seed)
    else:
        train, test = load_dataset(name, "train", root), load_dataset(name, "test", root)
        for part in (train, test):
            if part.labels is None:
                raise ClipkitError(f"{name} has no labels; give a data set with class folders, or a captions.csv with a column 'label'")
        train = _some(train, 4 * len(train.classnames) * (shots + n_val))
        test = _some(test, 2 * n_test)
    found, held_out = extract(model, train), extract(model, test)

    order = rng.permutation(len(found))
    labels = np.asarray(found.labels)[order]
    turn = turns(labels)
    # Validation takes the pictures after the shots; in a class too small for both, at most half of it.
    size = np.bincount(labels, minlength=len(train.classnames))
    if not size.all():
        raise ClipkitError(f"{name}: no training picture of {train.classnames[int(size.argmin())]!r}; give every class at least two")
    first = np.minimum(shots, (size + 1) // 2)[labels]
    is_val = (turn >= first) & (turn < first + n_val)
    if not is_val.any():
        raise ClipkitError(f"{name}: one training picture a class leaves none for validation; give every class at least two")
    rows = np.arange(len(held_out)) if fresh else rng.integers(len(held_out), size=min(n_test, len(held_out)))
    return Draw(
        pool=_rows(found, order[~is_val]),
        turn=turns(labels[~is_val]),
        val=_rows(found, order[is_val]),
        test=_rows(held_out, rows),
        classnames=list(test.classnames),
        templates=list(test.templates),
    )


def turns(labels: np.ndarray) -> np.ndarray:
    """(N,) how many equal labels come before each.

    >>> turns(np.array([3, 1, 3, 3])).tolist()
    [0, 0, 1, 2]
    """
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - starts
    return turn


def _some(dataset: Dataset, most: int) -> Dataset:
    """At most `most` pictures, balanced over classes, the same for every seed."""
    if len(dataset) <= most:
        return dataset
    return dataset.subset(choose(dataset.labels, len(dataset), most, 0, dataset.name))


def _rows(found: Features, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    return found.image[rows], torch.as_tensor(np.asarray(found.labels)[rows])
