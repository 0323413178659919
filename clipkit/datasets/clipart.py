"""`clipart`: the drawings of Debian's openclipart, with titles and keywords of those who drew them, as noisy as alt-text."""

from __future__ import annotations

import hashlib
import re
import struct
from collections import Counter
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from clipkit.datasets.base import Dataset
from clipkit.datasets.classnames import words
from clipkit.datasets.files import pictures
from clipkit.datasets.images import LazyImages, UnreadableImage
from clipkit.datasets.packaged import fixed_part, on_white, package_folder
from clipkit.datasets.templates import DRAWING
from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from PIL.Image import Image

SHARE = "usr/share/openclipart"
COMMAND = (
    "mkdir -p {0} && cd {0} && apt-get download openclipart-png openclipart-svg && for f in openclipart-*.deb; do dpkg-deb -x $f .; done"
)
SIDE = 512  # pixels; larger pictures are shrunk to it
MOST = 2**24  # pixels that are decoded: 64 MB; the largest drawing of the package has 37 times as many
SHARED = 3  # a title that more drawings have is that of a collection
_NO_CATEGORY = ("unsorted", "logos", "special")  # no class of things; and the logos are trade marks
_NO_KEYWORD = ("hash", "unsorted")  # left behind by a program
_DRAWN = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")  # the chunks of a PNG that make its pixels


class _Drawing(NamedTuple):
    path: Path
    digest: str
    title: str
    keywords: list[str]


def load(tail: str, split: str, root: str | Path | None, seed: int) -> Dataset:
    """Drawings on white, at most 512 pixels a side, labelled by their folder.

    Captions, as far as there are any: the title, unless more than three drawings share it; the file's name; the keywords.
    The split is by the file's name without its digits, so that a series ("arrow 1" ... "arrow 60") stands in one part. Files
    with the same pixels count once. Pictures of more than 2^24 pixels are not decoded and count as unreadable.

    Args:
        root: folder into which the packages were unpacked (see `packaged.package_folder`); without it /usr/share is looked at too.

    Raises ClipkitError with the command where they are missing.
    """
    home = package_folder("clipart", (f"{SHARE}/png", f"{SHARE}/svg"), COMMAND, root, Path("/"))
    folder = home / SHARE
    drawings = _drawings(folder)
    if not drawings:
        raise ClipkitError(f"clipart: no drawing in {folder / 'png'}; get them with: {COMMAND.format(home)}")
    titles = Counter(drawing.title.casefold() for drawing in drawings)
    series = [re.sub(r"[\W\d_]+", " ", drawing.path.stem).casefold() for drawing in drawings]
    inside = [drawing.path.relative_to(folder / "png") for drawing in drawings]
    rows, labels, classnames = fixed_part("clipart", split, series, [words(path.parts[0]) for path in inside])
    chosen = [drawings[i] for i in rows]
    places = [inside[i].as_posix() for i in rows]
    digest = {str(drawing.path): drawing.digest for drawing in chosen}
    captions = []
    for one in chosen:
        told = [one.title if titles[one.title.casefold()] <= SHARED else "", words(one.path.stem), ", ".join(one.keywords)]
        captions.append(list(dict.fromkeys(filter(None, told))))
    return Dataset(
        name="clipart",
        split=split,
        images=LazyImages(list(digest), _read, lambda items: [digest[item] for item in items], [f"clipart {place}" for place in places]),
        labels=labels,
        classnames=classnames,
        templates=list(DRAWING),
        captions=captions,
        paths=places,
    )


@lru_cache(2)
def _drawings(folder: Path) -> list[_Drawing]:
    """All that are no links and have a category, sorted by path, each look once; 7,000 take about 4 seconds."""
    found, seen = [], set()
    for path in pictures(folder / "png")[0]:
        category = path.relative_to(folder / "png").parts[0]
        if path.is_symlink() or category in (*_NO_CATEGORY, path.name):
            continue
        digest = _digest(path.read_bytes())
        if digest not in seen:
            title, keywords = _told((folder / "svg" / path.relative_to(folder / "png")).with_suffix(".svg"))
            found.append(_Drawing(path, digest, title, keywords))
        seen.add(digest)
    return found


def _digest(content: bytes) -> str:
    """Hash of what makes the pixels of a PNG, and of what `_read` makes of them; damaged files go by all their bytes."""
    total = hashlib.sha256(f"on white, {SIDE}".encode())
    at = 8  # a signature, then chunks: length, kind, content, checksum
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind in _DRAWN:
            total.update(content[at + 8 : at + 8 + length])
        at += 12 + length
    if at != len(content):
        total.update(content)
    return total.hexdigest()


def _told(svg: Path) -> tuple[str, list[str]]:
    """(title, keywords) that an SVG says of itself in its metadata; what is missing or cannot be parsed is empty."""
    try:
        for _, element in ElementTree.iterparse(svg):
            if element.tag.endswith("}Work"):
                title = words(unescape(element.findtext("{*}title") or ""))
                keywords = (words(unescape(item.text or "")) for item in element.iterfind("{*}subject//{*}li"))
                return title, [word for word in dict.fromkeys(keywords) if word and word not in _NO_KEYWORD]
    except (OSError, ElementTree.ParseError):
        pass
    return "", []


def _read(path: str) -> Image:
    from PIL import Image as pil

    try:
        with open(path, "rb") as file:
            width, height = struct.unpack(">II", file.read(24)[16:])
            if width * height > MOST:
                raise ValueError(f"{width * height / 1e6:.0f} megapixels, more than the {MOST / 1e6:.0f} that are decoded")
            file.seek(0)
            with pil.open(file, formats=["PNG"]) as image:
                drawing = on_white(image)
    except Exception as error:  # as `images.decode`: decoders fail in many ways
        raise UnreadableImage(path, error) from error
    drawing.thumbnail((SIDE, SIDE))
    return drawing
