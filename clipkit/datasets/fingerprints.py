"""Content hashes of files, remembered by size and time of change so that a second look costs a `stat` only."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clipkit import paths
from clipkit.paths import hash_file, write_atomically

_SETTLED = 2.0  # seconds; a file changed more recently than this may change again within one tick of its clock


def file_digests(files: Sequence[str]) -> list[str]:
    """Content hash of each file, in order; a file that cannot be read gets the digest "unreadable".

    What was read is remembered in the cache folder, one small JSON for each folder of files, keyed by
    size and modification time. A file changed in the last two seconds is not remembered: a second edit
    could leave both unchanged.
    """
    memory_of: dict[str, dict[str, list]] = {}
    known: list[str | None] = []
    stamps: list[tuple[int, int] | None] = []
    for file in files:
        folder, name = os.path.split(os.path.abspath(file))
        if folder not in memory_of:
            memory_of[folder] = _recall(folder)
        try:
            status = os.stat(file)
            stamp = (status.st_size, status.st_mtime_ns)
        except OSError:
            stamp = None
        stamps.append(stamp)
        entry = memory_of[folder].get(name)
        known.append(entry[2] if entry and stamp and tuple(entry[:2]) == stamp else None)

    missing = [i for i, digest in enumerate(known) if digest is None]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing and reading both release the interpreter lock
        for i, digest in zip(missing, pool.map(_hash_or_say, [files[i] for i in missing]), strict=True):
            known[i] = digest

    changed = set()
    for i in missing:
        if stamps[i] is not None and known[i] != "unreadable" and time.time() - stamps[i][1] / 1e9 > _SETTLED:
            folder, name = os.path.split(os.path.abspath(files[i]))
            memory_of[folder][name] = [*stamps[i], known[i]]
            changed.add(folder)
    for folder in changed:
        _remember(folder, memory_of[folder])
    return known  # type: ignore[return-value]


def _hash_or_say(file: str) -> str:
    try:
        return hash_file(file)
    except OSError:
        return "unreadable"


def _memory(folder: str) -> Path:
    return paths.cache_dir("digests") / f"{hashlib.sha256(folder.encode()).hexdigest()[:24]}.json"


def _recall(folder: str) -> dict[str, list]:
    try:
        stored = json.loads(_memory(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _remember(folder: str, entries: dict[str, list]) -> None:
    try:
        write_atomically(_memory(folder), json.dumps(entries).encode())
    except OSError as error:  # a full or read-only disk costs time, never the result
        logging.getLogger(__name__).debug("digests of %s not remembered: %s", folder, error)
