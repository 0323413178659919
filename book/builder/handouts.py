"""Notebooks to hand out: the numbers of the site printed into the text, roles and directives turned into plain Markdown.

A student's notebook has no solutions, an empty cell in their place with the solution's assertions below it, and a cell to predict
the outcome of each claim in; a teacher's has the solutions, and what the records say to each claim. Both open in Jupyter, Colab and
VS Code without an extension.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Mapping, Sequence

from builder.exercises import Exercise, exercises, pieces, with_solutions
from clipkit.lab.claim_words import badge_words, effect, place, versus
from clipkit.lab.notebook import GLUE_PREFIX
from clipkit.registry.outcomes import Row
from clipkit.registry.papers import Entry

GLUE = GLUE_PREFIX + "text/plain"
ROLE = re.compile(r"\{(glue|term|cite:t|cite:p)\}`([^`]+)`")
REFERENCES = re.compile(r"^## References\s*|^```\{bibliography\}.*?^```\s*$", re.M | re.S)
YEAR = re.compile(r" \((.*)\)$")
TARGET = re.compile(r"\s*<[^>]*>$")


def glued(executed) -> dict[str, str]:
    """Name -> text of every number that a run (nbformat node) left for the prose."""
    found = {}
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if GLUE in output.get("data", {}):
                found[output["metadata"]["scrapbook"]["name"]] = "".join(output["data"][GLUE])
    return found


def handout(entry: Entry, notebook, numbers: Mapping[str, str], cited: Mapping[str, str], solutions: bool, rows: Sequence[Row] = ()):
    """A copy of a page's notebook (nbformat node) to hand out, without outputs.

    Args:
        rows: of the page in the ledger, for the answers that a teacher expects.
        numbers: of `glued`; a name that is missing there is printed as "…".
        cited: bibliography key -> "Radford and others (2021)".
        solutions: with them (for the teacher), or with an empty cell in their place (for the student).
    """
    import nbformat.v4 as v4

    made = copy.deepcopy(notebook)
    asked = {one.label: one for one in exercises(notebook)}
    cells = []
    for cell, solution in list(with_solutions(made)):
        if cell.cell_type == "code":
            if solutions or not solution:
                cell.outputs, cell.execution_count = [], None
                cells.append(cell)
            continue
        shown, opened = [], None
        for kind, label, text in pieces(cell.source):
            if kind == "exercise":
                shown.append(f"### Exercise {asked[label].number}\n\n{text}")
            elif kind == "solution-start":
                solution, opened = label, asked[label]
                shown += [f"**Solution to exercise {opened.number}**\n\n{text}"] * solutions
            elif kind == "solution-end":
                solution = ""
            elif solutions or not solution:
                shown.append(text)
        cell.source = plain("\n\n".join(shown), numbers, cited)
        cells += [cell] if cell.source else []
        if opened and not solutions:
            answers = (f"# Exercise {opened.number}: your code", "answer"), (_checks(opened), "check")
            cells += [v4.new_code_cell(text, id=f"{kind}-{opened.number}") for text, kind in answers if text]
    ran = {id(cell) for cell in made.cells if cell.cell_type == "code"}
    first = next((i for i, cell in enumerate(cells) if id(cell) in ran), len(cells))  # after the idea, before anything runs
    cells.insert(first, v4.new_markdown_cell(_answers(rows) if solutions else _predict(entry), id="predict"))
    made.cells = cells
    made.metadata["title"] = f"{entry.title} ({'teacher' if solutions else 'student'})"
    return made


def plain(text: str, numbers: Mapping[str, str], cited: Mapping[str, str]) -> str:
    r"""Markdown without roles and without the list of references.

    >>> plain("{cite:t}`a` has {glue}`n` {term}`seeds <seed>` {cite:p}`a,b`.", {"n": "5"}, {"a": "Ann (2020)", "b": "Bo (2021)"})
    'Ann (2020) has 5 seeds (Ann, 2020; Bo, 2021).'
    """

    def role(found: re.Match) -> str:
        kind, value = found.groups()
        if kind == "glue":
            return numbers.get(value, "…")
        if kind == "term":
            return TARGET.sub("", value)
        names = [cited.get(key.strip(), key.strip()) for key in value.split(",")]
        if kind == "cite:p":
            return "(" + "; ".join(YEAR.sub(r", \1", name) for name in names) + ")"
        return ", ".join(names)

    return re.sub(r"\n{3,}", "\n\n", REFERENCES.sub("", ROLE.sub(role, text))).strip()


def citations(*files: str) -> dict[str, str]:
    """Bibliography key -> names and year, from the text of BibTeX files."""
    from pybtex.database import parse_string

    found = {}
    for text in files:
        for key, entry in parse_string(text, "bibtex").entries.items():
            names = [_plain([*person.prelast_names, *person.last_names]) for person in entry.persons.get("author", [])]
            several = f"{names[0]} and others" if len(names) > 2 or "others" in names else " and ".join(names)
            found[key] = f"{several} ({entry.fields.get('year', 'n.d.')})"
    return found


def _plain(names: Sequence[str]) -> str:
    from pybtex.richtext import Text

    return str(Text.from_latex(" ".join(names)))


def _checks(exercise: Exercise) -> str:
    """The assertions of a closed exercise's solution, with the names they expect of the answer, functions with their arguments."""
    if not (exercise.closed and exercise.checks):
        return ""
    stored = {
        name
        for node in ast.walk(ast.parse("\n".join(exercise.code)))
        for name in ([node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else [getattr(node, "name", None)])
    }
    signed = {
        node.name: f"{node.name}({ast.unparse(node.args)})"
        for node in ast.walk(ast.parse("\n".join(exercise.code)))
        if isinstance(node, ast.FunctionDef)
    }
    used = [node.id for check in exercise.checks for node in ast.walk(ast.parse(check)) if isinstance(node, ast.Name)]
    names = ", ".join(dict.fromkeys(signed.get(name, name) for name in used if name in stored))
    head = f"# Exercise {exercise.number}: runs if the answer is right" + (f"; it expects {names}" if names else "")
    return "\n".join([head, *exercise.checks])


def _predict(entry: Entry) -> str:
    """The claims with room for a guess, for the first ten minutes of a lesson."""
    rows = "\n".join(f"| {claim.id} | {_cell(claim.text)} | | |" for claim in entry.claims)
    head = "| claim | sentence | your guess: holds, weaker, no effect, reversed? | how sure, in percent? |\n| --- | --- | --- | --- |"
    return f"## Before you look: what will come out?\n\n{head}\n{rows}"


def _answers(rows: Sequence[Row]) -> str:
    """What the claims' table says, from the records, for who collects the guesses."""
    lines = []
    for row in rows:
        found = effect(row) or row.note, versus(row) if effect(row) else ""
        cells = row.claim.id, badge_words(row.outcome, row.scale), place(row), *found
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    head = "| claim | outcome | on | measured | against |\n| --- | --- | --- | --- | --- |"
    return "\n".join(["## For the teacher: what came out", "", head, *lines])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
