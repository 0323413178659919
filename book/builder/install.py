"""A notebook as it is committed: no outputs, and before its code the cell that installs the package where it is missing."""

from __future__ import annotations

from clipkit.errors import DISTRIBUTION
from clipkit.press.notebooks import INSTALL

TAGS = (INSTALL, "remove-cell", "nbval-skip")  # not on the site, not in nbval; papermill runs it, which costs a look-up
SOURCE = f"""
# Installs what is missing (Colab, a downloaded page); does nothing where it is there.
from importlib.util import find_spec

if find_spec("clipkit") is None:
    get_ipython().run_line_magic("pip", "install --quiet {DISTRIBUTION}[pages]")
elif find_spec("clipkit.lab") is None:
    raise ImportError("another clipkit is installed: pip uninstall clipkit, restart")
""".strip()


def is_install(cell) -> bool:
    """Whether a cell (nbformat node) is the one that installs; it belongs to no experiment and is in no hash."""
    return INSTALL in cell.metadata.get("tags", [])


def with_install(notebook):
    """The notebook (nbformat node) with the cell, as it reads today, before all other code; changed in place.

    Only a page has it: a notebook with a cell tagged `parameters`.
    """
    import nbformat.v4 as v4

    notebook.cells = [cell for cell in notebook.cells if not is_install(cell)]
    if any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        place = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(place, v4.new_code_cell(SOURCE, metadata={"tags": list(TAGS)}, id=INSTALL))
    return notebook


def stripped(notebook):
    """The notebook as it is committed; changed in place.

    No counters, no outputs but the text of checked cells, no versions; a page gets the cell that installs the package.
    """
    with_install(notebook)
    if "language_info" in notebook.metadata:
        notebook.metadata["language_info"] = {"name": notebook.metadata["language_info"]["name"]}
    notebook.metadata = {name: notebook.metadata[name] for name in notebook.metadata if name in ("kernelspec", "language_info")}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        keep = "NBVAL_CHECK_OUTPUT" in cell.source
        cell.outputs = [o for o in cell.outputs if keep and o.get("output_type") == "stream" and o.get("name") == "stdout"]
        cell.execution_count = 1 if cell.outputs else None  # nbval compares only cells that say they were run
        for name in [name for name in cell.metadata if name not in ("tags",)]:
            del cell.metadata[name]
    return notebook
