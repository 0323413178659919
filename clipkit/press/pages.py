"""What fills the `<!-- clipkit:NAME -->` markers in the book's own pages: counts, gallery, lists, the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from clipkit.errors import unknown
from clipkit.press import ledger as books
from clipkit.press.cards import badges
from clipkit.press.gallery import gallery
from clipkit.press.ledger import Row
from clipkit.press.ledger_table import counts_sentence, ledger_table
from clipkit.press.markup import authors
from clipkit.registry.papers import Entry, Registry

MARKER = re.compile(r"<!-- clipkit:([a-z_]+)(?: ([a-z0-9_]+))? -->")


def fill(text: str, registry: Registry, rows: list[Row], built: set[str], thumbs: dict[str, str]) -> str:
    """Replace every marker of a page. `built`: slugs with a page; `thumbs`: slug -> (path, alt) of its first figure.

    Raises ClipkitError for a marker nobody knows.
    """
    makers: dict[str, Callable[[str | None], str]] = {
        "counts": lambda _: counts_line(registry, rows, built),
        "gallery": lambda _: gallery(registry, rows, built, thumbs),
        "part": lambda part: part_list(registry.of_part(part), rows, built),
        "page": lambda slug: page_link(slug, registry, built),
        "ledger_counts": lambda _: counts_sentence(rows),
        "ledger": lambda _: ledger_table(registry, rows, built),
    }

    def replace(match: re.Match) -> str:
        name, argument = match.groups()
        if name not in makers:
            raise unknown("marker in a page of the book", name, makers)
        return makers[name](argument)

    return MARKER.sub(replace, text)


def rows_of(rows: list[Row], slug: str) -> list[Row]:
    return [row for row in rows if row.entry.slug == slug]


def counts_line(registry: Registry, rows: list[Row], built: set[str]) -> str:
    """The book in numbers, one short line."""
    total = books.counts(rows)
    papers = registry.papers()
    done = sum(entry.slug in built for entry in papers)
    figures = [
        (len(papers), "papers"),
        (done, "with a page"),
        (len(built) - done, "pages of our own"),
        (total["claims"], "claims"),
        (total["holds"], "hold"),
        (total["fails"], "fail"),
        (total["inconclusive"], "inconclusive"),
    ]
    cells = "".join(f"<li><strong>{count}</strong> {name}</li>" for count, name in figures)
    return f'<ul class="ck-counts">{cells}</ul>'


def page_link(slug: str, registry: Registry, built: set[str]) -> str:
    """A page by its title, linked from the book's top folder; one that is not built in grey, and so is one of another registry."""
    entry = next((entry for entry in registry.entries if entry.slug == slug), None)
    if entry is None or slug not in built:
        return f'<span class="ck-grey">{escape(entry.title if entry else slug)} (planned)</span>'
    return f"[{entry.title}]({entry.part}/{slug}.ipynb)"


def _plain(entry: Entry) -> str:
    by = f" ({escape(authors(entry, 2))}, {entry.year})" if entry.is_paper else ""
    return f"{escape(entry.title)}{by}"


def part_list(entries: list[Entry], rows: list[Row], built: set[str]) -> str:
    """A part's pages, finished ones linked, planned ones in grey."""
    lines = []
    for entry in entries:
        if entry.slug in built:
            verdicts = badges(rows_of(rows, entry.slug), "../ledger.html")
            lines.append(f"- [{entry.title}](../{entry.part}/{entry.slug}.ipynb): {entry.idea} {verdicts}")
    planned = [entry for entry in entries if entry.slug not in built]
    text = "\n".join(lines)
    if planned:
        items = "".join(f"<li>{_plain(entry)}</li>" for entry in planned)
        text += f'\n\n<p class="ck-planned-part">Planned</p><ul class="ck-planned">{items}</ul>'
    return text or "*Nothing here yet.*"
