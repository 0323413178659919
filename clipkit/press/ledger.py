"""The ledger: every claim of every page, what the paper reports, what was measured here, and the verdict.

Numbers come from the committed records; a verdict is computed anew from the recorded seeds and the margin in the
registry, so neither can drift from the other. The scale (world, photographs) is a column of its own: a verdict on
the world says nothing about photographs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.press.markup import VERDICTS, number, span
from clipkit.press.record import load_all, staleness
from clipkit.registry.papers import ClaimSpec, Entry, Registry

if TYPE_CHECKING:
    import pandas

    from clipkit.registry.records import Record


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
    def shown(self) -> str:
        """The verdict, or that it is stale."""
        return "stale" if self.stale else self.verdict

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
    found |= {name: verdicts[name] for name in VERDICTS}
    held = [row for row in rows if row.verdict == "holds"]
    # no spread over seeds leaves no p-value; such a row is counted as surviving, and its interval shows why
    found["holds after Holm"] = sum(row.p_holm is None or row.p_holm < alpha for row in held)
    found["stale"] = sum(row.stale for row in rows)
    return found


COLUMNS: dict[str, Callable[[Row], object]] = {
    "slug": lambda row: row.entry.slug,
    "claim": lambda row: row.claim.id,
    "text": lambda row: row.claim.text,
    "paper_value": lambda row: row.claim.paper.get("value"),
    "paper_metric": lambda row: row.claim.paper.get("metric"),
    "paper_benchmark": lambda row: row.claim.paper.get("benchmark"),
    "paper_model": lambda row: row.claim.paper.get("model"),
    "paper_source": lambda row: row.claim.paper.get("source"),
    "scale": lambda row: row.scale,
    "model": lambda row: row.record and row.record.model,
    "dataset": lambda row: row.record and row.record.dataset["name"],
    "preset": lambda row: row.record and row.record.preset,
    "estimate": lambda row: row.estimate,
    "low": lambda row: row.low,
    "high": lambda row: row.high,
    "seeds": lambda row: row.seeds or None,
    "unit": lambda row: (row.claim.test or {}).get("unit"),
    "kind": lambda row: (row.claim.test or {}).get("kind"),
    "margin": lambda row: (row.claim.test or {}).get("margin"),
    "verdict": lambda row: row.verdict,
    "p_value": lambda row: row.p,
    "p_holm": lambda row: row.p_holm,
    "stale": lambda row: row.stale,
    "date": lambda row: row.record and row.record.date,
    "untestable": lambda row: row.claim.untestable,
    "part": lambda row: row.entry.part,
    "id": lambda row: row.row_id,
}
NUMBERS = {"seeds": "Int64"} | dict.fromkeys(("estimate", "low", "high", "margin", "p_value", "p_holm"), "float64")


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
        ours = f"{number(row.estimate, row.unit)} {span(row.low, row.high)}".strip() if row.estimate is not None else ""
        verdict = row.verdict + (" (stale)" if row.stale else "")
        lines.append((row.entry.slug, row.claim.id, row.scale, str(row.claim.paper.get("value") or ""), ours, verdict))
    total = ", ".join(f"{count} {name}" for name, count in counts(rows).items())
    return to_text(("page", "claim", "scale", "paper", "ours", "verdict"), lines) + f"\n\n{total}"
