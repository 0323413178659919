"""Test images that were trained on: found by content, whatever the files are called."""

from __future__ import annotations

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.notices import notice


def shared_images(train: Dataset, test: Dataset) -> np.ndarray:
    """Positions in `test` of images that are in `train` too, the same to the last byte; (K,) int64, ascending.

    A copy that was saved anew or cropped is not found. Files are hashed once and remembered.
    """
    seen = set(train.images.each_digest()) - {"unreadable"}
    return np.flatnonzero([digest in seen for digest in test.images.each_digest()])


def warn_of_shared(train: Dataset, test: Dataset) -> None:
    """Say how many test images are training images, where some are: accuracy on those is memory."""
    shared = shared_images(train, test)
    if len(shared):
        rest = f", the first is {test.images.name(int(shared[0]))}"
        notice(f"{test.name}: {len(shared)} of {len(test)} test images are training images too{rest}; remove them from one of the two")
