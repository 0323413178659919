"""The door: a data set by its name, whatever it is loaded from."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset, ranking
from clipkit.datasets.unreadable import without_unreadable
from clipkit.errors import ClipkitError, unknown
from clipkit.notices import notice

# name or prefix -> module with `load(tail, split, root, seed, **options)`; what follows the colon is the tail
_NAMES = {"world": "world", "digits": "digits", "photos": "photos", "emoji": "emoji", "clipart": "clipart", "cifar10": "tv"}
_PREFIXES = {
    "folder": "folder",
    "features": "vectors",
    "torchvision": "tv",
    "hf": "hub",
    "wds": "shards",
    "mine": "mine",
    "unsorted": "unsorted",
}


def dataset_names() -> list[str]:
    """What `load_dataset` understands; words in capitals stand for something of the caller's."""
    return [*_NAMES, "folder:PATH", "features:PATH", "torchvision:NAME", "hf:NAME", "wds:SHARDS"]


def load_dataset(
    name: str,
    split: str = "test",
    root: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    *,
    readable: bool = True,
    **options,
) -> Dataset:
    """A data set by name.

    Args:
        name: one of `dataset_names()`: "world", "digits", "photos", "emoji", "clipart", "cifar10", "folder:PATH" (class folders,
            or images with a captions.csv), "features:PATH" (vectors), "torchvision:NAME", "hf:NAME", "wds:SHARDS".
        split: "train", "val" or "test", where the data has it. Splits share no image, unless one's own files do (`shared_images` tells).
        root: folder that relative paths, torchvision's files, and what npm or Debian brought are below.
        n: how many images: that many fresh ones from the world, a class-balanced sample of the others; all of them, with a
            notice, where there are fewer.
        seed: of the world's scenes, and of the sample.
        readable: leave out images that cannot be decoded, with a notice that counts them and names the first. For that each
            chosen image is decoded once, and the outcome remembered. With False they stay, and raise `UnreadableImage` when
            they are asked for; `extract` skips them by itself.
        options: of the loader, see `clipkit.datasets.world.load`, `.emoji.load`, `.folder.load`, `.tv.load`, `.hub.load`, `.shards.load`.

    Raises:
        ClipkitError: unknown name, split or option, missing files, an empty class, n below 1, no image that can be read.
        MissingExtra: the data set needs a package that is not installed.
    """
    module, tail = _resolve(name)
    load = importlib.import_module(f"clipkit.datasets.{module}").load
    if module == "world":
        return load(tail, split, root, seed, n=n, **options)
    known = inspect.signature(load).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for option in options:
        if option not in list(known)[4:] and not takes_any:
            raise unknown(f"option of {name}", option, list(known)[4:] or ["(none)"])
    dataset = load(tail, split, root, seed, **options)
    if n is not None and n < 1:
        raise ClipkitError(f"n={n} images asked of {name!r}: at least one is needed")
    wanted = len(dataset) if n is None else min(n, len(dataset))
    order = range(len(dataset)) if wanted == len(dataset) else ranking(dataset.labels, len(dataset), seed)
    if readable:
        dataset = without_unreadable(dataset, order, wanted)
    elif wanted < len(dataset):
        dataset = dataset.subset(np.sort(order[:wanted]))
    if n is not None and len(dataset) < n:
        notice(f"{n} images asked of {name}, split {split!r}, which has {len(dataset)}: all {len(dataset)} are taken")
    return dataset


def _resolve(name: str) -> tuple[str, str]:
    """(module, tail) of a data set's name."""
    if not isinstance(name, str):
        raise ClipkitError(f"a data set is named by a string, not {type(name).__name__}; for example {', '.join(dataset_names()[:3])}")
    if name in _NAMES:
        return _NAMES[name], "CIFAR10" if name == "cifar10" else ""
    prefix, colon, tail = name.partition(":")
    if colon and prefix in _PREFIXES:
        return _PREFIXES[prefix], tail
    if not colon and Path(name).expanduser().is_dir():
        raise ClipkitError(f"unknown data set {name!r}; it is a folder here, so write folder:{name}")
    raise unknown("data set", name, dataset_names())
