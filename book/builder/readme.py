"""The README's table of papers, between two markers."""

from __future__ import annotations

from builder.markup import render
from clipkit.errors import ClipkitError
from clipkit.registry.papers import Registry

START, END = "<!-- papers:start -->", "<!-- papers:end -->"


def table(registry: Registry) -> str:
    """A Markdown table, a row an entry: finished pages are linked, planned ones are not."""
    return render("readme.md", registry=registry).strip()


def with_table(text: str, registry: Registry) -> str:
    """`text` with the table put between its markers; ClipkitError when they are missing."""
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ClipkitError(f"README.md needs the lines {START} and {END}; the table goes between them")
    return f"{head}{START}\n{table(registry)}\n{END}{tail}"
