"""The gallery of the landing page: a tile for every page of the book, those not written yet in grey, and its filter."""

from __future__ import annotations

from collections import Counter
from html import escape

from clipkit.press.ledger import Row
from clipkit.press.markup import SYMBOL, authors, badge
from clipkit.registry.papers import Entry, Registry

VERDICTS = ("holds", "fails", "inconclusive")
HOME = ("", "world")  # the scales whose verdicts a tile shows one by one


def gallery(registry: Registry, rows: list[Row], built: set[str], thumbs: dict[str, tuple[str, str]]) -> str:
    """Filter and tiles, grouped by part.

    Args: built: slugs with a page. thumbs: slug -> (path, alternative text) of its first figure.
    """
    blocks = [_filter(registry)]
    for part in registry.parts():
        entries = sorted(registry.of_part(part.id), key=lambda entry: entry.slug not in built)  # finished pages first
        tiles = "\n".join(_tile(entry, rows, entry.slug in built, thumbs.get(entry.slug)) for entry in entries)
        blocks.append(f'## {part.title}\n\n<div class="ck-gallery" data-part="{part.id}">\n{tiles}\n</div>\n')
    return "\n".join(blocks)


def _filter(registry: Registry) -> str:
    """Two lists to choose from; hidden until the script that serves them has run, so that a page without scripts shows all."""
    parts = "".join(f'<option value="{part.id}">{escape(part.title)}</option>' for part in registry.parts())
    verdicts = "".join(f'<option value="{verdict}">has a claim: {verdict}</option>' for verdict in VERDICTS)
    return (
        '<form class="ck-filter" data-ck-filter="gallery" hidden>'
        f'<label>Part <select name="part"><option value="">all</option>{parts}</select></label>'
        f'<label>Show <select name="state"><option value="">all</option><option value="page">finished pages</option>{verdicts}'
        '<option value="planned">planned</option></select></label>'
        '<output aria-live="polite"></output></form>\n'
    )


def _tile(entry: Entry, rows: list[Row], has_page: bool, thumb: tuple[str, str] | None) -> str:
    by = f'<span class="ck-by">{escape(authors(entry, 3))}, {entry.year}</span>' if entry.is_paper else ""
    idea = f'<span class="ck-idea">{escape(entry.idea)}</span>'
    if not has_page:
        head = f'<strong>{escape(entry.title)}</strong><span class="ck-by">planned</span>'
        return f'<article class="ck-tile ck-tile-planned" data-state="planned">{head}{by}{idea}</article>'
    mine = [row for row in rows if row.entry.slug == entry.slug]
    verdicts = " ".join(badge(row.claim.id, "stale" if row.stale else row.verdict) for row in mine if row.scale in HOME)
    elsewhere = "".join(f'<span class="ck-by">{line}</span>' for line in _elsewhere(mine))
    states = " ".join(sorted({"page"} | {row.verdict.replace(" ", "-") for row in mine}))
    picture = f'<img src="{thumb[0]}" alt="{escape(thumb[1], quote=True)}" loading="lazy">' if thumb else ""
    return (
        f'<article class="ck-tile" data-state="{states}"><a href="{entry.part}/{entry.slug}.html">{picture}'
        f'<strong>{escape(entry.title)}</strong></a>{by}{idea}<span class="ck-row">{verdicts}</span>{elsewhere}</article>'
    )


def _elsewhere(rows: list[Row]) -> list[str]:
    """One line for each scale but the world: how many claims came out how, in signs and words."""
    lines = []
    for scale in dict.fromkeys(row.scale for row in rows if row.scale not in HOME):
        found = Counter("stale" if row.stale else row.verdict for row in rows if row.scale == scale)
        said = (f"{number} {SYMBOL.get(verdict, '')}&nbsp;{verdict}" for verdict, number in found.items())
        lines.append(f"{escape(scale)}: " + ", ".join(said))
    return lines
