"""`mine:DATA?names=…`: a data set of one's own as its owner says it is: class names, templates, columns, splits, shares.

Notebooks get such a name from `lab.start` (`-p dataset folder:flowers -p names names.txt`); in Python, `mine_of(...)` writes it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import numpy as np

from clipkit import paths
from clipkit.datasets import folder
from clipkit.datasets.base import Dataset
from clipkit.datasets.files import folders
from clipkit.datasets.loading import load_dataset
from clipkit.datasets.local_paths import find
from clipkit.datasets.splits import SPLITS, split_of
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError, unknown
from clipkit.notices import notice

SHARES = (0.6, 0.2, 0.2)  # of train, val and test, where a folder says nothing of splits
COLUMNS = ("table", "image", "caption", "label", "split")
WHOLE = (0.0, 0.0, 1.0)  # everything is "test"


def mine_of(dataset: str, **settings: str | None) -> str:
    """The name under which `load_dataset` gives `dataset` with these settings; `dataset` itself without any.

    `names`, `templates`: text files, a class name or a template a line (`class = name` renames some classes). `splits`:
    "train=FOLDER,test=FOLDER" (folders, or cells of the column split). `columns`: "image=FILE,caption=TEXT", how the table
    calls its columns; `table=FILE.csv` how it is called itself. `fractions`: "0.6,0.2,0.2" for train, val, test.
    """
    given = {name: str(value) for name, value in settings.items() if value is not None}
    given |= {name: str(find(given[name]).resolve()) for name in ("names", "templates") if name in given}
    return f"mine:{dataset}?{urlencode(given, safe='/,:')}" if given else dataset


def load(tail: str, split: str, root: str | Path | None, seed: int, **options) -> Dataset:
    """DATA with the settings behind its question mark (see `mine_of`); the options are those of its own loader.

    Raises ClipkitError: a setting for data that cannot have it, a file or folder that is missing, names of another number than
    classes, a line that is no template, shares that do not add up to 1.
    """
    inner, _, query = tail.rpartition("?")
    given, split = dict(parse_qsl(query)), split_of(split) or split
    if set(given) & {"splits", "columns", "fractions"}:
        if not inner.startswith("folder:") or options:
            raise ClipkitError(f"splits, columns and fractions are for folder:PATH, not for {inner}; leave them out")
        dataset = _folder(inner, root, split, pairs(given.get("columns"), "columns", COLUMNS), given)
    else:
        dataset = load_dataset(inner, split, root, readable=False, **options)
    if "names" in given:
        dataset = replace(dataset, classnames=_renamed(dataset, read_lines(given["names"])))
    return replace(dataset, templates=read_lines(given["templates"])) if "templates" in given else dataset


def read_lines(path: str | Path) -> list[str]:
    """Lines of a text file in UTF-8, trimmed, without empty ones. Raises ClipkitError for no such file, no line, another encoding."""
    try:
        lines = [line for raw in find(path).read_text(encoding="utf-8-sig").splitlines() if (line := raw.strip())]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not in UTF-8"
        raise ClipkitError(f"{path} cannot be read ({why}); give a text file in UTF-8, one entry a line") from error
    if not lines:
        raise ClipkitError(f"{path} is empty; write one entry a line")
    return lines


def pairs(text: str | None, what: str, known: tuple[str, ...]) -> dict[str, str]:
    """ "a=x,b=y" as a dictionary. Raises ClipkitError for another form and for a name that is not known.

    >>> pairs("train=Tag, test=Nacht", "splits", SPLITS)
    {'train': 'Tag', 'test': 'Nacht'}
    """
    found = {}
    for part in text.split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ClipkitError(f"{what}: {part!r} is not NAME=VALUE; write for instance {what} {known[0]}=…,{known[1]}=…")
        if name not in known:
            raise unknown(f"name in {what}", name, known)
        found[name] = value
    return found


def has_splits(dataset: str) -> bool:
    """Whether a `folder:PATH` tells training from test pictures, by folders or by a column split; other data count as if they do."""
    if not dataset.startswith("folder:"):
        return True
    try:
        place = folder.locate(dataset.removeprefix("folder:"))
    except ClipkitError:  # the loader says it, in its turn
        return True
    if (table := place / folder.TABLE).is_file():
        return "split" in read_table(table, ("image",))[0]
    return any(split_of(child) for child in folders(place))


def split_by_content(dataset: Dataset, split: str, shares: tuple[float, ...]) -> Dataset:
    """One part of a data set that comes in one piece, cut class by class in the order of the pictures' hashes.

    So it is the same wherever the files lie and whatever they are called, and copies of a picture stay in one part.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ClipkitError(f"fractions: {shares} are not three shares (train, val, test) that add up to 1; write 0.6,0.2,0.2")
    if split not in SPLITS:
        raise unknown(f"split of {dataset.name}", split, SPLITS)
    digests = np.array(dataset.images.each_digest())
    labels = np.zeros(len(dataset), np.int64) if dataset.labels is None else dataset.labels
    part = np.zeros(len(dataset), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        different, which = np.unique(digests[own], return_inverse=True)
        ends = np.round(np.cumsum(shares) * len(different))
        part[own] = np.searchsorted(ends, which, side="right")
    if not (part == SPLITS.index(split)).any():
        raise ClipkitError(f"{dataset.name}: fractions {shares} leave no picture for {split!r}")
    return replace(dataset.subset(part == SPLITS.index(split)), split=split)


def _folder(inner: str, root, split: str, columns: dict[str, str], given: Mapping[str, str]) -> Dataset:
    place = folder.locate(inner.removeprefix("folder:"), root)
    words = pairs(given.get("splits"), "splits", SPLITS)
    if words and split not in words:
        raise unknown(f"split of {inner} (splits={given['splits']})", split, words)
    table = place / columns.pop("table", folder.TABLE)
    if columns or table.name != folder.TABLE or (words and table.is_file()):
        dataset = _table(table, columns, words, None if "fractions" in given else split)
    elif words:
        dataset = _parts(place, words, split)
    else:
        if any(split_of(child) for child in folders(place)) and not (place / folder.TABLE).is_file():
            raise ClipkitError(f"{inner} has folders for its splits already; leave out fractions")
        dataset = folder.load(str(place), "test", None, 0, fractions=WHOLE)
    dataset = replace(dataset, name=inner, split=split)
    if "fractions" not in given:
        return dataset
    try:
        shares = tuple(float(share) for share in given["fractions"].strip("()[] ").split(","))
    except ValueError:
        shares = ()
    return split_by_content(dataset, split, shares)


def _parts(place: Path, words: Mapping[str, str], split: str) -> Dataset:
    """The folder that is called for a split, its classes numbered over all of them."""
    for word in words.values():
        if not (place / word).is_dir():
            raise unknown(f"folder for a split in {place}", word, folders(place))
    found = {part: folder.load(str(place / word), "test", None, 0, fractions=WHOLE) for part, word in words.items()}
    dataset = found[split]
    if dataset.labels is None:
        return dataset
    names = sorted({name for one in found.values() for name in one.classnames or ()})
    labels = np.array([names.index(name) for name in dataset.classnames])[dataset.labels]
    return replace(dataset, labels=labels, classnames=names)


def _table(table: Path, columns: Mapping[str, str], words: Mapping[str, str], split: str | None) -> Dataset:
    """The pictures of a table with columns and splits of other names: it is written anew, as `folder:` wants it, in the cache."""
    if not table.is_file():
        raise ClipkitError(f"there is no table {table}; name it: columns table=FILE.csv,image=…")
    called = {name: columns.get(name, name).lower() for name in COLUMNS[1:]}
    has, rows = read_table(table, tuple(called[name] for name in ("image", *(name for name in columns if name != "image"))))
    parts = {word: part for part, word in words.items()}
    there = [name for name in called if called[name] in has and (name != "split" or split is not None)]
    if words and "split" not in there:
        raise ClipkitError(f"{table} has no column {called['split']!r} for splits; name it: columns split=…")
    written = io.StringIO()
    out = csv.writer(written)
    out.writerow(dict.fromkeys([*there, "caption"]))
    for row in rows:
        cells = {name: row[called[name]] for name in there}
        cells["image"] = str(table.parent / cells["image"])
        if words:
            cells["split"] = parts.get(cells["split"])
        if not words or cells["split"]:
            out.writerow([*cells.values(), *([] if "caption" in there else [""])])
    place = paths.cache_dir(f"tables/{hashlib.sha256(written.getvalue().encode()).hexdigest()[:16]}")
    paths.write_atomically(place / folder.TABLE, written.getvalue())
    dataset = folder.load(str(place), split or "test", None, 0, fractions=None if "split" in there else WHOLE)
    return replace(dataset, paths=[Path(os.path.relpath(path, table.parent)).as_posix() for path in dataset.paths])


def _renamed(dataset: Dataset, lines: list[str]) -> list[str]:
    """Own class names: a line a class in the order of the classes, or lines `class = name` for some."""
    had = dataset.classnames
    if had is None:
        raise ClipkitError(f"{dataset.name} has no classes to name; leave out names")
    if all("=" in line for line in lines):
        new = {old.strip(): name.strip() for old, _, name in (line.partition("=") for line in lines)}
        for old in new:
            if old not in had:
                raise unknown(f"class of {dataset.name}", old, had)
        names = [new.get(name, name) for name in had]
    elif len(lines) == len(had):
        names = lines
    else:
        raise ClipkitError(f"{len(lines)} names for the {len(had)} classes of {dataset.name} ({', '.join(had[:3])}, …); write one a class")
    if len(set(names)) < len(names):
        raise ClipkitError(f"names: {max(names, key=names.count)!r} stands for two classes of {dataset.name}; tell them apart")
    shown = ", ".join(f"{old} → {name}" for old, name in zip(had[:3], names[:3], strict=True))
    notice(f"{dataset.name}: own class names ({shown}{', …' if len(had) > 3 else ''})")
    return names
