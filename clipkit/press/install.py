"""The cell every page begins its code with: it installs the package where it is missing, and does nothing where it is there."""

from __future__ import annotations

from clipkit.errors import DISTRIBUTION

TAG = "setup-install"
TAGS = (TAG, "remove-cell", "nbval-skip")  # not on the site, not in nbval; papermill runs it, which costs a look-up
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
    return TAG in cell.metadata.get("tags", [])


def with_install(notebook):
    """The notebook (nbformat node) with the cell, as it reads today, before all other code; changed in place.

    Only a page has it: a notebook with a cell tagged `parameters`.
    """
    import nbformat.v4 as v4

    notebook.cells = [cell for cell in notebook.cells if not is_install(cell)]
    if any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        place = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(place, v4.new_code_cell(SOURCE, metadata={"tags": list(TAGS)}, id=TAG))
    return notebook
