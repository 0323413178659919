"""The ledger: every claim of every page, what the paper reports, what was measured here, and the outcome.

The rows are `registry.outcomes.judged`'s, made from the committed records by today's rule and registry, so neither can drift
from the other; the press adds which records are stale. The scale (world, photographs) is a column of its own: an outcome
on the world says nothing about photographs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from clipkit.lab.claim_words import effect, gate_words, gates_of, part_words
from clipkit.press.staleness import load_all, staleness
from clipkit.registry.claims import PROPERTY
from clipkit.registry.outcomes import Row, judged
from clipkit.registry.papers import Entry, Registry
from clipkit.registry.verdict import NOT_RUN, NOT_TESTABLE

if TYPE_CHECKING:
    import pandas

    from clipkit.registry.records import Record


def ledger(registry: Registry) -> list[Row]:
    """All rows, in the order of the registry; a claim measured on two data sets has two rows. A reader's own come after the book's."""
    records = load_all(registry)
    rows = [row for entry in registry.entries for row in entry_rows(entry, records.get(entry.slug, []))]
    return sorted(rows, key=lambda row: row.own)


def entry_rows(entry: Entry, records: list[Record]) -> list[Row]:
    """Rows of one page from its records, the stale ones marked."""
    stale = {id(record): bool(staleness(entry, record)) for record in records}
    return [replace(row, stale=row.record is not None and stale[id(row.record)]) for row in judged(entry, records)]


def claims(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each claim, in the order of the rows."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.entry.slug, row.claim.id), []).append(row)
    return list(found.values())


def standing(rows: list[Row]) -> str:
    """Of one claim: a checked property, or tested (a verdict on some data), else not testable here, else not run."""
    if rows[0].origin == PROPERTY:
        return PROPERTY
    words = {row.outcome for row in rows}
    if words - {NOT_TESTABLE, NOT_RUN}:
        return TESTED
    return NOT_TESTABLE if NOT_TESTABLE in words else NOT_RUN


def whose(rows: Iterable[Row], paper: bool) -> list[Row]:
    """The rows of the papers' pages, or those of the book's own."""
    return [row for row in rows if row.entry.is_paper is paper]


def count(rows: Iterable[Row]) -> dict[str, int]:
    """Of claims: "claims", and "tested", "not testable here", "not run", "checked property", which add up to it; of rows: "stale"."""
    rows = list(rows)
    states = Counter(standing(group) for group in claims(rows))
    return {
        "claims": states.total(),
        **{state: states[state] for state in (TESTED, NOT_TESTABLE, NOT_RUN, PROPERTY)},
        "stale": sum(r.stale for r in rows),
    }


COLUMNS: dict[str, Callable[[Row], object]] = {
    "slug": lambda row: row.entry.slug,
    "claim": lambda row: row.claim.id,
    "text": lambda row: row.claim.text,
    "origin": lambda row: row.origin,
    "page_of": lambda row: "paper" if row.entry.is_paper else "book",
    "paper_value": lambda row: row.claim.paper and row.claim.paper.value,
    "paper_metric": lambda row: row.claim.paper and row.claim.paper.metric,
    "paper_benchmark": lambda row: row.claim.paper and row.claim.paper.benchmark,
    "paper_model": lambda row: row.claim.paper and row.claim.paper.model,
    "paper_source": lambda row: row.claim.paper and row.claim.paper.source,
    "same_quantity": lambda row: bool(row.claim.paper and row.claim.paper.same_quantity),
    "scale": lambda row: row.scale,
    "record_of": lambda row: ("reader" if row.own else "book") if row.record else None,
    "model": lambda row: row.record and row.record.said_model,
    "dataset": lambda row: row.record and row.record.dataset["name"],
    "preset": lambda row: row.record and row.record.preset,
    "estimate": lambda row: row.estimate,
    "low": lambda row: row.low,
    "high": lambda row: row.high,
    "seeds": lambda row: row.n or None,
    "seeds_vary": lambda row: row.seeds_vary,
    "metric": lambda row: row.test and row.test.metric,
    "method": lambda row: row.test and row.test.method,
    "baseline": lambda row: row.baseline,
    "unit": lambda row: row.test and row.unit,
    "kind": lambda row: row.kind,
    "margin": lambda row: row.margin,
    "outcome": lambda row: row.outcome,
    "outcome_note": lambda row: row.note or None,
    "parts": lambda row: "; ".join(map(part_words, row.parts)) or None,
    "gates": lambda row: "; ".join(f"{part} {gate_words(gate)}".strip() for part, gate in gates_of(row)) or None,
    "changes": lambda row: "; ".join(f"{change.date}: {change.what} {change.why}" for change in row.changes) or None,
    "stale": lambda row: row.stale,
    "date": lambda row: row.record and row.record.date,
    "untestable": lambda row: row.claim.untestable,
    "part": lambda row: row.entry.part,
    "id": lambda row: row.row_id,
}
TESTED = "tested"
WHOSE = {"the papers": True, "our own pages": False}
NUMBERS = {"seeds": "Int64"} | dict.fromkeys(("estimate", "low", "high", "margin"), "float64")


def table(rows: list[Row]) -> pandas.DataFrame:
    """The ledger as one tidy table, a row a claim and scale; what is not there is missing (NaN, None or NA by type)."""
    import pandas

    return pandas.DataFrame({name: [value(row) for row in rows] for name, value in COLUMNS.items()}).astype(NUMBERS)


def records_of(made: pandas.DataFrame) -> list[dict]:
    """The table's rows as dictionaries of plain values, None for what is missing."""
    return made.astype(object).where(made.notna(), None).to_dict("records")


def to_csv(rows: list[Row]) -> str:
    """The whole ledger as CSV text."""
    return table(rows).to_csv(index=False, lineterminator="\n")


def to_json(rows: list[Row]) -> str:
    """The whole ledger as a JSON list, an object a row."""
    return json.dumps(records_of(table(rows)), ensure_ascii=False, indent=1) + "\n"


def to_text(rows: list[Row]) -> str:
    """A table for the terminal."""
    from clipkit.lab.tables import to_text

    lines = []
    for row in rows:
        outcome = row.outcome + (" (stale)" if row.stale else "") + (" (your record)" if row.own else "")
        theirs = row.claim.paper and row.claim.paper.value
        lines.append((row.entry.slug, row.claim.id, row.scale, str(theirs or ""), effect(row), outcome))
    mine = [row for row in rows if not row.own]
    totals = [f"{name}: {', '.join(f'{n} {word}' for word, n in count(whose(mine, paper)).items())}" for name, paper in WHOSE.items()]
    return "\n".join([to_text(("page", "claim", "scale", "paper", "ours", "outcome"), lines), "", *totals])
