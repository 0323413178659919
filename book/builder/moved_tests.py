"""What moved after a record: a claim's test may only move with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from clipkit.registry.claims import Claim, ClaimTest, checked
from clipkit.registry.papers import Entry


def unexplained(entry: Entry, then: Mapping, recorded: date) -> list[str]:
    """Ids of the claims whose tests moved after a record without a line under `changes` that says so.

    Arguments:
        then: the entry as it was when the record was made (`entry_at`).
        recorded: day of the record; a change counts from that day on.
    """
    before = {claim["id"]: claim for claim in then["claims"]}
    moved = [claim for claim in entry.claims if claim.tests and claim.fixed() != _fixed(before.get(claim.id), entry.slug)]
    return [claim.id for claim in moved if not any(change.date >= recorded for change in claim.changes)]


def _fixed(claim: Mapping | None, slug: str) -> list[dict]:
    if claim is None:
        return []
    if "test" in claim and "baseline" in claim["test"]:  # the shape before baselines, nulls and origins
        test = {key: value for key, value in claim["test"].items() if key not in ("baseline", "note", "scale")}
        given = claim["test"]["baseline"]
        test["baselines"] = [given] if isinstance(given, str) else given or []
        if not test["baselines"] and test["kind"] != "trend":
            test |= {"null": 0, "kind": "above" if test["kind"] == "better" else test["kind"]}
        return Claim(id="C1", text="-", origin="ours", test=checked(ClaimTest, test, slug)).fixed()
    return checked(Claim, claim, slug).fixed()
