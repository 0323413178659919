"""The reference page of clipkit: every public name of every room, its signature and its docstring.

Read from the source without importing it, so the page costs nothing and shows exactly what is written there.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

from clipkit.paths import PACKAGE

HIDDEN = ("press", "errors", "paths", "compat")


def api_page() -> str:
    """Markdown of the reference page, a section a room and a block a public function or class."""
    rooms = sorted(p.parent for p in PACKAGE.glob("*/__init__.py") if p.parent.name not in HIDDEN)
    sections = [_section(room.name, sorted(room.glob("*.py"))) for room in rooms]
    single = sorted(p for p in PACKAGE.glob("*.py") if p.stem not in (*HIDDEN, "__init__", "__main__"))
    sections += [_section(path.stem, [path]) for path in single]
    intro = "Functions take and return tensors or arrays; the descriptions give their shapes. Errors that you can mend are `ClipkitError`."
    return "# Reference of clipkit\n\n" + intro + "\n\n" + "\n".join(section for section in sections if section)


def _section(room: str, files: list[Path]) -> str:
    blocks, lead = [], ""
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name == "__init__.py" or len(files) == 1:
            lead = (ast.get_docstring(tree) or "").partition("\n\n")[0]
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_") and ast.get_docstring(node):
                blocks.append(_block(f"clipkit.{room}", node))
    if not blocks:
        return ""
    return f"## clipkit.{room}\n\n{_plain(lead)}\n\n" + "\n".join(blocks)


def _block(module: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    text = f"<pre>{escape(ast.get_docstring(node))}</pre>"
    if isinstance(node, ast.FunctionDef):
        head = f"{node.name}({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    else:
        head = f"class {node.name}"
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and ast.get_docstring(method):
                text += f"<p><code>.{escape(method.name)}({escape(ast.unparse(method.args))})</code></p>"
                text += f"<pre>{escape(ast.get_docstring(method))}</pre>"
    text = "\n".join(line or "&#8203;" for line in text.splitlines())  # an empty line would end the HTML block
    return f'<details class="ck-api" id="{module}.{node.name}"><summary><code>{escape(head)}</code></summary>\n{text}\n</details>\n'


def _plain(text: str) -> str:
    return " ".join(text.split())
