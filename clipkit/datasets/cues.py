"""Photographs with the shape of one class and the texture of another: a folder with images/ and labels.csv. For `holistic_robustness`."""

from __future__ import annotations

import csv

import torch
from torch import Tensor

from clipkit.datasets.base import Dataset
from clipkit.datasets.folder import locate
from clipkit.datasets.images import file_images
from clipkit.errors import ClipkitError


def cue_photographs(name: str) -> tuple[Dataset, Tensor, Tensor]:
    """Pictures of a folder with labels.csv (filename, shape, texture) and images/: the data set, and both cues (N,) as class numbers.

    Raises ClipkitError: no such table, a file that is missing.
    """
    folder = locate(name.partition(":")[2])
    table = folder / "labels.csv"
    if not table.is_file():
        raise ClipkitError(f"{name} has no labels.csv with columns filename, shape, texture")
    with table.open(newline="", encoding="utf-8") as lines:
        read = list(csv.DictReader(lines))
    files = [folder / "images" / row["filename"] for row in read]
    if lost := [file.name for file in files if not file.is_file()]:
        raise ClipkitError(f"{table} names {lost[0]}, which is not in {folder / 'images'}; {len(lost)} are missing in all")
    names = sorted({row[cue] for row in read for cue in ("shape", "texture")})
    shape, texture = (torch.tensor([names.index(row[cue]) for row in read]) for cue in ("shape", "texture"))
    data = Dataset(name, "test", file_images(files), shape.numpy(), names, paths=[file.name for file in files])
    return data, shape, texture
