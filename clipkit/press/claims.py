"""Reading the claims that a notebook put into its outputs."""

from __future__ import annotations

CLAIMS_MIME = "application/vnd.clipkit.claims+json"


def claims_output(notebook) -> dict | None:
    """The last structured claims output of an executed notebook, or None."""
    found = None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if CLAIMS_MIME in data:
                found = data[CLAIMS_MIME]
    return found
