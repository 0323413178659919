"""Where files live: the checkout's `data/` folder, or one the user names with CLIPKIT_DATA."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent


def data_dir() -> Path:
    """Folder with the registry, models, records, runs and caches.

    `CLIPKIT_DATA` wins; else the checkout's own `data/`.
    """
    return Path(os.environ.get("CLIPKIT_DATA", ROOT / "data"))


def cache_dir(room: str) -> Path:
    """Folder for one kind of cached artefact (created); `CLIPKIT_CACHE` moves all of them."""
    path = Path(os.environ.get("CLIPKIT_CACHE", data_dir() / "cache")) / room
    path.mkdir(parents=True, exist_ok=True)
    return path
