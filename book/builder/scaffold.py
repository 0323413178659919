"""`make new NB=SLUG`: a notebook with the whole anatomy, and a small experiment that runs, for a writer to replace.

Its cells stand in templates/notebook.md, each behind a line `+++`, `+++ code` or `+++ code TAG`.
"""

from __future__ import annotations

import re
from pathlib import Path

from builder import ROOT
from builder.install import with_install
from builder.markup import render
from clipkit.errors import ClipkitError
from clipkit.registry.papers import Entry

CELL = re.compile(r"^\+\+\+ ?(code)? ?(\w+)?\n(.*?)(?=^\+\+\+|\Z)", re.M | re.S)


def new_notebook(entry: Entry):
    """The notebook as an nbformat node, the same for the same entry."""
    import nbformat.v4 as v4

    name = entry.slug.replace("_", "-")
    text = render("notebook.md", entry=entry, name=name, tested=[claim.id for claim in entry.claims if claim.tests])
    notebook = v4.new_notebook()
    for place, (code, tag, source) in enumerate(CELL.findall(text)):
        make = v4.new_code_cell if code else v4.new_markdown_cell
        notebook.cells.append(make(source.strip(), id=f"{name[:40]}-{place:02d}", metadata={"tags": [tag]} if tag else {}))
    with_install(notebook)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def copy_page(source: Entry, entry: Entry) -> list[Path]:
    """Copy a finished page under another name: notebook, study, its own and its calibration test; returns the new files.

    Every occurrence of the old slug becomes the new one, titles of the registry likewise; the writer replaces the rest.
    Raises ClipkitError when the source has no notebook or a file would be overwritten.
    """
    if not source.has_notebook:
        raise ClipkitError(f"{source.slug} has no notebook to copy; take a page from `clipkit papers`")
    tests = ROOT / "tests"
    copies = {source.notebook_path: entry.notebook_path}
    for pattern in ("clipkit/studies/{}.py", "tests/unit/test_page_{}.py", "tests/calibration/test_{}.py"):
        copies[tests.parent / pattern.format(source.slug)] = tests.parent / pattern.format(entry.slug)
    copies = {old: new for old, new in copies.items() if old.is_file()}
    if there := [new.name for new in copies.values() if new.exists()]:
        raise ClipkitError(f"{', '.join(there)} exists already; edit it, or move it away first")
    names = {source.slug: entry.slug, source.slug.replace("_", "-"): entry.slug.replace("_", "-"), source.title: entry.title}
    for old, new in copies.items():
        text = old.read_text(encoding="utf-8")
        for name, other in names.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", lambda _, other=other: other, text)
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
    return list(copies.values())


def write_new(entry: Entry) -> Path:
    """Write the notebook of an entry; ClipkitError when there is one already."""
    import nbformat

    path = entry.notebook_path
    if path.exists():
        raise ClipkitError(f"{path.name} exists already; edit it, or move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(entry), path)
    return path
