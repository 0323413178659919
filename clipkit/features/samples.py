"""Which pictures one seed sees of a data set: features for few-shot learning, pixels, a test set, an unlabelled collection.

One rule. The world makes new scenes for every seed. Any other data set has only the pictures it has: the seed chooses among
them, by `numpy.random.default_rng(seed)`; and where features are computed, the pictures looked at are the same for every
seed, so that this is done once. Test pictures of another data set are a bootstrap sample (with replacement) where features
are drawn, and a plain one where pixels are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.datasets import Dataset, Task, choose, load_dataset, warn_of_shared
from clipkit.errors import ClipkitError
from clipkit.features.extraction import Features, extract
from clipkit.features.few_shot import FewShot, Rows, turns
from clipkit.kept import remembered
from clipkit.notices import notice

FRESH = "world"  # the data set that makes new pictures for every seed
SAME_ALWAYS = (FRESH, "digits")  # nothing on disk can change them while a process runs, so what was drawn is kept
BATCH = 64  # pictures a forward pass: on a processor a third faster than 256, whose activations leave the cache
KEPT = 128  # draws in memory; one of 2,000 pictures and 128 dimensions takes 1 MB


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pixels (N, 3, H, W) and labels (N,) for one seed. `pool` is in random order; names and templates are the data set's."""

    pool: Rows
    test: Rows
    classnames: list[str]
    templates: list[str]


@dataclass(frozen=True, eq=False)
class Part:
    """Pictures; their labels (N,) int64 are there for whoever asks for them."""

    data: Dataset

    @property
    def labels(self) -> Tensor:
        return torch.as_tensor(np.asarray(self.data.labels), dtype=torch.int64)

    def pixels(self, model) -> Tensor:
        """(N, 3, H, W) for the model."""
        data = self.data
        return model.preprocess_batch(data.array if data.array is not None else [data.images[i] for i in range(len(data))])


def draw_task(model, task: Task, seed: int, shots: int, n_val: int, n_test: int, root=None) -> FewShot:
    """`draw` of a `clipkit.datasets.Task`."""
    return draw(model, task.dataset, seed, shots, n_val, n_test, root, **task.options)


