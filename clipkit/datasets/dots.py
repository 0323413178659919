"""Pictures with a dot for every object: crowds of the world, or a folder of pictures, in it or in its `images/`, and one table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.files import pictures_in
from clipkit.datasets.folder import locate
from clipkit.datasets.images import file_images
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError, unknown
from clipkit.notices import notice

# Table -> the columns that say where an object is; beside them `filename`, and perhaps `kind` or `category`.
TABLES = {"dots.csv": ("x", "y"), "boxes.csv": ("xmin", "ymin", "xmax", "ymax"), "instances.csv": ("x", "y", "w", "h")}
FEWEST = 8
EDGE = 0.06  # share of a square's side


@dataclass(eq=False)
class DottedPictures:
    """`pictures`: (N, H, W, 3) uint8, all of one size. `dots`: N arrays (M, 2) float32, x and y in pixels of it."""

    pictures: np.ndarray
    dots: list[np.ndarray]

    @property
    def fingerprint(self) -> str:
        """Content hash of pictures and dots."""
        return _digest(hashlib.sha256(self.pictures.tobytes()).hexdigest(), self.dots)


@dataclass(eq=False)
class DottedPhotographs:
    """`data`: N pictures. `dots`: N arrays (M, 2) float32, x and y of each object's middle, in pixels of its picture."""

    data: Dataset
    dots: list[np.ndarray]

    def __post_init__(self):
        self.name, self.images = self.data.name, self.data.images

    def __len__(self) -> int:
        return len(self.dots)

    @property
    def fingerprint(self) -> str:
        """Content hash of pictures and dots."""
        return _digest(self.data.fingerprint, self.dots)

    def subset(self, rows: np.ndarray) -> DottedPhotographs:
        """The chosen rows in the given order."""
        return DottedPhotographs(self.data.subset(rows), [self.dots[i] for i in rows])

    def at(self, side: int, multiple: int) -> DottedPictures:
        """All brought to the shape of the first: the shorter side `side` pixels, both a multiple of `multiple`; the dots move along."""
        first = np.array(self.images[0].size)
        size = np.maximum(1, (first * side / first.min() / multiple).round()).astype(int) * multiple  # width, height
        found = [(self.images[i], points) for i, points in enumerate(self.dots)]
        pictures = [np.asarray(image.resize(tuple(size.tolist()), 2)) for image, _ in found]  # bilinear
        return DottedPictures(np.stack(pictures), [(points * (size / image.size)).astype(np.float32) for image, points in found])

    def squares(self, numbers: Sequence[int], each: int, seed: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """(pictures (n, side, side, 3) uint8, dots in them (n,)): squares of any size with so many dots, `each` of every number.

        No dot is within EDGE of a square's side of its border, so that few things are cut in two.
        Raises ClipkitError where too few are found.
        """
        rng, found = np.random.default_rng([seed, 47]), {n: [] for n in numbers}
        images = [self.images[i].convert("RGB") for i in range(len(self))]
        for _ in range(200 * len(found) * each):
            i = int(rng.integers(len(self)))
            image, dots = images[i], self.dots[i]
            size = rng.uniform(0.2, 1.0) * min(image.size)
            corner = rng.random(2) * (np.array(image.size) - size)
            away = np.minimum(dots - corner, corner + size - dots).min(1) / size  # positive inside
            n = int((away > 0).sum())
            if n in found and len(found[n]) < each and (abs(away) > EDGE).all():
                box = tuple(float(v) for v in (*corner, *(corner + size)))
                found[n].append(np.asarray(image.resize((side, side), 3, box=box)))
            if min(map(len, found.values())) == each:
                return np.stack([picture for n in numbers for picture in found[n]]), np.repeat(np.array(numbers), each)
        few = min(found, key=lambda n: len(found[n]))
        raise ClipkitError(f"{self.name}: {len(found[few])} squares with {few} things found, {each} asked; ask for fewer")

    def halves(self) -> tuple[DottedPhotographs, DottedPhotographs]:
        """One half to train on and one to test on, by the order of the pictures' hashes: the same for the same files."""
        order = np.argsort(self.images.each_digest(), kind="stable")
        first = len(order) // 2
        return self.subset(np.sort(order[:first])), self.subset(np.sort(order[first:]))


def dotted_scenes(split: str, n: int, seed: int, count: tuple[int, int] = (0, 80), side: int = 128) -> DottedPictures:
    """n crowds of the world that bunch up (`world.gatherings`), in flat drawing, half of them all of one kind of thing."""
    from clipkit.datasets.world import stream
    from clipkit.world import WorldSpec, gatherings, render

    scenes = gatherings(WorldSpec(styles=("flat",), same_category=0.5), n, stream(f"crowd {split}", seed), count)
    dots = [side * np.stack([x[there], y[there]], 1) for x, y, there in zip(scenes.x, scenes.y, scenes.category >= 0, strict=True)]
    return DottedPictures(render(scenes, side).images, [points.astype(np.float32) for points in dots])


def dotted_photographs(name: str, kind: str | None = None, root: str | Path | None = None) -> DottedPhotographs:
    """A folder, PATH or folder:PATH, with pictures and one of `dots.csv` (filename, x, y), `boxes.csv` (filename, xmin, ymin, xmax, ymax)
    and `instances.csv` (filename, x, y, w, h); a picture without a line has no objects, and that is said.

    Args: kind: count only the objects whose column `kind` or `category` says so.
    Raises ClipkitError: no such folder or table, a line for no picture, a cell that is no number, an object outside its picture,
    an unknown kind, fewer than eight pictures.
    """
    folder = locate(name.removeprefix("folder:"), root)
    table = next((folder / file for file in TABLES if (folder / file).is_file()), None)
    if table is None:
        told = " or ".join(f"{file} (filename, {', '.join(columns)})" for file, columns in TABLES.items())
        raise ClipkitError(f"{name} has no table of objects: {told} is wanted, one line for each object")
    place = folder / "images" if (folder / "images").is_dir() else folder
    files, wanted = pictures_in(place), TABLES[table.name]
    if len(files) < FEWEST:
        raise ClipkitError(f"{name}: {len(files)} pictures are too few, half are for training and half for testing; at least {FEWEST}")
    columns, rows = read_table(table, ("filename", *wanted))
    sort = next((column for column in ("kind", "category") if column in columns), None)
    if kind is not None:
        kinds = sorted({row[sort] for row in rows}) if sort else []
        if kind not in kinds:
            raise unknown(f"kind of object in {table}", kind, kinds)
        rows = [row for row in rows if row[sort] == kind]
    found: dict[str, list] = {file: [] for file in files}
    for row in rows:
        if (file := Path(row["filename"]).name) not in found:
            raise ClipkitError(f"{table}, line {row.line}: there is no picture {row['filename']!r} in {place}")
        try:
            found[file].append([float(row[column]) for column in wanted])
        except ValueError:
            raise ClipkitError(f"{table}, line {row.line}: {', '.join(wanted)} must be numbers of pixels") from None
    if empty := sum(not boxes for boxes in found.values()):
        notice(f"{name}: {empty} of {len(files)} pictures have no line in {table.name} and count as empty")
    images = file_images([place / file for file in files])
    data = Dataset(name, "all", images, paths=[str((place / file).relative_to(folder).as_posix()) for file in files])
    sized = "w" in wanted
    return DottedPhotographs(data, [_middles(found[file], images[i].size, sized, f"{table}, {file}") for i, file in enumerate(files)])


def _digest(pictures: str, dots: list[np.ndarray]) -> str:
    return hashlib.sha256(pictures.encode() + b"".join(points.tobytes() + b";" for points in dots)).hexdigest()


def _middles(objects: list, size: tuple[int, int], sized: bool, where: str) -> np.ndarray:
    """(M, 2) float32, at most at the picture's edge; a pixel beyond it is a rounding, more is a mistake. `sized`: the last two are w, h."""
    if not objects:
        return np.zeros((0, 2), np.float32)
    rows = np.array(objects, np.float32)  # (M, columns)
    middle = rows if rows.shape[1] == 2 else rows[:, :2] + rows[:, 2:] / 2 if sized else (rows[:, :2] + rows[:, 2:]) / 2
    if not np.isfinite(middle).all() or (middle < -1).any() or (middle > np.array(size) + 1).any():
        raise ClipkitError(
            f"{where}: an object lies outside its picture of {size[0]} × {size[1]} pixels; x counts from the left, y from above"
        )
    return middle.clip(0, size).astype(np.float32)
