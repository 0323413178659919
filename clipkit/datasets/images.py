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

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpx", ".png", ".apng", ".gif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".dib"}
    | {".tga", ".ppm", ".pgm", ".pbm", ".pnm"}
)


class UnreadableImage(ClipkitError):
    """An image that cannot be opened or decoded; `path` names it and `reason` says what the decoder said."""

    def __init__(self, path: str, reason: object):
        self.path, self.reason = str(path), str(reason) or type(reason).__name__
        super().__init__(f"cannot read image {self.path}: {self.reason}. Replace or remove it.")

    def __reduce__(self):  # so that it survives the way back from a worker process
        return type(self), (self.path, self.reason)


class ImageSequence(Protocol):
    """What every loader hands to `Dataset`: images by position, their names, digests of the content of each and of all."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> Image: ...
    def take(self, indices: np.ndarray) -> ImageSequence: ...
    def name(self, i: int) -> str: ...
    def each_digest(self) -> list[str]: ...
    def digest(self) -> str: ...


def to_rgb(image: Image) -> Image:
    """Any PIL image as 8-bit RGB, upright: a plain `convert("RGB")` where that is right.

    Where it is not: a photograph whose EXIF says that the camera was turned is turned back; deep greys are scaled
    (convert would clip them to white, or cut fractions to black); a palette with transparency goes by RGBA (convert
    would warn). Alpha is dropped, as torchvision does.

    Raises ValueError for greys whose white cannot be told (see `_eight_bits`).
    """
    image = _upright(image)
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    elif image.mode in ("P", "PA") and (image.mode == "PA" or "transparency" in image.info):
        image = image.convert("RGBA")
    return image.convert("RGB")


def _upright(image: Image) -> Image:
    """The image turned as its EXIF orientation says; itself where there is none, or one that cannot be read."""
    from PIL import ImageOps

    try:
        if image.getexif().get(0x0112, 1) == 1:
            return image
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        return image
    return ImageOps.exif_transpose(image)


def _eight_bits(image: Image) -> Image:
    """Grey of 16 bits, 32-bit integers or floats as 8-bit grey.

    16 bits are scaled as they are. Integers and floats do not say what white is: values in 0..1 (floats), 0..255 or
    0..65535 are taken for what they look like. Raises ValueError for any others.
    """
    from PIL import Image as pil

    grey = np.asarray(image)
    if image.mode.startswith("I;16"):
        return pil.fromarray((grey >> 8).astype(np.uint8))
    low, high = (float(grey.min()), float(grey.max())) if grey.size else (0.0, 0.0)
    if not (low >= 0 and high <= 65535):  # NaN too
        raise ValueError(
            f"grey values from {low:g} to {high:g} in a picture of mode {image.mode}: nobody knows which is white; save it with 8 bits"
        )
    white = 1.0 if image.mode == "F" and high <= 1 else 255.0 if high <= 255 else 65535.0
    return pil.fromarray(np.round(grey * (255.0 / white)).astype(np.uint8))


def decode(source: str | Path | bytes, name: str) -> Image:
    """File or encoded bytes -> PIL RGB; raises `UnreadableImage` with `name` whatever goes wrong."""
    from PIL import Image as pil

    try:
        with pil.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return to_rgb(image)
    except pil.UnidentifiedImageError as error:  # its message repeats the path, or an address in memory
        raise UnreadableImage(name, "cannot identify the image file") from error
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
        return type(self)(self.array[indices], None if self.names is None else [self.names[i] for i in indices])

    def name(self, i: int) -> str:
        return f"image {i}" if self.names is None else self.names[i]

    def each_digest(self) -> list[str]:
        return [hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in self.array]

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
        self._each: list[str] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Image:
        return self.read(self.items[i])

    def take(self, indices: np.ndarray) -> LazyImages:
        taken = LazyImages([self.items[i] for i in indices], self.read, self.digests, [self.names[i] for i in indices])
        taken._each = None if self._each is None else [self._each[i] for i in indices]
        return taken

    def name(self, i: int) -> str:
        return self.names[i]

    def each_digest(self) -> list[str]:
        if self._each is None:
            self._each = self.digests(self.items)
        return self._each

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.each_digest()).encode()).hexdigest()


def file_images(paths: Sequence[Path]) -> LazyImages:
    """Image files, decoded when asked for; their digest reads every file once (and remembers it, see `digests`)."""
    from clipkit.datasets.fingerprints import file_digests

    names = [str(p) for p in paths]
    return LazyImages(names, lambda path: decode(path, path), file_digests, names)
