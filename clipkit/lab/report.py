"""The claims table: what the paper says, its number, ours live and recorded, the verdict."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipkit.errors import ClipkitError, unknown
from clipkit.lab.palette import label
from clipkit.lab.tables import number, to_html
from clipkit.registry.claims import Claim, Judged, claims_of, columns
from clipkit.registry.records import VERSION, Record, json_ready
from clipkit.registry.verdict import SYMBOLS, TOO_FEW, Verdict

MIME = "application/vnd.clipkit.claims+json"
SOURCES = {
    "abstract": "abstract",
    "paper": "paper",
    "official_repository": "official repository",
    "secondary": "secondary source",
    "unverified": "unverified",
}
HEADS = ("", "the claim", "their number", "here, this run", "here, recorded", "scale", "verdict")


@dataclass(frozen=True)
class Report:
    """The judged claims of one run.

    Attributes:
        payload: everything measured, as plain JSON values: what `clipkit record` turns into a record.
        rows: the table, one mapping for each claim and record scale (keys: id, claim, paper, live, recorded, scale, verdict, note).
    """

    payload: dict
    rows: list[dict]

    @property
    def html(self) -> str:
        caption = "The claims: " + about_run(self.payload)
        table = to_html(HEADS, [_html_row(row) for row in self.rows], caption, stack=True)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.payload.get("notes", ()))
        return table + (f'<p>What this run said:</p><ul class="ck-notes">{notes}</ul>' if notes else "")

    @property
    def text(self) -> str:
        lines = ["The claims: " + about_run(self.payload)]
        for row in self.rows:
            lines += ["", textwrap.fill(f"{row['id']}  {row['claim']}", 100, subsequent_indent="    ")]
            facts = zip(HEADS[2:], ("paper", "live", "recorded", "scale", "verdict"), strict=True)
            lines += [f"    {head + ':':16}{row[key]}" for head, key in facts if row[key]]
            lines += [textwrap.fill(row["note"], 100, initial_indent="    ", subsequent_indent="    ")] if row["note"] else []
        notes = self.payload.get("notes", ())
        lines += ["", "What this run said:", *(textwrap.fill(f"- {note}", 100, subsequent_indent="  ") for note in notes)] if notes else []
        return "\n".join(lines)

    def bundle(self) -> dict:
        """MIME bundle: HTML for the page, text for a terminal, JSON for the press."""
        return {"text/html": self.html, "text/plain": self.text, MIME: self.payload}

    def verdict(self, claim_id: str) -> str:
        """The live verdict of a claim. Raises ClipkitError for a claim that this run did not judge."""
        if claim_id not in self.payload["claims"]:
            raise unknown("judged claim", claim_id, self.payload["claims"])
        return self.payload["claims"][claim_id]["verdict"]


def build(entry: object, runs: object, records: Sequence[Record], about: Mapping, skip: Mapping[str, str]) -> Report:
    """Judge every testable claim of `entry` on `runs`, set it beside the records.

    Arguments:
        entry: registry entry.
        runs: DataFrame indexed by seed.
        records: records of this page.
        about: slug, model, dataset, preset, parameters ... as they go into the payload.
        skip: claim id -> reason.

    Raises ClipkitError: an arm that a claim needs is missing, NaN among the numbers, `skip` names no claim.
    """
    claims = claims_of(entry)
    for name in skip:
        if name not in [claim.id for claim in claims]:
            raise unknown("claim in skip", name, [claim.id for claim in claims])
    judged = {claim.id: claim.judge(runs) for claim in claims if claim.test is not None and claim.id not in skip}
    arms = columns(runs)
    seeds = [int(seed) for seed in runs.index]
    rows = [{"seed": seed, **{arm: values[i] for arm, values in arms.items()}} for i, seed in enumerate(seeds)]
    found = {claim.id: {**judged[claim.id].to_dict(), "unit": claim.unit} for claim in claims if claim.id in judged}
    payload = {"version": VERSION, **about, "seeds": seeds, "rows": rows, "claims": found, "skipped": dict(skip)}
    table = [row for claim in claims for row in _rows(claim, judged.get(claim.id), records, skip.get(claim.id))]
    return Report(json_ready(payload, "the run's output"), table)


def _rows(claim: Claim, live: Judged | None, records: Sequence[Record], skipped: str | None) -> list[dict]:
    base = {"id": claim.id, "claim": claim.text, "paper": paper_number(claim.paper), "live": "", "recorded": "", "scale": "", "note": ""}
    if claim.test is None:
        return [{**base, "verdict": badge(None), "note": claim.untestable}]
    if live:
        base["live"] = shown(claim, live.verdict, live.baseline)
    if skipped:
        base["note"] = f"Not tested in this run: {skipped}"
    rows = []
    for record in fullest(records):
        if claim.id in record.skipped:
            continue
        row = base if not rows else {**base, "live": "", "note": ""}  # a second record repeats the claim, not the live number
        try:  # judged anew from the recorded seeds, so that the rule and the margin are today's
            past = claim.judge(record.rows)
            recorded, verdict = shown(claim, past.verdict, past.baseline), badge(past.verdict.verdict)
        except ClipkitError:
            recorded, verdict = "does not fit the claim any more", "! record again"
        where = f"{record.scale}: {record.dataset['name']}, {record.model}, {record.preset}"
        rows.append({**row, "recorded": recorded, "scale": where, "verdict": verdict})
    if rows:
        return rows
    live_verdict = live.verdict.verdict if live else None
    hint = "" if live is None or live_verdict != TOO_FEW else "No record yet: a verdict needs five seeds."
    return [{**base, "recorded": "–", "verdict": badge(live_verdict), "note": base["note"] or hint}]


def fullest(records: Sequence[Record]) -> list[Record]:
    """Of the records of one model on one data set, that with the most seeds, the newest of equals; order kept."""
    best: dict[tuple, Record] = {}
    for record in records:
        key = (record.scale, record.dataset["name"], record.model, record.pretrained)
        if key not in best or (len(record.seeds), record.date) >= (len(best[key].seeds), best[key].date):
            best[key] = record
    return list(best.values())


def badge(verdict: str | None) -> str:
    """Symbol and word, so that colour is not needed: "✓ holds"; None is a claim not tested."""
    return "– not tested" if verdict is None else f"{SYMBOLS[verdict]} {verdict}"


def decimals(margin: float) -> int:
    """Decimals that show a tenth of the margin: 1.5 -> 1, 0.05 -> 3, 20 -> 0."""
    return max(0, 1 - math.floor(math.log10(margin)))


def shown(claim: Claim, verdict: Verdict, baseline: str | None) -> str:
    """ "+2.9 [+1.8, +4.1] points over tip adapter, 5 seeds"; signed so that + favours the claim."""
    digits = decimals(verdict.margin)
    ends = "" if verdict.low is None else f" [{number(verdict.low, digits, True)}, {number(verdict.high, digits, True)}]"
    against = f" over {label(baseline)}" if baseline else ""
    spread = ", all the same" if verdict.method == "no spread" else ""
    seeds = f"{verdict.n} seed{'s' if verdict.n > 1 else ''}"
    unit = f" {claim.unit}" if claim.unit else ""
    return f"{number(verdict.estimate, digits, True)}{ends}{unit}{against}, {seeds}{spread}"


def paper_number(paper: Mapping) -> str:
    """The paper's number with what it is of and where it was read; an unverified one says so."""
    if not paper:
        return ""
    value = paper.get("value")
    what = "no number given" if value is None else str(value).replace("-", "\N{MINUS SIGN}", 1) if _negative(value) else str(value)
    facts = ", ".join(str(paper[key]) for key in ("metric", "benchmark", "model") if paper.get(key))
    source = paper.get("source", "unverified")
    if value is None:
        return what + (f" ({facts})" if facts else "")
    return f"{what}{' ' + facts if facts else ''} ({SOURCES.get(source, source)})"


def _negative(value: object) -> bool:
    return str(value).startswith("-")


def about_run(payload: Mapping) -> str:
    """ "world, nano, quick; seeds 0, 1"."""
    parts = [payload.get("dataset", {}).get("name"), payload.get("model"), payload.get("pretrained"), payload.get("preset")]
    seeds = payload["seeds"]
    listed = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 2 else f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return ", ".join(str(part) for part in parts if part) + "; " + listed


def _html_row(row: Mapping) -> list[str]:
    cells = {key: html.escape(str(value)) for key, value in row.items()}
    note = f'<div class="ck-note">{cells["note"]}</div>' if row["note"] else ""
    badge_html = f'<span class="ck-badge">{cells["verdict"]}</span>'
    ident = f"<b>{cells['id']}</b>"
    return [ident, cells["claim"] + note, cells["paper"], cells["live"], cells["recorded"], cells["scale"], badge_html]
