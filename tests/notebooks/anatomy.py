"""Is a notebook a page of this book? Each check returns a sentence for what is amiss."""

from __future__ import annotations

import ast
import re

from builder import install
from clipkit.lab.settings import STANDARD
from clipkit.press import hashing, notebooks
from clipkit.registry.papers import Entry

SECTIONS = (
    "The idea",
    "The method",
    "The experiment",
    "The claims",
    "What to make of it",
    "Going to full scale",
    "Exercises",
    "References",
)
MOST_CELLS = 16  # code cells; about 12 is better
CITATION = re.compile(r"\{(?:foot)?cite(?::[a-z]+)?\}`([^`]+)`")
CODE_OR_ROLE = re.compile(r"(\{[a-z:_]+\})?(?<!`)(`+)(?!`)(.+?)(?<!`)\2(?!`)", re.S)  # with its role, where it has one
PLACE = re.compile(r"""(?<![\w.:/])(?:/(?:home|root|work|tmp|mnt|data|Users)/|[A-Z]:\\\\)""")


def faults(entry: Entry, notebook, bibliography_keys: set[str]) -> list[str]:
    """Everything in which a committed notebook (nbformat node) departs from the anatomy; empty when nothing does."""
    found: list[str] = []
    code = hashing.code_cells(notebook)
    solutions = solution_cells(notebook)
    markdown = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernelspec is not named python3")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("the first cell does not begin with the title")
    first = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if first is None or first.source != install.SOURCE or tuple(first.metadata.get("tags", ())) != install.TAGS:
        found.append("the first code cell is not the one that installs the package; put it in with: make strip FILES=FILE")
    found += _parameters(notebook)
    headings = [line[3:].strip() for line in markdown.splitlines() if line.startswith("## ")]
    found += [f"section missing or out of order: {name}" for name in _missing(headings)]
    plain = [source for source in code if source not in solutions]
    if len(plain) > MOST_CELLS:
        found.append(f"{len(plain)} code cells besides the solutions, at most {MOST_CELLS}")
    if not any("NBVAL_CHECK_OUTPUT" in source for source in code):
        found.append("no cell with # NBVAL_CHECK_OUTPUT")
    found += _exercises(markdown, solutions)
    found += _outputs(notebook)
    for keys in CITATION.findall(markdown):
        found += [f"cited key {key.strip()!r} is in no bibliography" for key in keys.split(",") if key.strip() not in bibliography_keys]
    found += [
        f"a role inside of code, which nobody resolves: {text}"
        for role, _, text in CODE_OR_ROLE.findall(markdown)
        if not role and "{glue" in text
    ]
    everything = "\n".join(code) + markdown
    if re.search(r"^\s*[!%]\s*pip\b|pip install", "\n".join(code), re.M):
        found.append("pip install in a cell")
    if PLACE.search(everything):
        found.append(f"an absolute path: {PLACE.search(everything).group()}...")
    if f'"{entry.slug}"' not in "\n".join(code):
        found.append(f"no cell names the page's slug {entry.slug!r}")
    if not any(".claims(" in source for source in code):
        found.append("no cell shows the claims")
    return found


def unchecked(notebook) -> list[str]:
    """Sources of the checked cells that nbval passes unseen: without what they printed, or not counted as run."""
    checked = (cell for cell in notebook.cells if cell.cell_type == "code" and "NBVAL_CHECK_OUTPUT" in cell.source)
    return [cell.source for cell in checked if not cell.outputs or cell.execution_count is None]


def _missing(headings: list[str]) -> list[str]:
    place, missing = 0, []
    for name in SECTIONS:
        try:
            place = next(i for i, heading in enumerate(headings[place:], place) if heading.lower().startswith(name.lower())) + 1
        except StopIteration:
            missing.append(name)
    return missing


def _parameters(notebook) -> list[str]:
    source = notebooks.parameters_cell(notebook)
    if source is None:
        return ["no cell tagged parameters"]
    known = notebooks.parameters(notebook)
    found = [f"parameter {name} is missing" for name in STANDARD if name not in known]
    found += [f"parameter without a comment: {line}" for line in source.splitlines() if "=" in line and "#" not in line]
    if any(not isinstance(node, (ast.Assign, ast.AnnAssign)) for node in ast.parse(source).body):
        found.append("the parameters cell holds more than assignments")
    return found


def solution_cells(notebook) -> list[str]:
    """Sources of the code cells between solution-start and solution-end."""
    inside, found = False, []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            inside = ("{solution-start}" in cell.source or inside) and "{solution-end}" not in cell.source
        elif inside:
            found.append(cell.source)
    return found


def _exercises(markdown: str, solutions: list[str]) -> list[str]:
    labels = re.findall(r"\{exercise(?:-start)?\}[^`]*?:label:\s*(\S+)", markdown)
    solved = re.findall(r"\{solution-start\}\s*(\S+)", markdown)
    found = [] if len(labels) >= 3 else [f"{len(labels)} exercises, three are wanted"]
    found += [f"exercise {label} has no gated solution" for label in labels if label not in solved]
    if len(re.findall(r"\{solution-start\}[^`]*?:class: dropdown", markdown)) < len(solved):
        found.append("a solution is not a dropdown")
    if len(solutions) < len(solved):
        found.append("a solution has no code cell")
    return found


def _outputs(notebook) -> list[str]:
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                found.append("a picture is committed: strip the outputs")
            elif "NBVAL_CHECK_OUTPUT" not in cell.source:
                found.append(f"an output is committed that no check needs: {cell.source.splitlines()[0][:60]}")
    return found
