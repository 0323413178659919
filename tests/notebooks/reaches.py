"""What a page computes and says: does every table reach the reader, and is every conclusion stated?

A cell shows the value of its last expression and what goes through `display`; everything else that a call returns is lost.
"""

from __future__ import annotations

import ast
import re
from functools import cache

from clipkit.paths import PACKAGE

MARKDOWN_TABLE = re.compile(r"^\s*\|.*\|\s*$\n^\s*\|[\s:|-]+\|\s*$", re.M)
CITED = re.compile(r"\b(?:the next|next|the|this) table\b(?! of claims)", re.I)
CLAIM = re.compile(r"\bC\d+\b|\b(?:the|this|that) claim (?:holds|fails)\b", re.I)
CONDITIONAL = re.compile(r"\b(?:if|unless|would|should|in case)\b|\bwhen(?:ever)? C\d", re.I)
QUESTION = re.compile(r"\basks\b")
SENTENCES = re.compile(r"(?<=[.!?:;])[*_]*\s+|\n")


def lost_tables(source: str) -> list[str]:
    """Calls of `lab.table` in a cell whose table no reader sees, as source."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";") else None
    parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    shown = {node.id for call in ast.walk(tree) if _shows(call) for node in ast.walk(call) if isinstance(node, ast.Name)}
    if last:
        shown |= {node.id for node in ast.walk(last.value) if isinstance(node, ast.Name)}
    lost = []
    for call in (node for node in ast.walk(tree) if _makes_table(node)):
        up: ast.AST = call
        while not isinstance(up, ast.stmt) and not _shows(up):
            up = parent[up]
        kept = isinstance(up, ast.Assign) and any(isinstance(t, ast.Name) and t.id in shown for t in up.targets)
        if not (_shows(up) or up is last or kept or isinstance(up, ast.Return)):
            lost.append(ast.unparse(call))
    return lost


def shows_table(source: str) -> bool:
    """Whether a cell shows at least one table, that of the claims aside."""
    return sum(_makes_table(node) for node in ast.walk(ast.parse(source))) > len(lost_tables(source))


def missing_tables(notebook) -> list[str]:
    """Tables that are made and not shown, and words about a table where the page, or for the next one the next code cell, has none."""
    code = {i: cell.source for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
    found = [f"cell {i} makes a table and does not show it: {call[:80]}" for i in code for call in lost_tables(code[i])]
    there = [i for i in code if shows_table(code[i])]
    there += [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown" and MARKDOWN_TABLE.search(cell.source)]
    for i, cell in enumerate(notebook.cells):
        for cited in CITED.findall(cell.source) if cell.cell_type == "markdown" else ():
            following = min((k for k in code if k > i), default=None)
            if not (following in there if "next" in cited.lower() else there):
                found.append(f"cell {i} speaks of {cited!r} and there is none")
    return found


def conditional_conclusions(notebook) -> list[str]:
    """Sentences of the markdown that name a claim and leave open what came out."""
    return [
        f"cell {i}: {sentence.strip()}"
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        for sentence in SENTENCES.split(cell.source)
        if CLAIM.search(sentence) and CONDITIONAL.search(sentence) and not QUESTION.search(sentence)
    ]


def _makes_table(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"lab.table", *_makers()}


@cache
def _makers() -> set[str]:
    """Functions of the studies that give back a table."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / "studies").glob("*.py")]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef) and node.returns]
    return {f"study.{function.name}" for function in functions if ast.unparse(function.returns) == "Table"}


def _shows(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("display", "lab.display", "publish", "lab.publish")
