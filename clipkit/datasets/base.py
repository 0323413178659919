"""`Dataset`: images with what is known about them, whatever they were loaded from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from clipkit.datasets.images import ImageSequence
from clipkit.errors import ClipkitError, unknown


@dataclass(eq=False)
class Dataset:
    """Images and what travels with them.

    Attributes:
        name: as given to `load_dataset`.
        split: "train", "val", "test" ...
        images: sequence of N images; `images[i]` is a PIL image in RGB, or raises `UnreadableImage`.
        labels: (N,) int64 positions in `classnames`, or None.
        classnames: C names as they go into a prompt, or None.
        templates: prompt templates, each with one "{}" for the class name.
        captions: N lists of at least one caption, the first being the plain one, or None.
        scenes: the world's own truth (`clipkit.world.Scenes`), None for everything else.
        paths: N relative paths for images that are files, else None.

    Raises ClipkitError when lengths differ, or a label is outside `classnames`.
    """

    name: str
    split: str
    images: ImageSequence
    labels: np.ndarray | None = None
    classnames: list[str] | None = None
    templates: list[str] = field(default_factory=lambda: ["{}"])
    captions: list[list[str]] | None = None
    scenes: object | None = None
    paths: list[str] | None = None

    def __post_init__(self):
        for what in ("labels", "captions", "scenes", "paths"):
            values = getattr(self, what)
            if values is not None and len(values) != len(self.images):
                raise ClipkitError(f"data set {self.name!r}: {len(self.images)} images but {len(values)} {what}")
        for template in self.templates:
            if template.count("{}") != 1:
                raise ClipkitError(f"template {template!r} must contain '{{}}' once, where the class name goes")
        if self.labels is not None:
            self.labels = np.asarray(self.labels, dtype=np.int64)
            self._check_labels()

    def _check_labels(self) -> None:
        if self.classnames is None:
            raise ClipkitError(f"data set {self.name!r} has labels but no class names; pass classnames=[...]")
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classnames)))
        if len(wrong):
            raise ClipkitError(
                f"data set {self.name!r}: label {self.labels[wrong[0]]} of {self.images.name(int(wrong[0]))} is out of range, "
                f"there are {len(self.classnames)} class names (labels 0 to {len(self.classnames) - 1}); {len(wrong)} such labels in all"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        classes = "no classes" if self.classnames is None else f"{len(self.classnames)} classes"
        return f"Dataset({self.name!r}, {self.split!r}, {len(self)} images, {classes})"

    @property
    def array(self) -> np.ndarray | None:
        """(N, H, W, 3) uint8 when all images are in memory, else None (see `to_array`)."""
        return getattr(self.images, "array", None)

    def to_array(self, size: int | None = None) -> np.ndarray:
        """All images as (N, H, W, 3) uint8; with `size`, each is squeezed to size x size (bicubic).

        Raises `UnreadableImage`, or ClipkitError when the images differ in size and `size` is not given.
        """
        if self.array is not None and size is None:
            return self.array
        rows = []
        for i in range(len(self)):
            image = self.images[i]
            rows.append(np.asarray(image if size is None else image.resize((size, size), 3)))  # 3 = bicubic
        if len({row.shape for row in rows}) > 1:
            raise ClipkitError(f"the images of {self.name!r} differ in size; pass to_array(size=...) to bring them to one")
        return np.stack(rows) if rows else np.zeros((0, size or 1, size or 1, 3), np.uint8)

    def subset(self, indices) -> Dataset:
        """The chosen rows in the given order.

        Args:
            indices: integers (negative ones count from the end), a slice, or a boolean mask of length N.
        """
        chosen = np.arange(len(self))
        try:
            chosen = chosen[indices if isinstance(indices, slice) else np.asarray(indices, dtype=None if len(indices) else np.int64)]
        except (IndexError, TypeError) as error:
            raise ClipkitError(f"cannot take these rows of {self!r}: {error}") from error
        return Dataset(
            name=self.name,
            split=self.split,
            images=self.images.take(chosen),
            labels=None if self.labels is None else self.labels[chosen],
            classnames=self.classnames,
            templates=self.templates,
            captions=None if self.captions is None else [self.captions[i] for i in chosen],
            scenes=None if self.scenes is None else self.scenes[chosen],
            paths=None if self.paths is None else [self.paths[i] for i in chosen],
        )

    @cached_property
    def images_fingerprint(self) -> str:
        """Content hash (hex) of the images alone: what cached features depend on. Reads files once."""
        return self.images.digest()

    @cached_property
    def fingerprint(self) -> str:
        """Content hash (hex) of images, labels, class names, captions and relative paths. Computed when asked for."""
        rest = json.dumps([self.split, self.classnames, self.captions, self.paths, None if self.labels is None else self.labels.tolist()])
        return hashlib.sha256(f"{self.images_fingerprint}\n{rest}".encode()).hexdigest()


def choose(labels: np.ndarray | None, available: int, n: int, seed: int, name: str) -> np.ndarray:
    """Positions of a sample of n, ascending; balanced over classes when there are labels (see `ranking`).

    Raises ClipkitError when n is not between 1 and `available`.
    """
    if not 1 <= n <= available:
        raise ClipkitError(f"n={n} images asked of {name!r}, which has {available}; choose n between 1 and {available}")
    return np.sort(ranking(labels, available, seed)[:n])


def ranking(labels: np.ndarray | None, available: int, seed: int) -> np.ndarray:
    """All positions in the order in which samples take them, so that a smaller sample is contained in a larger one.

    Classes take turns in a shuffled order: counts differ by at most one until a class runs out.
    """
    shuffled = np.random.default_rng(seed).permutation(available)
    if labels is None:
        return shuffled
    turn = np.empty(available, dtype=np.int64)  # how many of its own class come before it
    seen: dict[int, int] = {}
    for position, i in enumerate(shuffled):
        label = int(labels[i])
        turn[position] = seen.get(label, 0)
        seen[label] = turn[position] + 1
    return shuffled[np.argsort(turn, kind="stable")]


def stratified_split(labels: np.ndarray, fractions: tuple[float, float, float], seed: int = 0) -> dict[str, np.ndarray]:
    """Positions of "train", "val" and "test": disjoint, together everything, each class cut in the same proportions.

    Args:
        labels: (N,) integers.
        fractions: shares of train, val, test; they must add up to 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ClipkitError(f"fractions must be three shares (train, val, test) that add up to 1, not {fractions}")
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.round(np.cumsum(fractions[:2]) * len(members)).astype(int)
        for part, chunk in zip(parts.values(), np.split(members, cuts), strict=True):
            part.append(chunk)
    return {name: np.sort(np.concatenate(chunks)) if chunks else np.zeros(0, np.int64) for name, chunks in parts.items()}


def cut(dataset: Dataset, split: str, fractions: tuple[float, float, float] | None, seed: int) -> Dataset:
    """The part called `split` of a data set that comes in one piece.

    Without `fractions` the whole is "test" and there is nothing else, so that nobody trains on test images
    unawares; with them (train, val, test) it is cut by class, the same way for the same content and seed.
    """
    if fractions is not None:
        labels = dataset.labels if dataset.labels is not None else np.zeros(len(dataset), np.int64)
        parts = stratified_split(labels, fractions, seed)
        if split not in parts:
            raise unknown(f"split of {dataset.name}", split, parts)
        return dataset.subset(parts[split])
    if split != "test":
        raise ClipkitError(
            f"{dataset.name} has no split {split!r}: it comes in one piece, which counts as 'test'; "
            "separate the images by folder or column, or pass fractions=(0.6, 0.2, 0.2)"
        )
    return dataset
