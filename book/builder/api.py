"""The reference page of clipkit: every public function and class, once, under the module from which it is imported.

Read from the source without importing it, so the page costs nothing and shows exactly what is written there.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

from markupsafe import Markup

from builder.markup import render
from clipkit.paths import PACKAGE

HIDDEN = ("press", "studies", "errors", "paths", "compat", "__init__", "__main__")


def api_page() -> str:
    """Markdown of the reference page: a section a room, with the names the room itself gives and then those of its files."""
    folders = [room for room in sorted(PACKAGE.iterdir()) if (room / "__init__.py").is_file() and room.name not in HIDDEN]
    single = [path for path in sorted(PACKAGE.glob("*.py")) if path.stem not in HIDDEN]
    sections = [_room(room) for room in folders] + [{f"clipkit.{path.stem}": _module(path)} for path in single]
    return render("api.md", sections=[section for section in sections if any(module["blocks"] for module in section.values())])


def _room(folder: Path) -> dict[str, dict]:
    """Dotted module -> what is imported from it; the room itself comes first."""
    room = f"clipkit.{folder.name}"
    given = _given(folder / "__init__.py", room)
    found = {room: _module(folder / "__init__.py")}
    for path in sorted(folder.glob("[!_]*.py")):
        module = _module(path)
        found[room]["blocks"] += [block for block in module["blocks"] if (path.stem, block["name"]) in given]
        module["blocks"] = [block for block in module["blocks"] if (path.stem, block["name"]) not in given]
        found[f"{room}.{path.stem}"] = module
    return found


def _given(init: Path, room: str) -> set[tuple[str, str]]:
    """Pairs (file, name) that a room hands on: imported at once, or in a table of files and names to be imported when asked for."""
    found = set()
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.rpartition(".")[0] == room:
            found |= {(node.module.rpartition(".")[2], alias.asname or alias.name) for alias in node.names}
        for table in (part for part in ast.walk(node) if isinstance(part, ast.Dict)):
            for key, value in zip(table.keys, table.values, strict=True):
                words = " ".join(part.value for part in ast.walk(value) if isinstance(part, ast.Constant) and isinstance(part.value, str))
                found |= {
                    pair for word in words.split() for pair in ((key.value, word), (word, key.value)) if isinstance(key, ast.Constant)
                }
    return found


def _module(path: Path) -> dict:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and _is_public(node)]
    return {"lead": (ast.get_docstring(tree) or "").partition("\n\n")[0], "blocks": [_block(node) for node in public]}


def _is_public(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return not node.name.startswith("_") and ast.get_docstring(node) is not None


def _block(node: ast.FunctionDef | ast.ClassDef) -> dict:
    methods = (
        [part for part in node.body if isinstance(part, ast.FunctionDef) and _is_public(part)] if isinstance(node, ast.ClassDef) else []
    )
    return {"name": node.name, "head": _head(node), "text": _text(node), "methods": [(_head(method), _text(method)) for method in methods]}


def _head(node: ast.FunctionDef | ast.ClassDef) -> Markup:
    if isinstance(node, ast.ClassDef):
        return Markup(f"class {node.name}")
    head = f"{node.name}({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    return Markup(escape(head, quote=False))


def _text(node: ast.FunctionDef | ast.ClassDef) -> Markup:
    lines = escape(ast.get_docstring(node), quote=False).splitlines()
    return Markup("\n".join(line if line.strip() else "&#8203;" for line in lines))  # an empty line would end the HTML block
