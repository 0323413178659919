"""`clipkit new SLUG`: a notebook with the whole anatomy, and a small experiment that runs, for a writer to replace.

Its cells stand in templates/notebook.md, each behind a line `+++`, `+++ code` or `+++ code TAG`.
"""

from __future__ import annotations

import re
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.press.install import with_install
from clipkit.press.markup import render
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


def write_new(entry: Entry) -> Path:
    """Write the notebook of an entry; ClipkitError when there is one already."""
    import nbformat

    path = entry.notebook_path
    if path.exists():
        raise ClipkitError(f"{path.name} exists already; edit it, or move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(entry), path)
    return path
