"""Where a relative path is looked for."""

from __future__ import annotations

from pathlib import Path

from clipkit import paths


def candidates(path: str | Path, root: str | Path | None = None) -> list[Path]:
    """Places a path may mean: itself when absolute, else below `root`; without `root` below the current folder, then the checkout.

    The checkout comes in because notebooks are run from other folders than the one the user typed in.
    """
    path = Path(path).expanduser()
    if path.is_absolute():
        return [path]
    return [base / path for base in ([Path(root)] if root else [Path.cwd(), paths.ROOT])]


def find(path: str | Path, root: str | Path | None = None) -> Path:
    """The first candidate that exists, or the first of all when none does."""
    places = candidates(path, root)
    return next((p for p in places if p.exists()), places[0])
