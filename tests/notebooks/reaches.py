"""What a page computes and says: does every table reach the reader, and is every conclusion stated?

A cell shows the value of its last expression and what goes through `display`; everything else that a call returns is lost.
"""

from __future__ import annotations

import ast
import re

MARKDOWN_TABLE = re.compile(r"^\s*\|.*\|\s*$\n^\s*\|[\s:|-]+\|\s*$", re.M)
CITED = re.compile(r"\b(?:the|this|next) table\b(?! of claims)", re.I)
CLAIM = re.compile(r"\bC\d+\b|\b(?:the|this|that) claim (?:holds|fails|is)\b", re.I)
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
    """Whether a cell shows at least one table, that of the claims among them."""
    tables = sum(_makes_table(node) for node in ast.walk(ast.parse(source)))
    return tables > len(lost_tables(source)) or ".claims(" in source


def missing_tables(notebook) -> list[str]:
    """Tables that are made and not shown, and words about a table where none stands before them or in the next code cell."""
    found, seen, cells = [], False, notebook.cells
    for i, cell in enumerate(cells):
        if cell.cell_type == "code":
            found += [f"cell {i} makes a table and does not show it: {call[:80]}" for call in lost_tables(cell.source)]
            seen |= shows_table(cell.source)
            continue
        seen |= bool(MARKDOWN_TABLE.search(cell.source))
        after = next((c.source for c in cells[i + 1 :] if c.cell_type == "code"), "")
        if (cited := CITED.search(cell.source)) and not (seen or shows_table(after)):
            found.append(f"cell {i} speaks of {cited.group()!r} and there is none")
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
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("lab.table", "tables.table", "lab.tables.table")


def _shows(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("display", "lab.display", "publish", "lab.publish")
