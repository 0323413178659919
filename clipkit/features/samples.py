"""Which pictures one seed sees of a data set: features for few-shot learning, pixels, a test set, an unlabelled collection.

One rule. The world makes new scenes for every seed. Any other data set has only the pictures it has: they are dealt out among
the seeds of the run (`clipkit.dealing`), so that no two seeds test on the same picture; training pictures are dealt out too
where there are enough of them, and shared, with a notice, where there are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.datasets import Dataset, Task, choose, load_dataset, warn_of_shared
from clipkit.dealing import dealt, hand_of
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

    In the world training and validation have the same number of each class. Of any other data set the seed has its own test
    pictures, at most n_test, and its own training pictures where every class has enough for all seeds.

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
    return make(model, name, (seed, *hand_of(seed)), shots, n_val, n_test, None if name == FRESH else root, options)


@remembered(KEPT)
def _draw(model, name: str, hand: tuple[int, int, int], shots: int, n_val: int, n_test: int, root, options: dict) -> FewShot:
    seed, fresh = hand[0], name == FRESH  # the rest of the hand is there to tell kept draws of other runs apart
    rng = np.random.default_rng(seed)
    train = _split(name, "train", seed, root, options, False, per_class=shots + n_val)
    test = _split(name, "test", seed, root, options, False, n=n_test)
    if not fresh:
        warn_of_shared(train, test)
        train, test = _own_training(train, shots + n_val, seed), _own(test, n_test, seed)
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
    return FewShot(
        pool=_rows(found, order[~is_val]), turn=turns(labels[~is_val]), val=_rows(found, order[is_val]), test=_rows(held_out),
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
        train, test = _own_training(train, per_class, seed), _own(test, n_test, seed)
        fewest = np.bincount(train.labels, minlength=len(train.classnames)).min()
        if fewest < per_class:
            notice(f"{task.dataset}: {per_class} training pictures a class asked, some class has {fewest} and gives those")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train))
    rows = rows[turns(train.labels[rows]) < per_class]
    parts = (train, rows), (test, rng.permutation(len(test))[:n_test])
    pixels = [(model.preprocess_batch([d.images[i] for i in some]), torch.as_tensor(d.labels[some])) for d, some in parts]
    return Pictures(*pixels, list(test.classnames), list(test.templates))


def test_pictures(model, task: Task, n: int, seed: int) -> tuple[Tensor, Tensor, Dataset]:
    """Where nothing is trained: features (N, D), labels (N,) and the data set they are from (with the scenes, in order, for the world).

    Of another data set than the world they are the seed's own of the split "test", at most n.

    Raises ClipkitError: n below 1, a data set without labels.
    """
    checks.at_least(1, n=n)
    data = _split(task.dataset, "test", seed, None, task.options, False, n=n)
    if task.dataset == FRESH:
        return extract(model, data).image, torch.as_tensor(data.labels), data
    data = _own(data, n, seed)
    found = extract(model, data)
    return *_rows(found), data.subset(found.index.numpy())


test_pictures.__test__ = False  # pytest takes what begins with "test_" for a test


def collection(name: str, seed: int, n_pool: int, n_val: int, n_test: int, root=None, **options) -> tuple[Part, Part, Part]:
    """Unlabelled and validation pictures from the split "train", test pictures from "test"; the parts share no picture.

    Unlike `draw`, nothing is balanced by label in the world: an unlabelled collection is as it comes.

    Where a seed has fewer pictures than asked for, validation keeps its number and the pool is what is left; a notice says so.

    Raises ClipkitError: a number below 1, no picture left for the pool, no labels to test with.
    """
    checks.at_least(1, n_pool=n_pool, n_val=n_val, n_test=n_test)
    both = _labelled(own_pictures(name, "train", n_pool + n_val, seed, root, **options))
    test = _labelled(own_pictures(name, "test", n_test, seed, root, **options))
    if len(both) <= n_val:
        raise ClipkitError(f"{name} has {len(both)} training pictures; n_val = {n_val} of them leave none for the pool, so lower n_val")
    if name != FRESH:
        warn_of_shared(both, test)
    order = np.random.default_rng(seed).permutation(len(both))
    return Part(both.subset(order[n_val:])), Part(both.subset(order[:n_val])), Part(test)


def own_pictures(name: str, split: str, n: int, seed: int, root=None, **options) -> Dataset:
    """The pictures of a seed: n new scenes of the world, or at most n of another data set that no other seed of the run has.

    A notice says so where they are fewer than n.
    """
    if name == FRESH:
        return load_dataset(name, split, root, n=n, seed=seed, **options)
    return _own(load_dataset(name, split, root, **options), n, seed)


def some_rows(available: int, n: int, seed: int) -> np.ndarray:
    """n of `available` rows, ascending; all when there are fewer."""
    return np.sort(np.random.default_rng(seed).permutation(available)[:n])


def _split(name: str, split: str, seed: int, root, options: dict, readable: bool = True, **size: int) -> Dataset:
    """As many new scenes as `size` says, or all that another data set has.

    readable=False: what cannot be read is left to `extract`, which skips it, and which looks at the sample only.
    """
    more = {"seed": seed, "captions": (), **size} if name == FRESH else {"readable": readable}
    return _labelled(load_dataset(name, split, root, **{**options, **more}))


def _own(data: Dataset, n: int, seed: int) -> Dataset:
    """At most n pictures that no other seed of the run has."""
    own = data.subset(dealt(len(data) if data.labels is None else data.labels, seed))
    if len(own) < n:
        hands = hand_of(seed)[1]
        those = f"each of the {hands} seeds has {len(own)} of its own" if hands > 1 else f"all {len(own)} are taken"
        notice(f"{data.name}: {n} {data.split} pictures a seed asked of {len(data)}; {those}")
    return own.subset(choose(own.labels, len(own), min(len(own), n), 0, own.name))


def _own_training(train: Dataset, per_class: int, seed: int) -> Dataset:
    """`per_class` training pictures of each class that no other seed has; four times as many, shared, where they do not go round."""
    hands = hand_of(seed)[1]
    if np.bincount(train.labels, minlength=len(train.classnames)).min() >= hands * per_class:
        train = train.subset(dealt(train.labels, seed))
    elif hands > 1:
        notice(f"{train.name}: too few training pictures for {hands} seeds with {per_class} a class each: they share some")
    most = 4 * len(train.classnames) * per_class
    return train if len(train) <= most else train.subset(choose(train.labels, len(train), most, 0, train.name))


def _labelled(data: Dataset) -> Dataset:
    if data.labels is None:
        raise ClipkitError(f"{data.name} has no labels; give a data set with class folders, or a captions.csv with a column 'label'")
    return data


def _rows(found: Features, rows: np.ndarray | slice = slice(None)) -> Rows:
    return found.image[rows], torch.as_tensor(np.asarray(found.labels)[rows])
