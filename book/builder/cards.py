"""The card at the head of each page: paper, authors, links, cost, verdicts, the line that runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache

import yaml

from builder.markup import render
from builder.settings import BOOK, Site
from clipkit.lab import claim_words
from clipkit.paths import ROOT
from clipkit.press.ledger import Row
from clipkit.registry.claims import PROPERTY
from clipkit.registry.papers import Entry
from clipkit.registry.verdict import HOLDS, NO_EFFECT, NOT_RUN, NOT_TESTABLE, OPEN, OUTCOMES

WHERE = {"world": "in the world", "digits": "on digits", "text": "on texts", "photographs": "on photographs"}
WHERE |= {"real CLIP": "on vectors of a real CLIP", "full": "at full scale"}
ONE = {HOLDS: "holds", NO_EFFECT: "shows no effect", NOT_TESTABLE: "cannot be tested", NOT_RUN: "was not run", OPEN: "stays open"}
MANY = {HOLDS: "hold", NO_EFFECT: "show no effect", NOT_TESTABLE: "cannot be tested", NOT_RUN: "were not run", OPEN: "stay open"}
SHOWN = ("python", "torch", "open_clip_torch")


def header_card(entry: Entry, rows: list[Row], site: Site, status: dict | None) -> str:
    """Markdown put after the title of a page, with a warning when its last run stopped.

    Args: rows: the page's in the ledger. status: what its runner left (seconds, peak memory, versions, error), if it ran.
    """
    status = status or {}
    versions = status.get("parts", {}).get("versions", {})
    return render(
        "card.md",
        entry=entry,
        rows=rows,
        came_out=came_out(rows),
        snippet=snippets().get(entry.slug, "").rstrip(),
        site=site,
        preset=status.get("parameters", {}).get("preset", "quick"),
        seconds=status.get("seconds"),
        peak_mb=status.get("peak_mb"),
        versions=", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name)),
        others=other_versions(versions),
        error=status.get("error"),
    )


def other_versions(versions: Mapping[str, str]) -> list[str]:
    """What a page was run with that is not what requirements.lock says; a build of the same version ("+cpu") is the same."""
    rows = (line.split("==") for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if "==" in line)
    locked = {name.lower().replace("-", "_"): version for name, version in rows}
    found = {name: version.partition("+")[0] for name, version in versions.items()}
    return [f"{name} {is_} (locked: {locked[name]})" for name, is_ in found.items() if locked.get(name, is_) != is_]


@cache
def snippets() -> dict[str, str]:
    """Slug -> the page's technique in three lines of Python (book/snippets.yml)."""
    return yaml.safe_load((BOOK / "snippets.yml").read_text(encoding="utf-8"))


def came_out(rows: list[Row]) -> list[str]:
    """What came out, in at most two sentences: the headline claim with its numbers, then how many of the others did what.

    The rows of one claim on several data sets are told one after the other; a claim without a record is in no sentence.
    """
    said, rows = [], [row for row in rows if not row.own]
    if heads := [row for row in rows if row.origin == "headline"]:
        said.append("The headline claim " + "; ".join(map(_headline, heads)) + ".")
    others = [row for row in rows if row.origin not in ("headline", PROPERTY) and row.record]
    counted = Counter((row.scale, row.outcome) for row in others)
    parts = []
    for scale, where in WHERE.items():
        words = [f"{n} {_verb(word, n)}" for word in OUTCOMES if (n := counted[scale, word])]
        if words:
            parts.append(f"{where} " + " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words))
    if parts:
        said.append(f"Of the {'other ' if heads else ''}claims, " + "; ".join(parts) + ".")
    return said


def _headline(row: Row) -> str:
    where = WHERE.get(row.scale, "here") if row.record else "here"
    elsewhere = row.record is not None and row.scale != "world"
    vectors = elsewhere and row.record.scale == "real CLIP"  # the scale has said what saw them
    saw = "" if vectors else f", {row.record.model}" if elsewhere else ""
    place = f" ({str(row.record.dataset['name']).removeprefix('folder:').removeprefix('features:')}{saw})" if elsewhere else ""
    if row.outcome in (NOT_TESTABLE, NOT_RUN):
        return f"{_verb(row.outcome, 1)} {where}{place}: {row.note.rstrip('.')}"
    return f"{_verb(row.outcome, 1)} {where}{place}: {claim_words.effect(row)}"


def _verb(outcome: str, n: int) -> str:
    return (ONE if n == 1 else MANY).get(outcome) or f"{'is' if n == 1 else 'are'} {outcome}"
