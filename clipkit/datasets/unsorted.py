"""`unsorted:PATH`: all pictures anywhere below a folder, without classes and captions."""

from __future__ import annotations

from pathlib import Path

from clipkit.datasets.base import Dataset, cut
from clipkit.datasets.files import pictures, say_left_out
from clipkit.datasets.folder import locate
from clipkit.datasets.images import file_images
from clipkit.errors import ClipkitError


def load(tail: str, split: str, root: str | Path | None, seed: int) -> Dataset:
    """Everything is "test". Raises ClipkitError for a folder that is not there or has no picture."""
    place, name = locate(tail, root), f"unsorted:{tail}"
    files, other = pictures(place)
    if not files:
        raise ClipkitError(f"{name}: no picture anywhere below {place}")
    say_left_out(name, other)
    dataset = Dataset(name, "test", file_images(files), paths=[path.relative_to(place).as_posix() for path in files])
    return cut(dataset, split, None, seed)
