"""The claims of a page judged on a run: as cards, as text, and as the numbers that `clipkit record` keeps."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipkit.errors import unknown
from clipkit.lab.claim_cards import Card, cards_html
from clipkit.lab.claim_words import about_run
from clipkit.registry.claims import Claim, claims_of
from clipkit.registry.contrast import scores_of
from clipkit.registry.outcomes import Row, judge_claim, judged, row_of
from clipkit.registry.records import VERSION, Record, json_ready

MIME = "application/vnd.clipkit.claims+json"


@dataclass(frozen=True)
class Report:
    """The judged claims of one run.

    Attributes:
        payload: everything measured, as plain JSON values: what `clipkit record` turns into a record.
        cards: one a claim, with what the records and this run say of it.
    """

    payload: dict
    cards: list[Card]

    @property
    def html(self) -> str:
        return cards_html(self.cards, self.payload)

    @property
    def text(self) -> str:
        notes = self.payload.get("notes", ())
        said = (
            ["What this run said:\n" + "\n".join(textwrap.fill(f"- {note}", 110, subsequent_indent="  ") for note in notes)]
            if notes
            else []
        )
        return "\n\n".join(["The claims: " + about_run(self.payload), *(card.text for card in self.cards), *said])

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
    payload = {"version": VERSION, **about, "seeds": scores.seeds, "scores": scores.to_dict(), "skipped": dict(skip)}
    payload["claims"] = {name: one.to_dict() for name, one in found.items()}
    live = {claim.id: row_of(entry, claim, found[claim.id], about.get("scale", "")) for claim in claims if claim.id in found}
    rows = judged(entry, records)
    cards = [_card(claim, [row for row in rows if row.claim.id == claim.id], live.get(claim.id), about, skip) for claim in claims]
    return Report(json_ready(payload, "the run's output"), cards)


def _card(claim: Claim, rows: Sequence[Row], live: Row | None, about: Mapping, skip: Mapping[str, str]) -> Card:
    twins = [row for row in rows if live and row.record and row.estimate is not None and _same(row.record, about)]
    return Card(claim, tuple(rows), live, twins[0] if twins else None, skip.get(claim.id, ""))


def _same(record: Record, about: Mapping) -> bool:
    """Whether a record is of the model and the data of the run at hand."""
    ours = (about.get("model"), about.get("pretrained"), about.get("dataset", {}).get("name"))
    return (record.model, record.pretrained, record.dataset["name"]) == ours
