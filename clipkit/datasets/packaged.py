"""What data sets that a package client brings have in common: where they lie, one fixed split by content, drawings on white."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipkit import paths
from clipkit.errors import ClipkitError, unknown

if TYPE_CHECKING:
    from PIL.Image import Image


def package_folder(name: str, parts: Sequence[str], command: str, root: str | Path | None, *others: Path) -> Path:
    """The first folder that holds all `parts`: `root` if it is given, else "packages" in the cache (CLIPKIT_CACHE), else `others`.

    Raises ClipkitError with `command`, its {} being the folder looked at first.
    """
    home = Path(root).expanduser().absolute() if root else paths.cache_path("packages").absolute()
    for place in [home] if root else [home, *others]:
        if all((place / part).exists() for part in parts):
            return place
    raise ClipkitError(f"{name} is not in {home}; get it with: {command.format(home)}")


def fixed_part(name: str, split: str, keys: Sequence[str], said: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(positions, labels, class names) of one part: what shares a key stands in one part, 7 keys in 10 in "train", 1 in "val".

    Args:
        keys: N texts that tell contents apart; their hash decides, so another edition of the package moves nothing.
        said: N class names. Classes without anything in "train" or in "test" are left out.
    """
    tenth = np.array([int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 10 for key in keys])
    parts = {"train": tenth < 7, "val": tenth == 7, "test": tenth > 7}
    if split not in parts:
        raise unknown(f"split of {name}", split, parts)
    there = np.array(said)
    classnames = sorted(set(there[parts["train"]]) & set(there[parts["test"]]))
    rows = np.flatnonzero(parts[split] & np.isin(there, classnames))
    return rows, np.searchsorted(classnames, there[rows]), [str(one) for one in classnames]


def on_white(image: Image) -> Image:
    """A drawing of any mode in RGB, on white where it is transparent."""
    from PIL import Image as pil

    drawing = image.convert("RGBA")
    page = pil.new("RGBA", drawing.size, "white")
    page.alpha_composite(drawing)
    return page.convert("RGB")
