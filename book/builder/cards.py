"""The card at the head of each page: paper, authors, links, cost, verdicts, the line that runs it."""

from __future__ import annotations

from builder.markup import render
from builder.settings import Site
from clipkit.press.ledger import Row
from clipkit.registry.papers import Entry

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
        site=site,
        preset=status.get("parameters", {}).get("preset", "quick"),
        seconds=status.get("seconds"),
        peak_mb=status.get("peak_mb"),
        versions=", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name)),
        error=status.get("error"),
    )
