"""What one seed sees of a data set: training shots, validation and test pictures, as features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import Dataset, choose, load_dataset, warn_of_shared
from clipkit.errors import ClipkitError
from clipkit.features.extraction import Features, extract
from clipkit.notices import notice


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

    def of(self, classes) -> Draw:
        """The same draw with some classes only, ascending, their labels counted anew from 0.

        Raises ClipkitError: no class, one named twice, or one that does not exist.
        """
        classes = torch.as_tensor(classes).flatten().sort().values
        n = len(self.classnames)
        if not len(classes) or len(classes.unique()) < len(classes) or classes[0] < 0 or classes[-1] >= n:
            raise ClipkitError(f"classes must be different numbers from 0 to {n - 1}, at least one; got {classes.tolist()}")

        def part(rows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            keep = torch.isin(rows[1], classes)
            return rows[0][keep], torch.searchsorted(classes, rows[1][keep])

        kept = torch.isin(self.pool[1], classes).numpy()
        names = [self.classnames[c] for c in classes.tolist()]
        return Draw(part(self.pool), self.turn[kept], part(self.val), part(self.test), names, self.templates)

    def thinned(self, shots) -> Draw:
        """Unbalanced: at most shots[c] training pictures of class c, and its share of validation pictures, rounded up.

        A class with the most shots keeps all its validation pictures. Test pictures stay as they are.

        Raises ClipkitError unless there is one whole number, at least 1, for each class.
        """
        shots = torch.as_tensor(shots)
        if shots.shape != (len(self.classnames),) or shots.is_floating_point() or shots.min() < 1:
            raise ClipkitError(f"shots must be {len(self.classnames)} whole numbers of at least 1, one for each class")
        keep = torch.as_tensor(self.turn) < shots[self.pool[1]]
        turn = torch.as_tensor(turns(self.val[1].numpy()))
        most = torch.bincount(self.val[1], minlength=len(shots))
        keep_val = turn < (most * shots / shots.max()).ceil()[self.val[1]]
        pool, val = ((rows[0][kept], rows[1][kept]) for rows, kept in ((self.pool, keep), (self.val, keep_val)))
        return Draw(pool, self.turn[keep.numpy()], val, self.test, self.classnames, self.templates)


FRESH = "world"  # the data set that makes new pictures for every seed
SAME_ALWAYS = (FRESH, "digits")  # nothing on disk can change them while a process runs, so their draws are kept
BATCH = 64  # pictures a forward pass: on a processor a third faster than 256, whose activations leave the cache
KEPT = 128  # draws; one of 2,000 pictures and 128 dimensions takes 1 MB
_kept: OrderedDict[Hashable, Draw] = OrderedDict()


def draw_task(model, task, seed: int, shots: int, n_val: int, n_test: int, root=None) -> Draw:
    """`draw` of a `clipkit.datasets.Task`."""
    return draw(model, task.dataset, seed, shots, n_val, n_test, root, **task.options)


def draw(model, name: str, seed: int, shots: int, n_val: int, n_test: int, root=None, **options) -> Draw:
    """Draw training shots, validation and test pictures of a data set.

    The world makes new scenes for every seed; training and validation have the same number of each class. Any other
    data set has only the pictures it has: the seed draws shots and validation pictures from the split "train" and,
    with replacement, a bootstrap sample of the test pictures. There, at most twice `n_test` test pictures and four
    times the training pictures asked for are looked at, the same for every seed, so that their features are computed
    once.

    Args:
        model: a DualEncoder. name, root: see `load_dataset`; needs labels and the splits "train" and "test".
        shots: most training pictures a class that will be asked for.
        n_val: validation pictures a class. n_test: test pictures in all.
        options: of the loader, for instance the world's factor and knobs (with categories=..., narrow=True too).

    Draws of the world and of digits are kept in memory: asking again for the same costs nothing.

    Says (`notice`) where a class has fewer training pictures than shots, where there are fewer test pictures than asked
    for, and how many test pictures are training pictures too.

    Raises ClipkitError: no labels, a split that is missing, a class without a training picture.
    """
    if min(shots, n_val, n_test) < 1:
        raise ClipkitError(f"shots, n_val and n_test must be at least 1, got {shots}, {n_val}, {n_test}")
    key = (model.fingerprint, name, seed, shots, n_val, n_test, repr(sorted(options.items())))
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    made = _draw(model, name, seed, shots, n_val, n_test, root, options)
    if name in SAME_ALWAYS:
        _kept[key] = made
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return made


def _draw(model, name: str, seed: int, shots: int, n_val: int, n_test: int, root, options: dict) -> Draw:
    fresh, rng = name == FRESH, np.random.default_rng(seed)
    if fresh:
        train = load_dataset(name, "train", seed=seed, per_class=shots + n_val, captions=(), **options)
        test = load_dataset(name, "test", n=n_test, seed=seed, captions=(), **options)
    else:
        # what cannot be read is skipped by `extract`, which looks at the sample only
        train, test = (load_dataset(name, split, root, readable=False, **options) for split in ("train", "test"))
        for part in (train, test):
            if part.labels is None:
                raise ClipkitError(f"{name} has no labels; give a data set with class folders, or a captions.csv with a column 'label'")
        train = _some(train, 4 * len(train.classnames) * (shots + n_val))
        test = _some(test, 2 * n_test)
        warn_of_shared(train, test)
    found, held_out = extract(model, train, batch=BATCH), extract(model, test, batch=BATCH)

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
    _say_few(name, train.classnames, size, np.bincount(labels[~is_val], minlength=len(size)), shots)
    if not fresh and len(held_out) < n_test:
        notice(f"{name}: {n_test} test pictures asked, {len(held_out)} are there; each seed draws {len(held_out)} of them with replacement")
    rows = np.arange(len(held_out)) if fresh else rng.integers(len(held_out), size=min(n_test, len(held_out)))
    return Draw(
        pool=_rows(found, order[~is_val]),
        turn=turns(labels[~is_val]),
        val=_rows(found, order[is_val]),
        test=_rows(held_out, rows),
        classnames=list(test.classnames),
        templates=list(test.templates),
    )


def _say_few(name: str, classnames: list[str], size: np.ndarray, left: np.ndarray, shots: int) -> None:
    """Name the class with the fewest pictures (C sizes, of which `left` are not for validation), where there are fewer than shots."""
    few = np.flatnonzero(left < shots)
    if len(few):
        least = int(left.argmin())
        notice(
            f"{name}: up to {shots} shots a class are asked, but {len(few)} of {len(classnames)} classes have too few training pictures "
            f"for that beside validation; {classnames[least]!r} has {size[least]}, of which {left[least]} stand for any larger number"
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
