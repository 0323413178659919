"""`digits`: the 1,797 handwritten digits inside scikit-learn, real scans of 8 x 8 pixels, enlarged."""

from __future__ import annotations

import numpy as np

from clipkit.datasets.base import Dataset, stratified_split
from clipkit.datasets.images import ArrayImages
from clipkit.datasets.templates import DIGITS
from clipkit.errors import ClipkitError, unknown

CLASSNAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FRACTIONS = (0.6, 0.2, 0.2)


def load(tail: str, split: str, root: object, seed: int, *, size: int = 32) -> Dataset:
    """White digits on black, (N, size, size, 3); the split is one fixed stratified 60/20/20 cut, whatever the seed.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    if not isinstance(size, int) or size < 8:
        raise ClipkitError(f"digits: size must be a whole number of at least 8, not {size!r}")
    raw = load_digits()
    parts = stratified_split(raw.target, FRACTIONS, seed=1797)
    if split not in parts:
        raise unknown("split of digits", split, parts)
    chosen = parts[split]
    small = np.round(raw.images[chosen] * (255 / 16)).astype(np.uint8)  # 0..16 in the source
    grey = np.stack([np.asarray(Image.fromarray(x).resize((size, size), Image.Resampling.BICUBIC)) for x in small])
    return Dataset(
        name="digits",
        split=split,
        images=ArrayImages(np.repeat(grey[..., None], 3, axis=-1), [f"digit {i}" for i in chosen]),
        labels=raw.target[chosen],
        classnames=list(CLASSNAMES),
        templates=list(DIGITS),
        captions=[[f"a handwritten {CLASSNAMES[label]}", f"the digit {label}"] for label in raw.target[chosen]],
    )
