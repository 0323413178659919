"""`folder:PATH`: one's own images, as folders named after classes or as images with a captions.csv."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset, cut
from clipkit.datasets.classnames import numbered
from clipkit.datasets.files import folders, pictures, pictures_in, say_left_out
from clipkit.datasets.images import file_images
from clipkit.datasets.local_paths import candidates, find
from clipkit.datasets.splits import SPLITS, split_of
from clipkit.datasets.table import TableRow, read_table
from clipkit.datasets.templates import PHOTO
from clipkit.errors import ClipkitError, unknown
from clipkit.notices import notice

TABLE = "captions.csv"


def load(
    tail: str,
    split: str,
    root: str | Path | None,
    seed: int,
    *,
    fractions: tuple[float, float, float] | None = None,
    language: str | None = None,
) -> Dataset:
    """Images below PATH, or below PATH's folder for the split when it has folders called train, val or test.

    Those may be written in any case, and as training, valid, validation, dev or testing too. Classes are numbered
    over all splits together, whether a split says its classes by folders or by a captions.csv of its own. Without such folders
    (and without a "split" column in captions.csv) everything is the split "test", unless `fractions` (train, val, test)
    asks for a stratified cut, the same for the same files and seed.

    With `language`, the table is captions_LANGUAGE.csv in place of captions.csv, for instance captions_zh.csv. Raises ClipkitError
    with the languages there are when there is none.

    Hidden files and folders and what systems leave behind are no images (`files.is_litter`); files with a suffix that
    is not read are counted in a notice.
    """
    folder = locate(tail, root)
    name, split, csv = f"folder:{tail}", split_of(split) or split, TABLE if language is None else f"captions_{language}.csv"
    if (folder / csv).is_file():
        table = _Table(folder / csv)
        dataset = _captioned(table, name, _labels_of(name, table.labels()), split, fractions)
        if not table.has("split") or fractions is not None:
            dataset = cut(dataset, split, fractions, seed)
    elif have := _split_folders(folder, name):
        if split not in have:
            raise unknown(f"split of folder {folder}", split, have)
        tables = {s: _Table(place / csv) for s, place in have.items() if (place / csv).is_file()}
        if language is not None and split not in tables:
            raise _no_language(have[split], csv)
        said = [tables[s].labels() if s in tables else folders(place) for s, place in have.items()]
        numbers = _labels_of(name, None if all(s is None for s in said) else [label for some in said for label in some or ()])
        if split in tables:
            dataset = _captioned(tables[split], name, numbers if tables[split].has("label") else None, split, None)
        else:
            dataset = _classed(have[split], name, numbers)
    elif language is not None:
        raise _no_language(folder, csv)
    else:
        _say_nested(folder, name)
        dataset = cut(_classed(folder, name, _labels_of(name, folders(folder))), split, fractions, seed)
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


def _no_language(folder: Path, csv: str) -> ClipkitError:
    there = ", ".join(sorted(path.stem.removeprefix("captions_") for path in folder.glob("captions_*.csv"))) or "(none)"
    return ClipkitError(f"{folder} has no {csv}; languages there: {there}; without language=... {TABLE} is read")


def _split_folders(folder: Path, name: str) -> dict[str, Path]:
    """Split -> its folder, in the order train, val, test; empty when the folders of `folder` are classes.

    A folder called train among others that are classes (vehicles, say) is a class when it holds images itself and no folders.
    """
    found: dict[str, Path] = {}
    others, flat = [], []
    for child in folders(folder):
        split, place = split_of(child), folder / child
        if split is None:
            others.append(child)
        elif split in found:
            raise ClipkitError(f"{name}: {found[split].name!r} and {child!r} both mean the split {split!r}; rename or remove one of them")
        else:
            found[split] = place
            if not (folders(place) or (place / TABLE).is_file()):
                flat.append(split)
    if others and len(flat) == len(found):
        return {}
    if found and others:
        notice(f"{name}: beside the splits {', '.join(p.name for p in found.values())} the folders {', '.join(others[:3])} are left out")
    return {split: found[split] for split in SPLITS if split in found}


def _say_nested(folder: Path, name: str) -> None:
    """All images anywhere below a class folder are of that class; say so where the folders in it look like something else."""
    classes = folders(folder)
    for child in classes:
        inner = folders(folder / child)
        if any(split_of(word) for word in inner) or (len(classes) == 1 and len(inner) > 1):
            notice(
                f"{name}: {child!r} is taken for a class, with all that is in its folders {', '.join(inner[:4])}; if they are splits or "
                f"classes, give the folder above them (for instance {name}/{child}) or sort the images into train/CLASS and test/CLASS"
            )
            return


@dataclass(frozen=True)
class _Classes:
    """label: number of each spelling; names: (C) readable."""

    label: dict[str, int]
    names: list[str]


def _labels_of(name: str, said: Iterable[str] | None) -> _Classes | None:
    if said is None:
        return None
    return _Classes(*numbered(said, name))


def _classed(folder: Path, name: str, classes: _Classes) -> Dataset:
    """Images in one folder a class; a class folder without images is an error, one that this split lacks is not."""
    if not classes.label:
        raise ClipkitError(f"{name}: {folder} has neither class folders nor a {TABLE}; make one folder a class, or a table image,caption")
    files: list[Path] = []
    labels: list[int] = []
    left_out: list[Path] = []
    for spelling, label in sorted(classes.label.items()):
        directory = folder / spelling
        if not directory.is_dir():
            continue
        found, other = pictures(directory)
        if not found:
            some = f" but {len(other)} other files, the first {other[0].name}" if other else ""
            raise ClipkitError(f"{name}: class folder {directory.name!r} has no images{some} ({directory}); add some or remove it")
        files += found
        labels += [label] * len(found)
        left_out += other
    beside = pictures_in(folder)
    if beside:
        notice(f"{name}: {len(beside)} images lie beside the class folders, the first is {beside[0]}; they have no class and are left out")
    say_left_out(name, left_out)
    return Dataset(
        name=name,
        split="test",
        images=file_images(files),
        labels=np.array(labels, dtype=np.int64),
        classnames=classes.names,
        templates=list(PHOTO),
        paths=[p.relative_to(folder).as_posix() for p in files],
    )


class _Table:
    """A table of captions with columns image, caption and perhaps split, label; several rows an image are several captions.

    Raises ClipkitError naming the line: see `read_table`; an empty image, label or split; a split that is none.
    """

    def __init__(self, path: Path):
        self.folder, self.path = path.parent, path
        self.columns, self.rows = read_table(self.path, ("image", "caption"))
        needed = ["image"] + [c for c in ("label", "split") if c in self.columns]
        if any(row["caption"] for row in self.rows) or "label" not in self.columns:
            needed.append("caption")  # a table for labels alone may leave all captions empty
        for column in needed:
            empty = [row.line for row in self.rows if not row[column]]
            if empty:
                more = f"; {len(empty)} lines in all" if len(empty) > 1 else ""
                raise ClipkitError(f"{self.path}, line {empty[0]}: no {column} (the cell is empty{more}); fill it in or remove the line")

    def has(self, column: str) -> bool:
        return column in self.columns

    def labels(self) -> list[str] | None:
        """Every label of every split, None without such a column."""
        return [row["label"] for row in self.rows] if self.has("label") else None

    def of(self, split: str) -> list[TableRow]:
        """Rows of one split. Says which images stand in another one too."""
        parts: dict[str, list[TableRow]] = {}
        for row in self.rows:
            part = split_of(row["split"])
            if part is None:
                raise ClipkitError(f"{self.path}, line {row.line}: split {row['split']!r} is none of train, val and test; correct it")
            parts.setdefault(part, []).append(row)
        if split not in parts:
            raise unknown(f"split of {self.path}", split, sorted(parts))
        mine = {row["image"] for row in parts[split]}
        for other, rows in parts.items():
            both = sorted(mine & {row["image"] for row in rows}) if other != split else []
            if both:
                first, second = sorted((split, other), key=SPLITS.index)
                notice(
                    f"{self.path.name}: {len(both)} images are in {first} and in {second}, the first is {both[0]}; keep each in one split"
                )
        return parts[split]


def _captioned(table: _Table, name: str, classes: _Classes | None, split: str, fractions: tuple[float, float, float] | None) -> Dataset:
    rows = table.of(split) if table.has("split") and fractions is None else table.rows
    captions: dict[str, list[str]] = {}
    label_of: dict[str, int] = {}
    for row in rows:
        captions.setdefault(row["image"], []).append(row["caption"])
        if classes is not None:
            label = classes.label[row["label"]]
            if label_of.setdefault(row["image"], label) != label:
                had = classes.names[label_of[row["image"]]]
                raise ClipkitError(
                    f"{table.path}, line {row.line}: {row['image']!r} is {row['label']!r} here and {had!r} above; correct one"
                )
    files = [_file(table.folder, image) for image in captions]
    for image, file in zip(captions, files, strict=True):
        if not file.is_file():
            absent = sum(not f.is_file() for f in files)
            more = f"; {absent} files are missing in all" if absent > 1 else ""
            raise ClipkitError(f"{table.path} names {image!r}, which is not in {table.folder}{more}; correct the table or add the file")
    written = any(any(texts) for texts in captions.values())
    return Dataset(
        name=name,
        split="test",
        images=file_images(files),
        labels=None if classes is None else np.array([label_of[i] for i in captions], dtype=np.int64),
        classnames=None if classes is None else classes.names,
        templates=list(PHOTO),
        captions=list(captions.values()) if written else None,
        paths=list(captions),
    )


def _file(folder: Path, image: str) -> Path:
    """The file a cell names; a table from Windows may write the path with backslashes."""
    file = folder / image
    return file if "\\" not in image or os.sep == "\\" or file.is_file() else folder / image.replace("\\", "/")
