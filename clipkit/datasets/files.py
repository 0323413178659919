"""Which files of a folder are pictures, and what lies beside them that is nobody's: litter of systems, hidden folders."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from clipkit.datasets.images import SUFFIXES
from clipkit.notices import notice

# What Windows, macOS and network storages leave behind; hidden names (.DS_Store, ._x.jpg, .thumbs) need no list.
_LITTER = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
# Files that nobody takes for a picture: notes, tables, settings, code.
_BESIDE = frozenset(
    {".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yml", ".yaml", ".html", ".log", ".py", ".ipynb", ".db", ".ini"}
)


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is left out without a word: hidden, or put there by a system and not by a person.

    >>> [is_litter(name) for name in ("._x.jpg", "__MACOSX", "Thumbs.db", "@eaDir", "daisy")]
    [True, True, True, True, False]
    """
    return name.startswith((".", "__")) or name.casefold() in _LITTER


def folders(place: Path) -> list[str]:
    """Names of the folders in `place`, sorted, without litter."""
    return sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not is_litter(entry.name))


def pictures_in(place: Path) -> list[str]:
    """Names of the pictures in `place` itself, sorted."""
    names = (entry.name for entry in os.scandir(place) if entry.is_file() and not is_litter(entry.name))
    return sorted(name for name in names if Path(name).suffix.lower() in SUFFIXES)


def pictures(place: Path) -> tuple[list[Path], list[Path]]:
    """(pictures, other files that could be some) anywhere below `place`, sorted, without litter and without notes and tables."""
    found: list[Path] = []
    for folder, below, names in os.walk(place):
        below[:] = [name for name in below if not is_litter(name)]
        found += [Path(folder, name) for name in names if not is_litter(name)]
    read = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    other = sorted(path for path in found if path.suffix.lower() not in SUFFIXES | _BESIDE)
    return read, other


def say_left_out(source: str, other: list[Path]) -> None:
    """Count the files whose suffix is not read, by suffix, and name the first."""
    if other:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in other)
        told = ", ".join(f"{n} with {kind}" if kind == "no suffix" else f"{n} {kind}" for kind, n in kinds.most_common())
        notice(f"{source}: {len(other)} files are not read as images ({told}), the first is {other[0].name}; convert them to .jpg or .png")
