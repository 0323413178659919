"""Small pieces of HTML and Markdown that several generated pages share."""

from __future__ import annotations

import re
from html import escape

from clipkit.registry.papers import Entry

SYMBOL = {"holds": "✓", "fails": "✗", "inconclusive": "≈", "too few seeds": "…", "stale": "↻", "not run": "·", "not tested": "–"}
SOURCE_WORDS = {
    "abstract": "abstract",
    "paper": "paper",
    "official_repository": "official repository",
    "secondary": "secondary source",
    "unverified": "unverified",
}


def badge(text: str, verdict: str, href: str = "") -> str:
    """A verdict in a word and a sign, so that it does not depend on colour; a link when `href` is given."""
    css = f"ck-badge ck-{verdict.replace(' ', '-')}"
    label = f"{escape(text)} {SYMBOL.get(verdict, '')}&nbsp;{escape(verdict)}".strip()
    return f'<a class="{css}" href="{href}">{label}</a>' if href else f'<span class="{css}">{label}</span>'


def number(value: float | None, unit: str = "", signed: bool = True) -> str:
    """A number as the book prints it: three significant digits at most, a true minus sign, the unit after it."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 or value == 0 else 3
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−") + (f" {unit}" if unit else "")


def span(low: float | None, high: float | None) -> str:
    """An interval, [low, high]; empty when there is none."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def authors(entry: Entry, most: int = 4) -> str:
    """Names for a header: all up to `most`, else the first three and "and others"."""
    names = [name for name in entry.authors if name.lower() not in ("others", "and others", "et al.")]
    cut = len(names) < len(entry.authors) or len(names) > most
    if cut:
        return ", ".join(names[:3]) + " and others"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def venue(entry: Entry) -> str:
    """Where and when it came out: the venue with its own year if it names one, else with the year of the registry."""
    where = entry.venue or "preprint"
    return where if re.search(r"\b(19|20)\d\d\b", where) or not entry.year else f"{where} {entry.year}"


def paper_number(claim) -> str:
    """The paper's number with what it was measured on and where it was read; a dash when it gives none."""
    paper = claim.paper
    if not paper or paper.get("value") in (None, ""):
        return "–"
    where = ", ".join(str(paper[key]) for key in ("metric", "benchmark", "model") if paper.get(key))
    source = SOURCE_WORDS[paper["source"]]
    return f"<strong>{escape(str(paper['value']))}</strong> {escape(where)} <em>({source})</em>"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "not measured"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
