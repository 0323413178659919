"""Features of single pictures, found in an extraction of another data set by what each picture holds.

So `clipkit features` of a whole folder serves every page that looks at a sample of it. Pictures of the world are left
out: no two data sets share any, but for those of one seed.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import Dataset
from clipkit.features.store import FeatureStore
from clipkit.paths import write_atomically

PICTURES = "pictures.npy"  # beside the manifest: (N, 16) uint8, a digest of each picture in the order of the data set


def note_pictures(store: FeatureStore, dataset: Dataset) -> None:
    """Keep the digests of the pictures beside a finished extraction. Raises OSError."""
    if dataset.scenes is None:
        content = io.BytesIO()
        np.save(content, _digests(dataset))
        write_atomically(store.folder / PICTURES, content.getvalue())


def find_pictures(store: FeatureStore, dataset: Dataset) -> tuple[Tensor, Tensor, list] | None:
    """Features (M, D), positions (M,) and [position, path, reason] of what was skipped, all from one finished extraction.

    None when no extraction of the same model has all the pictures. `store` is the data set's own, not finished yet.
    """
    if dataset.scenes is not None or not len(dataset):
        return None
    wanted = None
    for path in sorted(store.folder.parent.glob(f"*/{PICTURES}")):
        other = FeatureStore(path.parent)
        found = other.manifest()
        if found is None or not _same_model(found["identity"], store.identity) or found["identity"]["images"] < len(dataset):
            continue
        wanted = _digests(dataset) if wanted is None else wanted
        at = _places(path, wanted, found["identity"]["images"])
        if at is not None and other.finished():
            return _taken(other, at, dataset)
    return None


def _same_model(one: dict, other: dict) -> bool:
    return all(one[name] == other[name] for name in ("format", "model", "embed_dim", "image_size"))


def _digests(dataset: Dataset) -> np.ndarray:
    """(N, 16) uint8: of the content of each picture, and of its shape where it lies in memory as bare numbers."""
    shape = "" if dataset.array is None else str(dataset.array.shape[1:])
    each = [hashlib.sha256(f"{shape}{digest}".encode()).digest()[:16] for digest in dataset.images.each_digest()]
    return np.frombuffer(b"".join(each), np.uint8).reshape(-1, 16)


def _places(path: Path, wanted: np.ndarray, n: int) -> np.ndarray | None:
    """Where each wanted picture lies among the n of an extraction; None when one is not there, or the file is damaged."""
    try:
        there = np.load(path)
    except (OSError, ValueError):
        return None
    if there.shape != (n, 16) or there.dtype != np.uint8:
        return None
    place = {row.tobytes(): i for i, row in enumerate(there)}
    at = [place.get(row.tobytes(), -1) for row in wanted]
    return None if -1 in at else np.array(at)


def _taken(other: FeatureStore, at: np.ndarray, dataset: Dataset) -> tuple[Tensor, Tensor, list]:
    image, index = other.rows()
    row_of = torch.full((int(max(at.max(), index.max() if len(index) else 0)) + 1,), -1)
    row_of[index] = torch.arange(len(index))
    rows = row_of[torch.from_numpy(at)]
    reasons = {position: reason for position, _, reason in other.skipped()}
    skipped = [[i, dataset.images.name(i), reasons.get(int(at[i]), "")] for i in torch.nonzero(rows < 0).flatten().tolist()]
    kept = torch.nonzero(rows >= 0).flatten()
    return image[rows[kept]], kept, skipped
