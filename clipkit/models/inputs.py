"""What a caller hands to a model, checked before a tower sees it: texts that are texts, pictures that are pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from clipkit.datasets.images import to_rgb
from clipkit.errors import ClipkitError


def as_texts(texts: Iterable[str] | str) -> list[str]:
    """One text or many as a list of strings.

    Raises ClipkitError for something else, naming the first: None or NaN are the gaps of a table.

    >>> as_texts("a cat"), as_texts(("a cat", "a dog"))
    (['a cat'], ['a cat', 'a dog'])
    """
    if isinstance(texts, str):
        return [texts]
    try:
        texts = list(texts)
    except TypeError:
        raise ClipkitError(f'texts come as a list of strings, such as ["a red cat"], not as {type(texts).__name__}') from None
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ClipkitError(f"text {i} is {text!r} ({type(text).__name__}): texts come as a list of strings; fill or drop what is none")
    return texts


def as_picture(image: Any) -> Any:
    """A PIL picture of any mode, or a uint8 array (H, W, 3), as a PIL picture in RGB, upright (see `datasets.images.to_rgb`).

    Raises ClipkitError for a path, another kind of thing, or greys whose white cannot be told.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ClipkitError(f"a picture comes as a uint8 array (H, W, 3), got {image.dtype} {image.shape}")
        return Image.fromarray(image)
    if not isinstance(image, Image.Image):
        advice = f"; open it first: clipkit.datasets.file_images([{str(image)!r}])" if isinstance(image, (str, Path)) else ""
        raise ClipkitError(f"a picture is a PIL image or a uint8 array (H, W, 3), not {type(image).__name__}{advice}")
    try:
        return to_rgb(image)
    except ValueError as error:
        raise ClipkitError(f"a picture cannot be brought to RGB: {error}") from error


def check_many(images: Any) -> Any:
    """`images` if there can be many of them; ClipkitError for one picture, or for a path."""
    from PIL import Image

    if isinstance(images, Image.Image):
        raise ClipkitError("pictures come as a list; write [picture] for one")
    if isinstance(images, (str, Path)):
        raise ClipkitError(f"pictures come opened, not as a path; use clipkit.datasets.file_images([{str(images)!r}])")
    if not hasattr(images, "__getitem__") or not hasattr(images, "__len__"):
        raise ClipkitError(f"pictures come as a list, an array (N, H, W, 3) or a Dataset's .images, not as {type(images).__name__}")
    return images
