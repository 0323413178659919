"""Which records no longer match the code in front of us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipkit.paths import record_dirs
from clipkit.press import hashing, notebooks
from clipkit.registry.papers import Entry, Registry, notebooks_dir

if TYPE_CHECKING:
    from clipkit.registry.records import Record


def load_all(registry: Registry) -> dict[str, list[Record]]:
    """All committed records by slug; records of a page that the registry does not know raise ClipkitError."""
    from clipkit.registry.records import load_records

    slugs = sorted({path.parent.name for folder in record_dirs() for path in folder.glob("*/*.json")})
    return {slug: load_records(registry.entry(slug).slug) for slug in slugs}


def staleness(entry: Entry, record: Record) -> list[str]:
    """What changed since the record was made, by name (`clipkit.dense.metrics.mean_iou`); empty when it still stands.

    A checkpoint or data set that is not on this machine cannot be compared and counts as unchanged; so does
    the page, where the package is installed without any.
    """
    if not entry.has_notebook:
        return ["notebook"] if notebooks_dir().is_dir() else []
    now, then = hashing.record_parts(entry, notebooks.read(entry.notebook_path), record.parameters), record.hashes
    now["models"] = {name: now["models"].get(name, was) for name, was in then["models"].items()}
    now["data"] = {name: now["data"].get(name, was) for name, was in then["data"].items()}
    return hashing.differences(then, now)
