"""Photographs with captions and boxes: `images`, `captions.csv` as for any folder, and `instances.csv` with a line for each thing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.folder import locate
from clipkit.datasets.loading import load_dataset
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError

TABLE = "instances.csv"
COLUMNS = ("filename", "category", "x", "y", "w", "h")


# What people write for a class of COCO whose name they do not use.
PEOPLE = (
    "man",
    "woman",
    "boy",
    "girl",
    "child",
    "kid",
    "baby",
    "lady",
    "guy",
    "skier",
    "surfer",
    "player",
    "people",
    "men",
    "women",
    "children",
)
OTHERS = {"person": PEOPLE, "dining table": ("table",), "tv": ("television",), "couch": ("sofa",), "airplane": ("plane", "jet")}
OTHERS |= {"cell phone": ("phone",), "motorcycle": ("motorbike",), "bicycle": ("bike",), "potted plant": ("plant",)}
OTHERS |= {"refrigerator": ("fridge",), "dog": ("puppy",), "cat": ("kitten",)}


@dataclass(eq=False)
class BoxedPhotographs:
    """`data`: N captioned pictures. For each: `categories`, the names of its M things, and `boxes` (M, 4) float32, x0 y0 x1 y1 in
    pixels of the picture."""

    data: Dataset
    categories: list[list[str]]
    boxes: list[np.ndarray]

    def __post_init__(self):
        self.name, self.images, self.captions = self.data.name, self.data.images, self.data.captions

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def fingerprint(self) -> str:
        """Content hash of pictures, captions and boxes."""
        said = [(names, box.tolist()) for names, box in zip(self.categories, self.boxes, strict=True)]
        return hashlib.sha256(f"{self.data.fingerprint}\n{said}".encode()).hexdigest()

    def subset(self, rows: np.ndarray) -> BoxedPhotographs:
        """The chosen rows in the given order."""
        return BoxedPhotographs(self.data.subset(rows), [self.categories[i] for i in rows], [self.boxes[i] for i in rows])


def boxed_photographs(name: str, split: str, root: str | Path | None = None) -> BoxedPhotographs:
    """The part "val" or "test" of a folder, PATH or folder:PATH, whose `instances.csv` has the columns filename, category, x, y, w, h
    (left, top, width and height in pixels; filename as in `captions.csv`, folders left out).

    A quarter of all pictures is "val", chosen by content, the rest "test". Pictures without a box keep none.

    Raises ClipkitError: no such folder, no captions, no table of boxes, a box that is none, fewer than two pictures.
    """
    folder = locate(name.removeprefix("folder:"), root)
    if not (folder / TABLE).is_file() or not (folder / "captions.csv").is_file():
        raise ClipkitError(
            f"{name} holds no captions with boxes: captions.csv (image, caption) and {TABLE} ({', '.join(COLUMNS)}) are wanted"
        )
    data = load_dataset(f"folder:{name.removeprefix('folder:')}", "test", root)
    if data.captions is None or len(data) < 2:
        raise ClipkitError(f"{name}: at least two captioned pictures are wanted, one to tune on and one to test on")
    found: dict[str, list[tuple[str, list[float]]]] = {PurePosixPath(path).name: [] for path in data.paths}
    for row in read_table(folder / TABLE, COLUMNS)[1]:
        try:
            x, y, w, h = (float(row[column]) for column in COLUMNS[2:])
        except ValueError:
            raise ClipkitError(f"{folder / TABLE}, line {row.line}: x, y, w and h are numbers of pixels; correct it") from None
        if not (row["category"] and w > 0 and h > 0):
            raise ClipkitError(f"{folder / TABLE}, line {row.line}: a box has a category, and w and h above 0; correct or remove it")
        if (file := PurePosixPath(row["filename"]).name) in found:
            found[file].append((row["category"].casefold(), [x, y, x + w, y + h]))
    things = [found[PurePosixPath(path).name] for path in data.paths]
    boxes = [np.array([box for _, box in some], dtype=np.float32).reshape(-1, 4) for some in things]
    whole = BoxedPhotographs(data, [[category for category, _ in some] for some in things], boxes)
    order, n_val = np.argsort(data.images.each_digest(), kind="stable"), max(1, len(data) // 4)
    return whole.subset(np.sort(order[:n_val] if split == "val" else order[n_val:]))


def photo_nouns(categories: Iterable[str]) -> dict[str, str]:
    """Names of classes, their plurals, and other words for those of COCO -> the class.

    >>> {form for form, c in photo_nouns(["dog"]).items() if c == "dog"} >= {"dog", "dogs", "puppy"}
    True
    """
    found = {form: c for c in sorted(categories) for form in (*OTHERS.get(c, ()), c)}
    return {plural: c for form, c in found.items() for plural in (f"{form}s", f"{form}es")} | found
