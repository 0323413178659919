"""Recording: what a run measured becomes a file of data/records, tied to what it was measured with.

The file itself is `clipkit.registry.records.Record`; here is what only the press knows: hashes, versions, date.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.lab.own import SETTINGS
from clipkit.paths import data_dir
from clipkit.press import hashing, notebooks
from clipkit.press.staleness import load_all, staleness
from clipkit.registry.papers import Entry, Registry

if TYPE_CHECKING:
    from clipkit.registry.records import Record


def make_record(entry: Entry, executed, status: dict, commit: str | None = None, book: bool = False) -> Record:
    """The record of an executed notebook (nbformat node) with its runner's status and the commit of its registry entry.

    `book`: it is one of the book's own, which the ledger counts.

    Raises ClipkitError when the notebook left no claims output, or one of another page, or a claim the
    registry does not know.
    """
    from clipkit.registry.records import Record

    payload = notebooks.claims_output(executed)
    if payload is None:
        raise ClipkitError(f"{entry.slug}: the run left no claims output; its claims cell must run in every preset")
    if payload.get("slug") != entry.slug:
        raise ClipkitError(f"{entry.slug}: its claims output says it is {payload.get('slug')!r}; mend the slug in lab.start")
    for claim_id in payload["claims"]:
        entry.claim(claim_id)
    source = notebooks.read(entry.notebook_path)
    parameters = {**payload["parameters"], **notebooks.parameters(source), **status["parameters"]}
    return Record.from_output(
        payload,
        hashes=record_hashes(entry, source, parameters),
        versions=hashing.environment(),
        seconds=status["seconds"],
        date=date.today().isoformat(),
        commit=commit,
        book=book,
    )


def save(made: Record, old: Record | None = None) -> Path:
    """Write a record over the same thing recorded before, and in place of `old`; either hands on that it is the book's."""
    path = data_dir() / "records" / made.slug / made.file_name
    before = old or (type(made).read(path) if path.is_file() else None)
    path = replace(made, book=made.book or bool(before and before.book)).write()
    if old and old.file_name != path.name:
        path.with_name(old.file_name).unlink(missing_ok=True)
    return path


def record_hashes(entry: Entry, notebook, parameters: dict) -> dict:
    """What a record is tied to: digests of the definitions that its experiment reaches, of the tests, the models, the data."""
    parts = hashing.record_parts(entry, notebook, parameters)
    return {**parts, "definitions": sorted(parts["definitions"])}


def stale_records(registry: Registry) -> list[tuple[Record, list[str]]]:
    """Records that no longer match the code, each with what changed."""
    pairs = [(record, staleness(registry.entry(slug), record)) for slug, records in load_all(registry).items() for record in records]
    return [(record, changed) for record, changed in pairs if changed]


def record_output(slug: str, parameters: dict) -> Path:
    """Where the executed notebook of a recording goes: beside the runs, never over a page of the site."""
    name = "-".join(f"{key}_{parameters[key]}" for key in ("model", "dataset", "preset") if key in parameters)
    safe = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)[-80:]
    return data_dir() / "runs" / "records" / f"{slug}-{safe}-{hashing.digest(parameters)[:8]}.ipynb"


def rerun_parameters(entry: Entry, record: Record) -> dict | None:
    """The parameters that make a record again, or None when it needs data that is not part of the repository."""
    needed = {*record.hashes["data"], *(["dataset"] if ":" in str(record.dataset["name"]) else [])}
    if not needed <= set(hashing.local_inputs(record.parameters)):
        return None
    known = notebooks.parameters(notebooks.read(entry.notebook_path))
    given = {key: value for key, value in record.parameters.items() if key in known and known[key] is not None and value != known[key]}
    given |= {
        key: value for key, value in record.parameters.items() if key in ("model", "pretrained", "dataset") and value != known.get(key)
    }
    given |= {key: record.parameters[key] for key in SETTINGS if key in record.parameters}
    return {**given, "preset": record.preset}
