"""Which files of clipkit a piece of code stands on, read from its syntax without importing anything.

Two questions are answered. `named_files`: the files that define what the code imports by name (what a
record is tied to). `reached_files`: those and everything they import in turn (what a run is tied to).
A name re-exported by a package is followed to the file that defines it, so a change in one technique
does not make every page of its room run again.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from clipkit.paths import PACKAGE

ROOT_NAME = PACKAGE.name


def named_files(source: str) -> set[Path]:
    """Files of clipkit that define the names which `source` imports or reaches through a module.

    `source` is Python; a syntax error raises SyntaxError.
    """
    return _resolve_all(_references(ast.parse(source), package=""))


def reached_files(source: str) -> set[Path]:
    """`named_files`, and transitively the files those import; data files lying beside them included."""
    reached: set[Path] = set()
    frontier = named_files(source)
    while frontier:
        path = frontier.pop()
        if path in reached:
            continue
        reached.add(path)
        if path.suffix == ".py":
            frontier |= _file_imports(path, path.stat().st_mtime_ns) - reached
    folders = {path.parent for path in reached}
    beside = {p for folder in folders for p in folder.iterdir() if p.suffix in (".json", ".txt", ".csv", ".yml")}
    return reached | beside


@cache
def _file_imports(path: Path, _mtime: int) -> frozenset[Path]:
    source = path.read_text(encoding="utf-8")
    package = ".".join((ROOT_NAME, *path.parent.relative_to(PACKAGE).parts))
    found = _resolve_all(_references(ast.parse(source), package))
    if "import_module" in source or "__import__" in source:  # what it imports is decided at run time: take the whole room
        found |= set(path.parent.rglob("*.py"))
    return frozenset(found)


def _references(tree: ast.AST, package: str) -> set[tuple[str, str | None]]:
    """Pairs (module, name) that the code imports or reaches by attribute; name None is the module itself."""
    pairs: set[tuple[str, str | None]] = set()
    bound: dict[str, str] = {}  # local name -> clipkit module it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == ROOT_NAME:
                    pairs.add((alias.name, None))
                    bound[alias.asname or ROOT_NAME] = alias.name if alias.asname else ROOT_NAME
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            if module is None or module.split(".")[0] != ROOT_NAME:
                continue
            for alias in node.names:
                pairs.add((module, alias.name))
                if _module_file(f"{module}.{alias.name}"):
                    bound[alias.asname or alias.name] = f"{module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = _chain(node)
            if names and names[0] in bound:
                module, rest = bound[names[0]], names[1:]
                while rest and _module_file(f"{module}.{rest[0]}"):
                    module, rest = f"{module}.{rest[0]}", rest[1:]
                pairs.add((module, rest[0] if rest else None))
    return pairs


def _chain(node: ast.expr) -> list[str]:
    """`a.b.c` as ["a", "b", "c"]; empty when the root is not a plain name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def _absolute(node: ast.ImportFrom, package: str) -> str | None:
    if not node.level:
        return node.module
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *(node.module or "").split(".")]).rstrip(".") if package else None


def _module_file(module: str) -> Path | None:
    """File of a dotted clipkit module, or None."""
    first, *steps = module.split(".")
    if first != ROOT_NAME:
        return None
    base = PACKAGE.joinpath(*steps)
    if (base / "__init__.py").is_file():
        return base / "__init__.py"
    return base.with_suffix(".py") if steps and base.with_suffix(".py").is_file() else None


def _resolve_all(pairs: set[tuple[str, str | None]]) -> set[Path]:
    found: set[Path] = set()
    for module, name in pairs:
        found |= _resolve(module, name, frozenset())
    return found


def _resolve(module: str, name: str | None, seen: frozenset) -> set[Path]:
    file = _module_file(module)
    if file is None or (module, name) in seen:
        return set()
    seen = seen | {(module, name)}
    if name is None or file.name != "__init__.py":
        return {file}
    if name == "*":
        return set(file.parent.rglob("*.py"))
    submodule = _module_file(f"{module}.{name}")
    if submodule:
        return {submodule}
    exported, defined = _names_of(file, file.stat().st_mtime_ns)
    if name in exported:
        target, original = exported[name]
        return _resolve(target, original, seen) or {file}
    if name in defined:
        return {file}
    siblings = [p for p in file.parent.glob("*.py") if p != file and name in _names_of(p, p.stat().st_mtime_ns)[1]]
    if siblings:  # a lazy package: its table of exports is text, so look for the definition itself
        return set(siblings)
    return set(file.parent.rglob("*.py"))


@cache
def _names_of(path: Path, _mtime: int) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """What a file imports from clipkit (name -> module, original name) and what it defines at top level."""
    package = ".".join((ROOT_NAME, *path.parent.relative_to(PACKAGE).parts))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            if module and module.split(".")[0] == ROOT_NAME:
                exported |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    defined = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
    return exported, defined
