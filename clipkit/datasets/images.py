"""Sequences of images: rows of an array in memory, or things opened one at a time when they are asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class UnreadableImage(ClipkitError):
    """An image that cannot be opened or decoded; `path` names it and `reason` says what the decoder said."""

    def __init__(self, path: str, reason: object):
        self.path, self.reason = str(path), str(reason) or type(reason).__name__
        super().__init__(f"cannot read image {self.path}: {self.reason}. Replace or remove it.")

    def __reduce__(self):  # so that it survives the way back from a worker process
        return type(self), (self.path, self.reason)


class ImageSequence(Protocol):
    """What every loader hands to `Dataset`: images by position, their names, and a digest of their content."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> Image: ...
    def take(self, indices: np.ndarray) -> ImageSequence: ...
    def name(self, i: int) -> str: ...
    def digest(self) -> str: ...


def to_rgb(image: Image) -> Image:
    """Any PIL image as 8-bit RGB, the way a plain `convert("RGB")` does it where that is right.

    Two modes where it is not: 16-bit grey is scaled (convert would clip it to white), and a palette
    with transparency goes by RGBA (convert would warn). Alpha is dropped, as torchvision does.
    """
    from PIL import Image as pil

    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I;16"):
        image = pil.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def decode(source: str | Path | bytes, name: str) -> Image:
    """File or encoded bytes -> PIL RGB; raises `UnreadableImage` with `name` whatever goes wrong."""
    from PIL import Image as pil

    try:
        with pil.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return to_rgb(image)
    except Exception as error:  # decoders fail in many ways (OSError, SyntaxError, struct.error, DecompressionBombError ...)
        raise UnreadableImage(name, error) from error


class ArrayImages:
    """Images that are all in memory.

    Args:
        array: (N, H, W, 3) uint8.
        names: what error messages call each image; "image 17" when not given.
    """

    def __init__(self, array: np.ndarray, names: Sequence[str] | None = None):
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
            raise ClipkitError(f"images must be an array of shape (N, H, W, 3) and type uint8, not {array.shape} {array.dtype}")
        self.array = array
        self.names = names

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, i: int) -> Image:
        from PIL import Image as pil

        return pil.fromarray(self.array[i])

    def take(self, indices: np.ndarray) -> ArrayImages:
        return ArrayImages(self.array[indices], None if self.names is None else [self.names[i] for i in indices])

    def name(self, i: int) -> str:
        return f"image {i}" if self.names is None else self.names[i]

    def digest(self) -> str:
        head = f"{self.array.shape}".encode()
        return hashlib.sha256(head + np.ascontiguousarray(self.array).tobytes()).hexdigest()


class LazyImages:
    """Images opened one at a time: files, members of a tar, rows of a hub data set.

    Args:
        items: what `read` and `digest_of` understand (a path, a row number ...).
        read: item -> PIL RGB; raises `UnreadableImage`. Must be safe to call from several threads.
        digests: list of items -> hex digest of each one's content, in the same order.
        names: what error messages call each image.
    """

    array = None

    def __init__(self, items: Sequence, read: Callable, digests: Callable[[Sequence], list[str]], names: Sequence[str]):
        self.items, self.read, self.digests, self.names = items, read, digests, names

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Image:
        return self.read(self.items[i])

    def take(self, indices: np.ndarray) -> LazyImages:
        return LazyImages([self.items[i] for i in indices], self.read, self.digests, [self.names[i] for i in indices])

    def name(self, i: int) -> str:
        return self.names[i]

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.digests(self.items)).encode()).hexdigest()


def file_images(paths: Sequence[Path]) -> LazyImages:
    """Image files, decoded when asked for; their digest reads every file once (and remembers it, see `digests`)."""
    from clipkit.datasets.fingerprints import file_digests

    names = [str(p) for p in paths]
    return LazyImages(names, lambda path: decode(path, path), file_digests, names)
