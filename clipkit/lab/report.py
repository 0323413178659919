"""The claims table: what the paper says, its number, ours live and recorded, the verdict."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipkit.errors import unknown
from clipkit.lab.palette import label
from clipkit.lab.tables import number, to_html
from clipkit.registry.claims import PaperNumber, claims_of
from clipkit.registry.contrast import scores_of
from clipkit.registry.outcomes import Row, judge_claim, judged, row_of
from clipkit.registry.records import VERSION, Record, json_ready
from clipkit.registry.scores import Scores
from clipkit.registry.verdict import MIN_SEEDS, SYMBOLS

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
    scores = scores_of(runs)
    found = {claim.id: judge_claim(claim, scores) for claim in claims if claim.tests and claim.id not in skip}
    payload = {"version": VERSION, **about, "seeds": scores.seeds, "rows": _seed_rows(scores), "skipped": dict(skip)}
    payload["claims"] = {name: one.to_dict() for name, one in found.items()}
    live = {claim.id: row_of(entry, claim, found[claim.id]) for claim in claims if claim.id in found}
    return Report(json_ready(payload, "the run's output"), _table(judged(entry, records), live, skip))


def _seed_rows(scores: Scores) -> list[dict]:
    arms = {arm: scores.values(arm) for arm in scores.wide().columns}  # those without further axes
    return [{"seed": int(seed), **{arm: values[place] for arm, values in arms.items()}} for place, seed in enumerate(scores.seeds)]


def _table(rows: Sequence[Row], live: Mapping[str, Row], skip: Mapping[str, str]) -> list[dict]:
    """A mapping for each row; a second row of a claim repeats the sentence, not the live number."""
    table: list[dict] = []
    for row in rows:
        claim, now, record = row.claim, live.get(row.claim.id), row.record
        first = not any(other["id"] == claim.id for other in table)
        notes = [f"Not tested in this run: {skip[claim.id]}"] if first and claim.id in skip else []
        if claim.tests and not record and now:  # no record: the live outcome stands alone
            few = now.n < MIN_SEEDS
            outcome, notes = now.outcome, notes + (["No record yet: a verdict needs five seeds."] if few else [now.note])
        else:
            outcome, notes = row.outcome, [*notes, row.note]
        where = f"{record.scale}: {record.dataset['name']}, {record.model}, {record.preset}" if record else ""
        table.append(
            {
                "id": claim.id,
                "claim": claim.text,
                "paper": paper_number(claim.paper),
                "live": shown(now) if first and now else "",
                "recorded": shown(row) if record else "–" if claim.tests else "",
                "scale": where,
                "verdict": badge(outcome),
                "note": " ".join(filter(None, notes)),
            }
        )
    return table


def badge(outcome: str) -> str:
    """Symbol and word, so that colour is not needed: "✓ holds"."""
    return f"{SYMBOLS[outcome]} {outcome}"


def decimals(margin: float) -> int:
    """Decimals that show a tenth of the margin: 1.5 -> 1, 0.05 -> 3, 20 -> 0."""
    return max(0, 1 - math.floor(math.log10(margin)))


def shown(row: Row) -> str:
    """ "+2.9 [+1.8, +4.1] points over tip adapter, 5 seeds"; signed so that + favours the claim."""
    if row.estimate is None:
        return "does not fit the claim any more"
    digits = decimals(row.margin)
    ends = "" if row.low is None else f" [{number(row.low, digits, True)}, {number(row.high, digits, True)}]"
    against = f" over {label(row.baseline)}" if row.baseline else ""
    seeds = f"{row.n} seed{'s' if row.n > 1 else ''}"
    unit = f" {row.unit}" if row.unit else ""
    return f"{number(row.estimate, digits, True)}{ends}{unit}{against}, {seeds}"


def paper_number(paper: PaperNumber | None) -> str:
    """The paper's number with what it is of and where it was read; an unverified one says so."""
    if paper is None:
        return ""
    facts = ", ".join(filter(None, (paper.metric, paper.benchmark, paper.model)))
    if paper.value is None:
        return "no number given" + (f" ({facts})" if facts else "")
    value = str(paper.value)
    what = value.replace("-", "\N{MINUS SIGN}", 1) if _negative(value) else value
    return f"{what}{' ' + facts if facts else ''} ({SOURCES[paper.source]})"


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
