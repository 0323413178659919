"""The exercises of a page: their number, text, solution, and the minutes they take."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clipkit.syntax import python_source

GATE = re.compile(r"^```\{(exercise|solution-start|solution-end)\}([^\n]*)\n(.*?)^```\s*$", re.M | re.S)
TITLE = re.compile(r"\A\*\*(.+?)\*\*\.?")
HARDNESS = re.compile(r"\s*\((warm-up|harder|open)\)\.?")


@dataclass
class Exercise:
    """One exercise.

    Attributes:
        label: its name in the notebook; `number`: on its page, from 1.
        title: its bold beginning, without the hardness; "" where there is none.
        hardness: warm-up, harder or open; the first two are `closed`, they have one answer.
        text: Markdown of what is asked.
        words: of the solution's prose; `code`: the sources of the solution's cells.
    """

    label: str
    number: int
    title: str
    hardness: str
    text: str
    words: int = 0
    code: list[str] = field(default_factory=list)

    @property
    def minutes(self) -> int:
        """An estimate from the solution: 5 to read, 3 a statement (assertions are given), 1 for 30 words; to the next 5."""
        written = sum(count_statements(ast.parse(python_source([code])).body) for code in self.code) - len(self.checks)
        exact = 5 + 3 * written + self.words / 30
        return 5 * round(exact / 5 + 0.5)

    @property
    def closed(self) -> bool:
        return self.hardness != "open"

    @property
    def checks(self) -> list[str]:
        """The assertions of the solution's code at top level, as they stand there."""
        return [
            ast.get_source_segment(code, node)
            for code in self.code
            if "assert " in code
            for node in ast.parse(code).body
            if isinstance(node, ast.Assert)
        ]


def exercises(notebook) -> list[Exercise]:
    """Those of a page's notebook (nbformat node), in order; each solution goes with the exercise that its label names."""
    found: dict[str, Exercise] = {}
    for cell, solution in with_solutions(notebook):
        if cell.cell_type == "code":
            if solution:
                found[solution].code.append(cell.source)
            continue
        for gate, label, text in pieces(cell.source):
            if gate == "exercise":
                title, hardness = TITLE.match(text), HARDNESS.search(text[:200])
                found[label] = Exercise(
                    label=label,
                    number=len(found) + 1,
                    title=HARDNESS.sub("", title[1]).strip(" .") if title else "",
                    hardness=hardness[1] if hardness else "open",
                    text=text,
                )
            elif label in found:
                found[label].words += len(text.split())
            elif gate == "text" and solution:
                found[solution].words += len(text.split())
    return list(found.values())


def with_solutions(notebook) -> Iterator[tuple[object, str]]:
    """Each cell with the label of the solution that is open at its beginning, or ""."""
    open_one = ""
    for cell in notebook.cells:
        yield cell, open_one
        if cell.cell_type == "markdown":
            for gate, label, _ in pieces(cell.source):
                open_one = label if gate == "solution-start" else "" if gate == "solution-end" else open_one


def pieces(source: str) -> Iterator[tuple[str, str, str]]:
    """A Markdown cell in pieces: (exercise, solution-start, solution-end or text; label; text)."""
    at, label = 0, ""
    for found in GATE.finditer(source):
        yield "text", label, source[at : found.start()]
        kind, argument, body = found[1], found[2].strip(), found[3]
        named = re.search(r"^:label:\s*(\S+)", body, re.M)
        label = named[1] if named else argument
        yield kind, label, f"{argument if kind == 'exercise' else ''} {re.sub(r'^:[a-z]+:.*$', '', body, flags=re.M).strip()}".strip()
        label, at = label if found[1] == "solution-start" else "", found.end()
    yield "text", label, source[at:]


TELLS = {"figure", "show", "bars", "curves", "heatmap", "table", "image_grid", "sheet", "forest", "glue", "glue_all", "print"}
WORDS = {"alt", "said", "told", "title", "axes", "fig"}


def count_statements(body: list[ast.stmt]) -> int:
    """Statements of code, however they are wrapped, without those that only draw or tell."""
    count = 0
    for node in body:
        if not _only_tells(node):
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            count += (
                1 + sum(map(count_statements, blocks)) + sum(count_statements(handler.body) for handler in getattr(node, "handlers", []))
            )
    return count


def _only_tells(node: ast.stmt) -> bool:
    """Does a statement draw a figure, put a number into the text, or make the words for either?"""
    if isinstance(node, ast.With):
        return any(_called(item.context_expr) in TELLS for item in node.items)
    if isinstance(node, ast.Expr):
        return _called(node.value) in TELLS or isinstance(node.value, (ast.Constant, ast.Name))
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, (ast.AugAssign, ast.AnnAssign)) else []
    return bool(targets) and all(isinstance(target, ast.Name) and target.id in WORDS for target in targets)


def _called(node: ast.expr) -> str:
    """The last name of what is called: "bars" of `lab.bars(...)`."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
