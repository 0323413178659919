"""What fills the `<!-- clipkit:NAME -->` markers in the book's own pages: counts, gallery, lists, the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from clipkit.errors import unknown
from clipkit.press import ledger as books
from clipkit.press.cards import badges
from clipkit.press.ledger import Row
from clipkit.press.markup import authors, badge, number, paper_number, span
from clipkit.press.parts import BY_ID
from clipkit.press.registry import Entry, Registry

HEADS = ("page", "claim", "the paper", "scale", "here, with 95 % interval", "verdict")
MARKER = re.compile(r"<!-- clipkit:([a-z_]+)(?: ([a-z_]+))? -->")


def fill(text: str, registry: Registry, rows: list[Row], built: set[str], thumbs: dict[str, str]) -> str:
    """Replace every marker of a page. `built`: slugs with a page; `thumbs`: slug -> (path, alt) of its first figure.

    Raises ClipkitError for a marker nobody knows.
    """
    makers: dict[str, Callable[[str | None], str]] = {
        "counts": lambda _: counts_line(registry, rows, built),
        "gallery": lambda _: gallery(registry, rows, built, thumbs),
        "planned": lambda _: planned_list(registry, built),
        "part": lambda part: part_list(registry.of_part(part), rows, built),
        "ledger_counts": lambda _: ledger_counts(rows),
        "ledger": lambda _: ledger_tables(registry, rows, built),
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
        (len(built) - done, "foundation pages"),
        (total["claims"], "claims"),
        (total["holds"], "hold"),
        (total["fails"], "fail"),
        (total["inconclusive"], "inconclusive"),
    ]
    cells = "".join(f"<li><strong>{count}</strong> {name}</li>" for count, name in figures)
    return f'<ul class="ck-counts">{cells}</ul>'


def gallery(registry: Registry, rows: list[Row], built: set[str], thumbs: dict) -> str:
    """A card for every finished page, grouped by part: picture, title, idea, verdicts."""
    blocks = []
    for part in registry.parts():
        entries = [entry for entry in registry.of_part(part.id) if entry.slug in built]
        if entries:
            cards = "\n".join(_card(entry, rows_of(rows, entry.slug), thumbs.get(entry.slug)) for entry in entries)
            blocks.append(f'## {part.title}\n\n<div class="ck-gallery">\n{cards}\n</div>\n')
    return "\n".join(blocks) or "*No page is finished yet.*"


def _card(entry: Entry, rows: list[Row], thumb: tuple[str, str] | None) -> str:
    picture = f'<img src="{thumb[0]}" alt="{escape(thumb[1], quote=True)}" loading="lazy">' if thumb else ""
    by = f'<span class="ck-by">{escape(authors(entry, 3))}, {entry.year}</span>' if entry.is_paper else ""
    verdicts = " ".join(badge(row.claim.id, "stale" if row.stale else row.verdict) for row in rows)
    href = f"{entry.part}/{entry.slug}.html"
    return (
        f'<article class="ck-tile"><a href="{href}">{picture}<strong>{escape(entry.title)}</strong></a>'
        f'{by}<span class="ck-idea">{escape(entry.idea)}</span><span class="ck-row">{verdicts}</span></article>'
    )


def planned_list(registry: Registry, built: set[str]) -> str:
    """Papers without a page: plain text, no links."""
    blocks = []
    for part in registry.parts():
        entries = [entry for entry in registry.of_part(part.id) if entry.slug not in built]
        if entries:
            items = "".join(f"<li>{_plain(entry)}</li>" for entry in entries)
            blocks.append(f'<p class="ck-planned-part">{escape(part.title)}</p><ul class="ck-planned">{items}</ul>')
    return "\n".join(blocks)


def _plain(entry: Entry) -> str:
    by = f" ({escape(authors(entry, 2))}, {entry.year})" if entry.is_paper else ""
    return f"{escape(entry.title)}{by}"


def part_list(entries: list[Entry], rows: list[Row], built: set[str]) -> str:
    """A part's pages, finished ones linked, planned ones in grey."""
    lines = []
    for entry in entries:
        if entry.slug in built:
            verdicts = badges(entry, rows_of(rows, entry.slug), f"../{entry.part}/{entry.slug}.html")
            lines.append(f"- [{entry.title}](../{entry.part}/{entry.slug}.ipynb): {entry.idea} {verdicts}")
    planned = [entry for entry in entries if entry.slug not in built]
    text = "\n".join(lines)
    if planned:
        items = "".join(f"<li>{_plain(entry)}</li>" for entry in planned)
        text += f'\n\n<p class="ck-planned-part">Planned</p><ul class="ck-planned">{items}</ul>'
    return text or "*Nothing here yet.*"


def ledger_counts(rows: list[Row]) -> str:
    """Counts at the top of the ledger, in a sentence."""
    total = books.counts(rows)
    listed = ", ".join(f"{total[name]} {name}" for name in ("holds", "fails", "inconclusive", "too few seeds", "not run", "not tested"))
    return (
        f"**{total['claims']} claims**: {listed}. Of the {total['holds']} that hold, {total['holds after Holm']} survive "
        f"Holm's adjustment for the other claims of their page. {total['stale']} verdicts are stale: the code has moved on since."
    )


def ledger_tables(registry: Registry, rows: list[Row], built: set[str]) -> str:
    """A table for each part that has claims."""
    blocks = []
    for part in registry.parts():
        mine = [row for row in rows if row.entry.part == part.id]
        if mine:
            head = "".join(f"<th>{name}</th>" for name in HEADS)
            body = "\n".join(_ledger_row(row, built) for row in mine)
            table = f'<table class="ck-ledger"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
            blocks.append(f"## {BY_ID[part.id].title}\n\n{table}\n")
    return "\n".join(blocks)


def _ledger_row(row: Row, built: set[str]) -> str:
    entry, claim = row.entry, row.claim
    name = escape(entry.slug)
    page = f'<a href="{entry.part}/{entry.slug}.html">{name}</a>' if entry.slug in built else f'<span class="ck-grey">{name}</span>'
    ours, scale = "–", escape(row.scale or "–")
    if row.estimate is not None:
        ours = f"<strong>{number(row.estimate, escape(row.unit))}</strong> {span(row.low, row.high)}, {row.seeds} seeds"
        scale += f"<br><small>{escape(str(row.record.model))}, {escape(str(row.record.dataset['name']))}</small>"
    elif claim.untestable:
        ours = f"<small>{escape(claim.untestable)}</small>"
    verdict = badge("", row.verdict) + (" " + badge("", "stale") if row.stale else "")
    cells = (page, f"<strong>{claim.id}</strong> {escape(claim.text)}", paper_number(claim), scale, ours, verdict)
    return f'<tr id="{row.anchor}-{row.scale or "none"}">' + "".join(_cell(*pair) for pair in zip(HEADS, cells, strict=True)) + "</tr>"


def _cell(head: str, content: str) -> str:
    """A cell that knows its column, for the phone, where rows are stacked."""
    return f"<td>{content}</td>" if head in ("page", "claim", "verdict") else f'<td data-head="{head}">{content}</td>'
