"""`folder:PATH`: one's own images, as folders named after classes or as images with a captions.csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset, cut
from clipkit.datasets.classnames import readable
from clipkit.datasets.images import SUFFIXES, file_images
from clipkit.datasets.local_paths import candidates, find
from clipkit.datasets.templates import PHOTO
from clipkit.errors import ClipkitError, unknown

SPLITS = ("train", "val", "test")
TABLE = "captions.csv"


def load(tail: str, split: str, root: str | Path | None, seed: int, *, fractions: tuple[float, float, float] | None = None) -> Dataset:
    """Images below PATH, or below PATH/<split> when PATH has folders called train, val or test.

    Without such folders (and without a "split" column in captions.csv) everything is the split "test",
    unless `fractions` (train, val, test) asks for a stratified cut, the same for the same files and seed.
    """
    folder = locate(tail, root)
    name = f"folder:{tail}"
    if (folder / TABLE).is_file():
        dataset = _captioned(folder, name, split, fractions, seed)
    elif have := [s for s in SPLITS if (folder / s).is_dir()]:
        if split not in have:
            raise unknown(f"split of folder {folder}", split, have)
        if (folder / split / TABLE).is_file():
            dataset = _captioned(folder / split, name, "test", None, seed)
        else:
            classes = {c for s in have for c in _class_folders(folder / s)}  # of all splits, so that labels agree
            dataset = _classed(folder / split, name, classes)
    else:
        dataset = cut(_classed(folder, name, _class_folders(folder)), split, fractions, seed)
    if not len(dataset):
        raise ClipkitError(f"{name}: no image in split {split!r} of {folder}")
    dataset.split = split
    return dataset


def locate(tail: str, root: str | Path | None = None) -> Path:
    """The folder meant by a path (see `places.candidates`). Raises ClipkitError with the places looked at."""
    if not tail:
        raise ClipkitError("folder: needs a path, for example folder:../photos")
    folder = find(tail, root)
    if folder.is_dir():
        return folder.resolve()
    if folder.exists():
        raise ClipkitError(f"folder:{tail}: {folder} is a file; give the folder that holds the images")
    looked = dict.fromkeys(str(place.resolve()) for place in candidates(tail, root))
    raise ClipkitError(f"folder:{tail}: no such folder; looked for {' and '.join(looked)}")


def _class_folders(folder: Path) -> set[str]:
    return {d.name for d in folder.iterdir() if d.is_dir() and not d.name.startswith((".", "__"))}


def _classed(folder: Path, name: str, classes: set[str]) -> Dataset:
    """Images in one folder a class; a class folder without images is an error, one that this split lacks is not."""
    names = sorted(classes)
    if not names:
        raise ClipkitError(f"{name}: {folder} has neither class folders nor a {TABLE}; make one folder a class, or a table image,caption")
    files: list[Path] = []
    labels: list[int] = []
    for label, directory in enumerate(folder / n for n in names):
        found = sorted(p for p in directory.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not found and directory.is_dir():
            raise ClipkitError(f"{name}: class folder {directory.name!r} has no images ({directory}); add some or remove it")
        files += found
        labels += [label] * len(found)
    return Dataset(
        name=name,
        split="test",
        images=file_images(files),
        labels=np.array(labels, dtype=np.int64),
        classnames=[readable(n) for n in names],
        templates=list(PHOTO),
        paths=[p.relative_to(folder).as_posix() for p in files],
    )


def _captioned(folder: Path, name: str, split: str, fractions: tuple[float, float, float] | None, seed: int) -> Dataset:
    """Images listed in captions.csv with columns image, caption and perhaps split, label; several rows an image are several captions."""
    table = folder / TABLE
    with open(table, newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        for needed in ("image", "caption"):
            if needed not in columns:
                raise ClipkitError(f"{table} has no column {needed!r}; its columns are: {', '.join(columns) or '(none)'}")
        rows = list(reader)
    classnames = sorted({row["label"] or "" for row in rows}) if "label" in columns else None  # of all splits, so that labels agree
    by_column = "split" in columns and fractions is None
    if by_column:
        known = sorted({row["split"] or "" for row in rows})
        if split not in known:
            raise unknown(f"split of {table}", split, known)
        rows = [row for row in rows if row["split"] == split]

    captions: dict[str, list[str]] = {}
    label_of: dict[str, str] = {}
    for row in rows:
        captions.setdefault(row["image"], []).append(row["caption"] or "")
        label_of[row["image"]] = row.get("label") or ""
    for image in captions:
        if not (folder / image).is_file():
            raise ClipkitError(f"{table} names {image!r}, which is not in {folder}; correct the table or add the file")
    dataset = Dataset(
        name=name,
        split="test",
        images=file_images([folder / image for image in captions]),
        labels=None if classnames is None else np.array([classnames.index(label_of[i]) for i in captions], dtype=np.int64),
        classnames=None if classnames is None else [readable(c) for c in classnames],
        templates=list(PHOTO),
        captions=list(captions.values()),
        paths=list(captions),
    )
    return dataset if by_column else cut(dataset, split, fractions, seed)
