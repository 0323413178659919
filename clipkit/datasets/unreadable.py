"""Images that cannot be decoded, found before a page runs into them; each content is decoded once and the outcome remembered."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from clipkit import paths
from clipkit.datasets.base import Dataset
from clipkit.datasets.images import LazyImages, UnreadableImage
from clipkit.errors import ClipkitError
from clipkit.notices import notice
from clipkit.paths import write_atomically

_DELAY = 2  # seconds until a bar appears


def without_unreadable(dataset: Dataset, order: Sequence[int], n: int) -> Dataset:
    """The first n rows of `order` that can be read, ascending; says how many could not and names the first.

    Rows are looked at as far as needed: those of n, then one more for each that cannot be read.

    Raises ClipkitError when none can be read.
    """
    bad: dict[int, str] = {}
    kept: list[int] = []
    done = 0
    while len(kept) < n and done < len(order):
        part = [int(i) for i in order[done : done + n - len(kept)]]
        done += len(part)
        found = unreadable(dataset.images.take(part))
        bad |= {part[k]: reason for k, reason in found.items()}
        kept += [i for k, i in enumerate(part) if k not in found]
    if bad:
        first = min(bad)
        said = f"{dataset.name}: {len(bad)} of {done} images looked at cannot be read"
        if not kept:
            raise ClipkitError(f"{said}, so none is left; the first is {dataset.images.name(first)}: {bad[first]}")
        notice(f"{said} and {'is' if len(bad) == 1 else 'are'} left out; the first is {dataset.images.name(first)}: {bad[first]}")
    return dataset.subset(sorted(kept)) if len(kept) < len(dataset) else dataset


def unreadable(images) -> dict[int, str]:
    """Position -> what the decoder said, of every image that cannot be decoded. Images in memory always can."""
    if not isinstance(images, LazyImages) or not len(images):
        return {}
    memory = _memory(images)
    try:
        return {int(i): reason for i, reason in json.loads(memory.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        pass
    from tqdm.auto import tqdm

    def look(i: int) -> str | None:
        try:
            images[i]
        except UnreadableImage as error:
            return error.reason
        return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        told = tqdm(pool.map(look, range(len(images))), desc="reading images", total=len(images), unit="image", delay=_DELAY, leave=False)
        found = {i: reason for i, reason in enumerate(told) if reason is not None}
    try:
        write_atomically(memory, json.dumps(sorted(found.items())).encode())
    except OSError as error:
        logging.getLogger(__name__).debug("what could be read is not remembered: %s", error)
    return found


def _memory(images: LazyImages):
    """Where the outcome for exactly these contents is kept; another Pillow may read more, or less."""
    import PIL

    key = hashlib.sha256(f"{PIL.__version__}\n{images.digest()}".encode()).hexdigest()[:32]
    return paths.cache_dir("readable") / f"{key}.json"
