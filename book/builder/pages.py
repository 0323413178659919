"""What fills the `<!-- clipkit:NAME -->` markers in the book's own pages: counts, gallery, lists, the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable

import yaml

from builder import counts
from builder.exercises import exercises, with_solutions
from builder.markup import render
from builder.settings import BOOK
from builder.size import notebook_lines
from clipkit.errors import unknown
from clipkit.press import notebooks
from clipkit.press.ledger import WHOSE, Row
from clipkit.registry.papers import Entry, Registry
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
        "lesson": lambda slug: render("lesson.md", entry=e, built=built, lesson=lesson(e)) if (e := entries.get(slug)) else "",
        "levels": lambda _: render("levels.md", levels=levels(registry), built=built),
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


def lesson(entry: Entry) -> dict | None:
    """Minutes that a page takes: to read it (200 words and 5 statements of code a minute), and for each exercise; None without a page."""
    if not entry.has_notebook:
        return None
    notebook = notebooks.read(entry.notebook_path)
    words = sum(len(cell.source.split()) for cell, hidden in with_solutions(notebook) if cell.cell_type == "markdown" and not hidden)
    asked = exercises(notebook)
    reading = words / 200 + notebook_lines(entry.notebook_path) / 5
    return {"reading": 5 * round(reading / 5 + 0.5), "exercises": asked, "together": reading + sum(one.minutes for one in asked)}


def levels(registry: Registry) -> list[tuple[str, list[tuple[Entry, dict]]]]:
    """(What a level asks, its pages with their minutes, the shortest first), from book/levels.yml; others come last."""
    given: dict[str, list[str]] = yaml.safe_load((BOOK / "levels.yml").read_text(encoding="utf-8"))
    named = {slug for slugs in given.values() for slug in slugs}
    pages = {entry.slug: (entry, minutes) for entry in registry.entries if (minutes := lesson(entry))}
    given = given | {"Not placed yet": [slug for slug in pages if slug not in named]}
    by_time = {
        name: sorted((pages[slug] for slug in slugs if slug in pages), key=lambda one: one[1]["together"]) for name, slugs in given.items()
    }
    return [(name, found) for name, found in by_time.items() if found]


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
