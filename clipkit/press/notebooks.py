"""Reading committed notebooks: their parameters, and checking parameters given on the command line."""

from __future__ import annotations

import ast
from pathlib import Path

from clipkit.errors import ClipkitError, unknown
from clipkit.lab.own import SETTINGS
from clipkit.lab.report import MIME

PRESETS = ("smoke", "quick", "full")
INSTALL = "setup-install"  # tag of the cell that installs the package; it belongs to no experiment and is in no hash


def read(path: Path):
    """The notebook at `path`; ClipkitError when there is none or it is not a notebook."""
    import nbformat

    if not path.is_file():
        raise ClipkitError(f"no notebook {path.stem} yet; start one in a clone of the book with: make new NB={path.stem}")
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ClipkitError(f"{path.name} is not a readable notebook: {str(error)[:200]}") from error


def parameters_cell(notebook) -> str | None:
    """Source of the cell tagged `parameters`, or None."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return cell.source
    return None


def parameters(notebook) -> dict:
    """Names and default values in the parameters cell; a value that is not a literal raises ClipkitError."""
    found: dict = {}
    for node in ast.parse(parameters_cell(notebook) or "").body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            if isinstance(target, ast.Name) and node.value is not None:
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except ValueError:
                    raise ClipkitError(f"parameter {target.id} is not a plain literal; derive it in a later cell") from None
    return found


def typed(text: str) -> object:
    """A value from the command line, typed as papermill's own `-p` does it.

    >>> [typed(t) for t in ("3", "1e-3", "None", "True", "folder:x")]
    [3, 0.001, None, True, 'folder:x']
    """
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def check_parameters(notebook, given: dict, page: str) -> None:
    """ClipkitError for a parameter that neither the page has nor all pages take, or a preset nobody knows."""
    known = [*parameters(notebook), *SETTINGS]
    for name in given:
        if name not in known:
            raise unknown(f"parameter of {page}", name, known)
    if given.get("preset", "quick") not in PRESETS:
        raise unknown("preset", given["preset"], PRESETS)


def claims_output(notebook) -> dict | None:
    """The last structured claims output of an executed notebook, or None."""
    found = None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if MIME in data:
                found = data[MIME]
    return found
