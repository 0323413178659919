"""What fills the `<!-- clipkit:NAME -->` markers in the book's own pages: counts, gallery, lists, the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable

from clipkit.errors import unknown
from clipkit.press import ledger as books
from clipkit.press.ledger import Row
from clipkit.press.markup import OUTCOMES, render
from clipkit.registry.papers import Registry

MARKER = re.compile(r"<!-- clipkit:([a-z_]+)(?: ([a-z0-9_]+))? -->")


def fill(text: str, registry: Registry, rows: list[Row], built: set[str], thumbs: dict[str, tuple[str, str]]) -> str:
    """Replace every marker of a page. `built`: slugs with a page; `thumbs`: slug -> (path, alt) of its first figure.

    Raises ClipkitError for a marker nobody knows.
    """
    entries = {entry.slug: entry for entry in registry.entries}
    parts_by_name = [(part.id, part.title) for part in registry.parts()]
    makers: dict[str, Callable[[str | None], str]] = {
        "counts": lambda _: render("counts.md", registry=registry, total=books.counts(rows), built=built),
        "gallery": lambda _: render("gallery.md", registry=registry, rows=rows, built=built, thumbs=thumbs, parts_by_name=parts_by_name),
        "part": lambda part: render("part.md", entries=registry.of_part(part), rows=rows, built=built),
        "page": lambda slug: render("page.md", slug=slug, entry=entries.get(slug), built=built),
        "ledger_counts": lambda _: render("ledger_counts.md", total=books.counts(rows)),
        "ledger": lambda _: ledger_table(registry, rows, built),
    }

    def replace(match: re.Match) -> str:
        name, argument = match.groups()
        if name not in makers:
            raise unknown("marker in a page of the book", name, makers)
        return makers[name](argument)

    return MARKER.sub(replace, text)


def ledger_table(registry: Registry, rows: list[Row], built: set[str]) -> str:
    """One table in the order of the registry's parts, what was measured first; above it the filter, hidden until its script has run."""
    order = {part.id: place for place, part in enumerate(registry.parts())}
    listed = sorted(books.records_of(books.table(rows)), key=lambda row: (row["outcome"] == "not run", order[row["part"]]))
    return render(
        "ledger.md",
        rows=listed,
        built=built,
        outcomes_by_name=[(name.replace(" ", "-"), name) for name in OUTCOMES],
        scales=[(scale, scale) for scale in sorted({row["scale"] for row in listed if row["date"]})],
        parts_by_name=[(part.id, part.title) for part in registry.parts()],
    )