def draw(model, name: str, seed: int, shots: int, n_val: int, n_test: int, root=None, **options) -> FewShot:
    """Draw training shots, validation and test pictures of a data set, as features.

    In the world training and validation have the same number of each class. Of any other data set at most twice `n_test`
    test pictures and four times the training pictures asked for are looked at.

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
    checks.at_least(1, shots=shots, n_val=n_val, n_test=n_test)
    make = _draw if name in SAME_ALWAYS else _draw.__wrapped__
    return make(model, name, seed, shots, n_val, n_test, None if name == FRESH else root, options)


@remembered(KEPT)
def _draw(model, name: str, seed: int, shots: int, n_val: int, n_test: int, root, options: dict) -> FewShot:
    fresh, rng = name == FRESH, np.random.default_rng(seed)
    train = _split(name, "train", seed, root, options, False, per_class=shots + n_val)
    test = _split(name, "test", seed, root, options, False, n=n_test)
    if not fresh:
        train, test = _some(train, 4 * len(train.classnames) * (shots + n_val)), _some(test, 2 * n_test)
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
    left = np.bincount(labels[~is_val], minlength=len(size))
    if (few := (left < shots).sum()) > 0:
        least = int(left.argmin())
        notice(
            f"{name}: up to {shots} shots a class are asked, but {few} of {len(size)} classes have too few training pictures for that "
            f"beside validation; {train.classnames[least]!r} has {size[least]}, of which {left[least]} stand for any larger number"
        )
    rows = np.arange(len(held_out)) if fresh else _bootstrap(name, rng, len(held_out), n_test)
    return FewShot(
        pool=_rows(found, order[~is_val]), turn=turns(labels[~is_val]), val=_rows(found, order[is_val]), test=_rows(held_out, rows),
        classnames=list(test.classnames), templates=list(test.templates),
    )  # fmt: skip


def draw_pictures(model, task: Task, seed: int, per_class: int, n_test: int, root=None) -> Pictures:
    """The same as pixels, for methods that change the image tower: `per_class` training pictures of each class, `n_test` others.

    Args:
        model: a DualEncoder, for its preprocessing. task: a `clipkit.datasets.Task` with splits "train" and "test".

    Raises ClipkitError: a number below 1, a data set without labels.
    """
    checks.at_least(1, per_class=per_class, n_test=n_test)
    train = _split(task.dataset, "train", seed, root, task.options, per_class=per_class)
    test = _split(task.dataset, "test", seed, root, task.options, n=n_test)
    if task.dataset != FRESH:
        warn_of_shared(train, test)
        fewest = np.bincount(train.labels, minlength=len(train.classnames)).min()
        if fewest < per_class:
            notice(f"{task.dataset}: {per_class} training pictures a class asked, some class has {fewest} and gives those")
        if len(test) < n_test:
            notice(f"{task.dataset}: {n_test} test pictures asked, all {len(test)} are taken")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train))
    rows = rows[turns(train.labels[rows]) < per_class]
    parts = (train, rows), (test, rng.permutation(len(test))[:n_test])
    pixels = [(model.preprocess_batch([d.images[i] for i in some]), torch.as_tensor(d.labels[some])) for d, some in parts]
    return Pictures(*pixels, list(test.classnames), list(test.templates))


def test_pictures(model, task: Task, n: int, seed: int) -> tuple[Tensor, Tensor, Dataset]:
    """Where nothing is trained: features (N, D), labels (N,) and the data set they are from (with the scenes, in order, for the world).

    Of another data set than the world at most 2 n pictures of the split "test" are looked at.

    Raises ClipkitError: n below 1, a data set without labels.
    """
    checks.at_least(1, n=n)
    data = _split(task.dataset, "test", seed, None, task.options, False, n=n)
    if task.dataset == FRESH:
        return extract(model, data).image, torch.as_tensor(data.labels), data
    data = data.subset(choose(data.labels, len(data), min(len(data), 2 * n), 0, data.name))
    found = extract(model, data)
    return *_rows(found, _bootstrap(task.dataset, np.random.default_rng(seed), len(found), n)), data


test_pictures.__test__ = False  # pytest takes what begins with "test_" for a test


def collection(name: str, seed: int, n_pool: int, n_val: int, n_test: int, root=None, **options) -> tuple[Part, Part, Part]:
    """Unlabelled and validation pictures from the split "train", test pictures from "test"; the parts share no picture.

    Unlike `draw`, nothing is balanced by label in the world: an unlabelled collection is as it comes.

    Where there are fewer pictures than asked for, validation keeps its number and the pool is what is left; a notice says so.

    Raises ClipkitError: a number below 1, no picture left for the pool, no labels to test with.
    """
    checks.at_least(1, n_pool=n_pool, n_val=n_val, n_test=n_test)
    both = _labelled(load_dataset(name, "train", root, n=n_pool + n_val, seed=seed, **options))
    test = _labelled(load_dataset(name, "test", root, n=n_test, seed=seed, **options))
    if len(both) <= n_val:
        raise ClipkitError(f"{name} has {len(both)} training pictures; n_val = {n_val} of them leave none for the pool, so lower n_val")
    if len(both) < n_pool + n_val:
        left = len(both) - n_val
        notice(f"{name}: n_pool = {n_pool} and n_val = {n_val} asked of {len(both)} training pictures; the pool has {left}")
    if name != FRESH:
        warn_of_shared(both, test)
    order = np.random.default_rng(seed).permutation(len(both))
    return Part(both.subset(order[n_val:])), Part(both.subset(order[:n_val])), Part(test)


def some_rows(available: int, n: int, seed: int) -> np.ndarray:
    """n of `available` rows, ascending; all when there are fewer."""
    return np.sort(np.random.default_rng(seed).permutation(available)[:n])


def _split(name: str, split: str, seed: int, root, options: dict, readable: bool = True, **size: int) -> Dataset:
    """As many new scenes as `size` says, or all that another data set has.

    readable=False: what cannot be read is left to `extract`, which skips it, and which looks at the sample only.
    """
    more = {"seed": seed, "captions": (), **size} if name == FRESH else {"readable": readable}
    return _labelled(load_dataset(name, split, root, **{**options, **more}))


def _bootstrap(name: str, rng: np.random.Generator, there: int, asked: int) -> np.ndarray:
    if there < asked:
        notice(f"{name}: {asked} test pictures asked, {there} are there; each seed draws {there} of them with replacement")
    return rng.integers(there, size=min(asked, there))


def _labelled(data: Dataset) -> Dataset:
    if data.labels is None:
        raise ClipkitError(f"{data.name} has no labels; give a data set with class folders, or a captions.csv with a column 'label'")
    return data


def _some(dataset: Dataset, most: int) -> Dataset:
    """At most `most` pictures, balanced over classes, the same for every seed."""
    return dataset if len(dataset) <= most else dataset.subset(choose(dataset.labels, len(dataset), most, 0, dataset.name))


def _rows(found: Features, rows: np.ndarray) -> Rows:
    return found.image[rows], torch.as_tensor(np.asarray(found.labels)[rows])
