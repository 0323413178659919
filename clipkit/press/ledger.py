"""The ledger: every claim of every page, what the paper reports, what was measured here, and the verdict.

Numbers come from the committed records; a verdict is computed anew from the recorded seeds and the margin in the
registry, so neither can drift from the other. The scale (world, photographs) is a column of its own: a verdict on
the world says nothing about photographs.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.press.record import load_all, staleness
from clipkit.registry.papers import ClaimSpec, Entry, Registry

if TYPE_CHECKING:
    from clipkit.registry.records import Record

COLUMNS = (
    "slug",
    "claim",
    "text",
    "paper_value",
    "paper_metric",
    "paper_benchmark",
    "paper_model",
    "paper_source",
    "scale",
    "model",
    "dataset",
    "preset",
    "estimate",
    "low",
    "high",
    "seeds",
    "unit",
    "kind",
    "margin",
    "verdict",
    "p_value",
    "p_holm",
    "stale",
    "date",
)


@dataclass(frozen=True)
class Row:
    """One claim at one scale. `verdict` is holds, fails, inconclusive, too few seeds, not run or not tested."""

    entry: Entry
    claim: ClaimSpec
    verdict: str
    scale: str = ""
    record: Record | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    p: float | None = None
    p_holm: float | None = None
    stale: bool = False

    @property
    def unit(self) -> str:
        return (self.claim.test or {}).get("unit", "")

    @property
    def row_id(self) -> str:
        """Where the row stands in the site's ledger: ledger.html#row_id."""
        return f"{self.entry.slug}-{self.claim.id}-{self.scale or 'none'}".lower().replace("_", "-")


def ledger(registry: Registry) -> list[Row]:
    """All rows, in the order of the registry; a claim measured at two scales has two rows.

    A claim without a record is `not run`; one that the registry calls untestable is `not tested`.
    """
    records = load_all(registry)
    rows: list[Row] = []
    for entry in registry.entries:
        rows += entry_rows(entry, records.get(entry.slug, []))
    return rows


def entry_rows(entry: Entry, records: list[Record]) -> list[Row]:
    """Rows of one page from its records: for each scale the record with the most seeds, the newest first."""
    best: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (len(r.seeds), r.date)):
        best[record.scale] = record
    rows = []
    for claim in entry.claims:
        if claim.test is None:
            rows.append(Row(entry, claim, "not tested"))
            continue
        measured = [_measured(entry, claim, record) for record in best.values() if claim.id in record.claims]
        rows += measured or [Row(entry, claim, "not run", scale=claim.test.get("scale", "world"))]
    return _holm(rows)


def _measured(entry: Entry, claim: ClaimSpec, record: Record) -> Row:
    """Judge the recorded seeds by the registry's test; when the record lacks an arm that the test now asks for, it is stale."""
    from clipkit.registry.claims import Claim

    try:
        judged = Claim.of(claim).judge(record.rows)
    except ClipkitError:
        kept = record.claims[claim.id]
        numbers = {name: kept[name] for name in ("estimate", "low", "high")}
        return Row(entry, claim, kept["verdict"], record.scale, record, **numbers, seeds=kept["n"], stale=True)
    found = judged.verdict
    p = p_value(judged.values, claim.test["kind"], claim.test["margin"])
    numbers = {"estimate": found.estimate, "low": found.low, "high": found.high, "seeds": found.n, "p": p}
    return Row(entry, claim, found.verdict, record.scale, record, **numbers, stale=bool(staleness(entry, record)))


def p_value(values: Sequence[float], kind: str, margin: float) -> float | None:
    """p-value of what the verdict rule asks: one-sided t for better and trend, two one-sided t for equivalent.

    None with fewer than two seeds or no spread.
    """
    import numpy as np
    from scipy.stats import ttest_1samp

    if len(values) < 2 or np.ptp(values) == 0:
        return None
    if kind == "equivalent":
        above = ttest_1samp(values, -margin, alternative="greater").pvalue
        below = ttest_1samp(values, margin, alternative="less").pvalue
        return float(max(above, below))
    return float(ttest_1samp(values, 0.0, alternative="greater").pvalue)


def _holm(rows: list[Row]) -> list[Row]:
    """Holm's adjustment over the claims of a page, scale by scale."""
    from clipkit.registry.stats import holm

    adjusted = list(rows)
    for scale in {row.scale for row in rows if row.p is not None}:
        places = [i for i, row in enumerate(rows) if row.p is not None and row.scale == scale]
        for place, p in zip(places, holm([rows[i].p for i in places]), strict=True):
            adjusted[place] = replace(rows[place], p_holm=float(p))
    return adjusted


def counts(rows: list[Row], alpha: float = 0.05) -> dict[str, int]:
    """Numbers for the top of the ledger: claims, each verdict, stale rows, and how many `holds` survive Holm's adjustment."""
    verdicts = Counter(row.verdict for row in rows)
    found = {"claims": len({(row.entry.slug, row.claim.id) for row in rows})}
    found |= {name: verdicts[name] for name in ("holds", "fails", "inconclusive", "too few seeds", "not run", "not tested")}
    held = [row for row in rows if row.verdict == "holds"]
    # no spread over seeds leaves no p-value; such a row is counted as surviving, and its interval shows why
    found["holds after Holm"] = sum(row.p_holm is None or row.p_holm < alpha for row in held)
    found["stale"] = sum(row.stale for row in rows)
    return found


def row_fields(row: Row) -> dict:
    """A row as flat values, in the order of COLUMNS."""
    paper, test, record = row.claim.paper, row.claim.test or {}, row.record
    values = (
        (row.entry.slug, row.claim.id, row.claim.text)
        + tuple(paper.get(key) for key in ("value", "metric", "benchmark", "model", "source"))
        + (row.scale, record.model if record else None, record.dataset["name"] if record else None, record.preset if record else None)
        + (row.estimate, row.low, row.high, row.seeds or None, test.get("unit"), test.get("kind"), test.get("margin"))
        + (row.verdict, row.p, row.p_holm, row.stale, record.date if record else None)
    )
    return dict(zip(COLUMNS, values, strict=True))


def to_csv(rows: list[Row]) -> str:
    """The whole ledger as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row_fields(row) for row in rows)
    return text.getvalue()


def to_text(rows: list[Row]) -> str:
    """A table for the terminal."""
    from clipkit.press.markup import number, span

    head = ("page", "claim", "scale", "paper", "ours", "verdict")
    table = [head]
    for row in rows:
        ours = f"{number(row.estimate, row.unit)} {span(row.low, row.high)}".strip() if row.estimate is not None else ""
        verdict = row.verdict + (" (stale)" if row.stale else "")
        table.append((row.entry.slug, row.claim.id, row.scale, str(row.claim.paper.get("value") or ""), ours, verdict))
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    total = ", ".join(f"{count} {name}" for name, count in counts(rows).items())
    return "\n".join([*lines, "", total])
