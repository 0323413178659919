"""The README's table of papers, between two markers."""

from __future__ import annotations

from clipkit.errors import ClipkitError
from clipkit.press.markup import authors, venue
from clipkit.press.settings import in_repository
from clipkit.registry.papers import Registry

START, END = "<!-- papers:start -->", "<!-- papers:end -->"


def table(registry: Registry) -> str:
    """A Markdown table, a row an entry: finished pages are linked, planned ones are not."""
    lines = []
    for part in registry.parts():
        lines += [f"**{part.title}.** {part.line}", "", "| page | paper | claims |", "| --- | --- | --- |"]
        for entry in registry.of_part(part.id):
            name = f"[{entry.slug}]({in_repository(entry)})" if entry.has_notebook else f"{entry.slug} (planned)"
            title = entry.title.replace("|", r"\|") + (f" ({authors(entry, 2)}, {venue(entry)})" if entry.is_paper else "")
            lines.append(f"| {name} | {title} | {len(entry.claims)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def with_table(text: str, registry: Registry) -> str:
    """`text` with the table put between its markers; ClipkitError when they are missing."""
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ClipkitError(f"README.md needs the lines {START} and {END}; the table goes between them")
    return f"{head}{START}\n{table(registry)}\n{END}{tail}"
