"""`photos`: the real photographs that scikit-image and scikit-learn carry inside their packages. Nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.images import file_images
from clipkit.datasets.templates import PHOTO
from clipkit.errors import DISTRIBUTION, ClipkitError, MissingExtra

FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}  # where each package keeps them


def load(tail: str, split: str, root: object, seed: int) -> Dataset:
    """Seventeen photographs, each its own class, with a plain caption and four others of ours. The only split is "test".

    Files are opened where they lie: `skimage.data`'s own functions could ask the network for one that is missing.
    Raises MissingExtra (photos) without scikit-image.
    """
    if split != "test":
        raise ClipkitError(
            f"photos has no split {split!r}: its 17 photographs, each a class of its own, are all 'test'; where pictures to train on are "
            "needed, take digits, cifar10 or folder:PATH with train and test"
        )
    folders = {}
    for package, below in FOLDERS.items():
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise MissingExtra("scikit-image" if package == "skimage" else "scikit-learn", "photos")
        folders[package] = Path(found.origin).parent / below
    entries = json.loads(Path(__file__).with_name("photos.json").read_text(encoding="utf-8"))
    files = [folders[entry["package"]] / entry["file"] for entry in entries]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        again = f"reinstall with: pip install '{DISTRIBUTION}[photos]'"
        raise ClipkitError(f"photos: {', '.join(absent)} not in the installed package; {again}")
    return Dataset(
        name="photos",
        split="test",
        images=file_images(files),
        labels=np.arange(len(files)),
        classnames=[entry["classname"] for entry in entries],
        templates=list(PHOTO),
        captions=[entry["captions"] for entry in entries],
        paths=[file.name for file in files],
    )
