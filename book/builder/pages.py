"""What fills the `<!-- clipkit:NAME -->` markers in the book's own pages: counts, gallery, lists, the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable

from builder import counts
from builder.markup import render
from clipkit.errors import unknown
from clipkit.press.ledger import WHOSE, Row
from clipkit.registry.papers import Registry
from clipkit.registry.verdict import NOT_RUN, OUTCOMES

MARKER = re.compile(r"<!-- clipkit:([a-z_]+)(?: ([a-z0-9_]+))? -->")


def fill(text: str, registry: Registry, rows: list[Row], built: set[str], thumbs: dict[str, tuple[str, str]]) -> str:
    """Replace every marker of a page. `built`: slugs with a page; `thumbs`: slug -> (path, alt) of its first figure.

    Raises ClipkitError for a marker nobody knows.
    """
    entries = {entry.slug: entry for entry in registry.entries}
    parts_by_name = [(part.id, part.title) for part in registry.parts()]
    counted = [row for row in rows if not row.own]
    makers: dict[str, Callable[[str | None], str]] = {
        "counts": lambda _: render("counts.md", registry=registry, rows=counted, built=built),
        "transfer": lambda _: render("transfer.md", found=counts.transfer(counted)),
        "gallery": lambda _: render("gallery.md", registry=registry, rows=counted, built=built, thumbs=thumbs, parts_by_name=parts_by_name),
        "part": lambda part: render("part.md", entries=registry.of_part(part), rows=counted, built=built),
        "page": lambda slug: render("page.md", slug=slug, entry=entries.get(slug), built=built),
        "ledger_counts": lambda _: render("ledger_counts.md", rows=counted, whose=WHOSE),
        "ledger": lambda _: ledger_table(registry, rows, built),
    }

    def replace(match: re.Match) -> str:
        name, argument = match.groups()
        if name not in makers:
            raise unknown("marker in a page of the book", name, makers)
        return makers[name](argument)

    return MARKER.sub(replace, text)


def ledger_table(registry: Registry, rows: list[Row], built: set[str]) -> str:
    """The filter, hidden until its script has run; the rows in the order of the registry's parts; folded below, what was not run.

    A reader's own records have a table of their own.
    """
    order = {part.id: place for place, part in enumerate(registry.parts())}
    listed = sorted(rows, key=lambda row: order[row.entry.part])
    return render(
        "ledger.md",
        run=[row for row in listed if row.outcome != NOT_RUN and not row.own],
        waiting=[row for row in listed if row.outcome == NOT_RUN and not row.own],
        own=[row for row in listed if row.own],
        built=built,
        outcomes_by_name=[(name.replace(" ", "-"), name) for name in OUTCOMES],
        scales=[(scale, scale) for scale in sorted({row.scale for row in listed if row.record})],
        parts_by_name=[(part.id, part.title) for part in registry.parts()],
    )
