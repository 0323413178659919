"""Photographs with a class for every pixel: folders `images/` and `masks/` of the same file names, and a table of the classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.files import folders, pictures_in
from clipkit.datasets.folder import locate
from clipkit.datasets.images import file_images
from clipkit.datasets.splits import split_of
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError

TABLES = ("classes.csv", "categories.csv")
IGNORED = 255  # what pixels of no class are labelled
NO_CLASS = ("unlabelled", "unlabeled", "void", "ignore")
BACKGROUND = "background"


@dataclass(eq=False)
class LabelledPhotographs:
    """`data`: N pictures. `masks`: the file of each. `names`: of the classes; a background, where there is one, is the first.
    `number`: (256,) int64, value in a mask -> position in `names`, or 255."""

    data: Dataset
    masks: list[Path]
    names: list[str]
    number: np.ndarray

    def __post_init__(self):
        self.name, self.images = self.data.name, self.data.images

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def fingerprint(self) -> str:
        """Content hash of pictures, masks and class names."""
        return hashlib.sha256(f"{self.data.fingerprint}\n{file_images(self.masks).digest()}\n{self.names}".encode()).hexdigest()

    def subset(self, rows: np.ndarray) -> LabelledPhotographs:
        """The chosen rows in the given order."""
        return LabelledPhotographs(self.data.subset(rows), [self.masks[i] for i in rows], self.names, self.number)

    def labels(self, i: int) -> np.ndarray:
        """(H, W) int64. Raises ClipkitError for a mask in colours, or of another size than its picture."""
        from PIL import Image

        with Image.open(self.masks[i]) as mask:
            if mask.mode not in ("L", "P"):
                raise ClipkitError(f"{self.masks[i]} is of mode {mask.mode}: save masks as 8-bit grey or palette, a class number a pixel")
            if mask.size != self.data.images[i].size:
                raise ClipkitError(f"{self.masks[i]} has {mask.size} pixels, its picture {self.data.images[i].size}; make them one size")
            return self.number[np.asarray(mask)]


def labelled_photographs(name: str, split: str, root: str | Path | None = None) -> LabelledPhotographs:
    """The part "val" or "test" of a folder, PATH or folder:PATH, with `classes.csv` or `categories.csv` (columns value, name).

    Folders val and test, each with `images/` and `masks/`, are taken as they are. Else a quarter of all pictures is "val", chosen
    by content, the rest "test". Classes called unlabelled or void, and values that the table does not have, are ignored.

    Raises ClipkitError: no such folder or table, a picture without a mask, fewer than two pictures.
    """
    folder = locate(name.removeprefix("folder:"), root)
    table = next((folder / file for file in TABLES if (folder / file).is_file()), None)
    places = [p for p in (folder, *(folder / d for d in folders(folder))) if (p / "images").is_dir() and (p / "masks").is_dir()]
    if table is None or not places:
        raise ClipkitError(
            f"{name} holds no labelled pixels: images/ and masks/, and {TABLES[0]} with the columns value and name, are wanted"
        )
    rows = [row for row in read_table(table, ("value", "name"))[1] if row["name"].casefold() not in NO_CLASS]
    rows.sort(key=lambda row: row["name"].casefold() != BACKGROUND)
    number = np.full(256, IGNORED)
    for position, row in enumerate(rows):
        if not (row["value"].isdigit() and int(row["value"]) < 256):
            raise ClipkitError(f"{table}, line {row.line}: {row['value']!r} is no value of an 8-bit mask (0 to 255)")
        number[int(row["value"])] = position
    parts = [p for p in places if split_of(p.name) == split] if {"val", "test"} <= {split_of(p.name) for p in places} else []
    files = [place / "images" / file for place in parts or places for file in pictures_in(place / "images")]
    masks = [path.parents[1] / "masks" / f"{path.stem}.png" for path in files]
    if bare := [path.name for path, mask in zip(files, masks, strict=True) if not mask.is_file()]:
        raise ClipkitError(f"{name}: {len(bare)} pictures have no mask, the first is {bare[0]}; put a .png of its name into masks/")
    if len(files) < 2:
        raise ClipkitError(f"{name}: {len(files)} labelled pictures are too few, one to tune on and one to test on are needed")
    data = Dataset(name, split, file_images(files), paths=[path.relative_to(folder).as_posix() for path in files])
    found = LabelledPhotographs(data, masks, [row["name"] for row in rows], number)
    order, n_val = np.argsort(data.images.each_digest(), kind="stable"), max(1, len(files) // 4)
    return found if parts else found.subset(np.sort(order[:n_val] if split == "val" else order[n_val:]))
