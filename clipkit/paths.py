"""Where files live: what comes with the package (read only), and what is made (written).

Shipped are the registry, checkpoints, prompts, records and sweeps: `data/` of a checkout, `clipkit/_data` of an installation.
Made are caches, runs, the site and new records: in `data/` of a checkout, else in a folder of the user's. CLIPKIT_DATA comes
before both: its files win over the shipped ones of the same name, and what is made goes there.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from functools import cache
from importlib import resources
from pathlib import Path

from clipkit.errors import DISTRIBUTION, ClipkitError

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent


class NotWritable(ClipkitError, OSError):
    """A folder cannot be made or written to; the message says which settings name another."""

    def __init__(self, folder: Path, why: str):
        settings = "set CLIPKIT_DATA to a folder you may write to (CLIPKIT_CACHE for the caches alone)"
        super().__init__(f"cannot write in {folder} ({why}); {settings}")


@cache
def shipped_dir() -> Path:
    """Folder of what comes with the package; nothing is ever written there by an installation."""
    installed = Path(str(resources.files("clipkit"))) / "_data"
    return installed if installed.is_dir() else ROOT / "data"


def in_checkout() -> bool:
    """Whether the package lies in a checkout of the book's repository, its data beside it."""
    return shipped_dir() == ROOT / "data" and shipped_dir().is_dir()


def data_dir() -> Path:
    """Folder of what is made: CLIPKIT_DATA, else a checkout's `data/` when it can be written to, else the user's own."""
    if named := os.environ.get("CLIPKIT_DATA"):
        return Path(named)
    if in_checkout() and os.access(ROOT / "data", os.W_OK):
        return ROOT / "data"
    from platformdirs import user_data_path

    return user_data_path(DISTRIBUTION, appauthor=False)


def shipped(*parts: str) -> Path:
    """A shipped file or folder by its parts, `shipped("models", "nano.json")`: the one in `data_dir()`, if it is there, wins."""
    own = data_dir().joinpath(*parts)
    return own if own.exists() else shipped_dir().joinpath(*parts)


def shipped_files(folder: str, pattern: str = "*") -> list[Path]:
    """Files of one kind, by name: those in `data_dir()`, and the shipped ones whose name up to its first point is not among these.

    Files that belong together (weights, configuration, card) share that name, so they always come from one place.
    """
    own, came = ([path for path in (root / folder).glob(pattern) if path.is_file()] for root in (data_dir(), shipped_dir()))
    taken = {path.name.split(".")[0] for path in own}
    return sorted([*own, *(path for path in came if path.name.split(".")[0] not in taken)], key=lambda path: path.name)


def record_dirs() -> list[Path]:
    """Folders of records, those of one's own first; beside a registry of one's own the shipped ones do not count."""
    shared = shipped("papers.yml") == shipped_dir() / "papers.yml"
    return list(dict.fromkeys(root / "records" for root in (data_dir(), *([shipped_dir()] if shared else []))))


def writable(folder: Path) -> Path:
    """`folder`, made if need be; NotWritable when it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritable(folder, error.strerror or str(error)) from error
    if not os.access(folder, os.W_OK):
        raise NotWritable(folder, "read only")
    return folder


def cache_path(room: str) -> Path:
    """Where one kind of cached artefact lies, made or not; `CLIPKIT_CACHE` moves all of them."""
    return Path(os.environ.get("CLIPKIT_CACHE") or data_dir() / "cache") / room


def cache_dir(room: str) -> Path:
    """The same folder, made. Raises NotWritable."""
    return writable(cache_path(room))


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes (hex)."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """All of `data` (text as UTF-8) under `path`, or nothing: a temporary neighbour, then a rename. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # what the caller knows of
        raise
