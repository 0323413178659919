"""The top-level definitions of one file, or of a notebook's cells, read from the syntax tree.

A definition is one top-level statement: what it binds or changes, and its text, in which every name that is not local
is left open as a reference. `clipkit.definitions` follows the references.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, *_COMPREHENSIONS)
_SILENT = ("ctx", "annotation", "returns", "type_comment", "kind")  # fields of the tree that no number depends on
Import = tuple[int, str, str | None]  # level, module and name there; None for the module itself


def python_source(cells: Iterable[str]) -> str:
    """Code cells as one Python text; IPython's `%magic` and `!shell` lines become `pass`."""
    lines = "\n".join(cells).splitlines()
    return "\n".join(f"pass  # {line}" if line.lstrip()[:1] in ("%", "!") else line for line in lines) + "\n"


@dataclass
class Definition:
    """One top-level statement: what it binds, its text with the references left open, and what it asks for by strings."""

    names: tuple[str, ...]
    lines: tuple[int, int]
    text: list[str | tuple[str, ...]] = field(default_factory=list)  # a tuple is a reference: name, attribute, attribute, ...
    imports: dict[str, Import] = field(default_factory=dict)  # made inside: name -> level, module, name there
    strings: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)  # those among them that a `load…` function is given, or takes by default
    doors: list[tuple[str, str | None]] = field(default_factory=list)  # import_module(text + ...).attribute
    is_table: bool = False  # nothing but a dictionary of text to words

    @classmethod
    def of(cls, node: ast.stmt) -> Definition:
        made = cls((), (_first_line(node), getattr(node, "end_lineno", None) or 0))
        made.write(node, frozenset())
        return made

    def write(self, node: object, local: frozenset[str]) -> None:
        """Add a node to the text. `local`: names of the functions around it, which lead nowhere else."""
        if isinstance(node, list):
            for one in node:
                self.write(one, local)
                if not isinstance(one, (ast.Import, ast.ImportFrom)):
                    self.text.append(",")
        elif not isinstance(node, ast.AST):
            self.text.append(repr(node))
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self._reference(node, local)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imports |= imports_of([node])
        elif isinstance(node, _COMPREHENSIONS):
            inner = local | set(_stored(node.generators))
            self._fields(node, inner, skip=("generators",))
            for position, one in enumerate(node.generators):
                self.write(one.iter, inner if position else local)
                self._fields(one, inner, skip=("iter",))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            outside = [*getattr(node, "decorator_list", []), *node.args.defaults, *(d for d in node.args.kw_defaults if d)]
            self.write(outside, local)
            if getattr(node, "name", "").startswith("load"):
                self.loads |= _texts(outside)
            inner = local | _locals(node)
            self.text.append(f"{type(node).__name__} {getattr(node, 'name', '')}")
            self._fields(node.args, inner, skip=("defaults", "kw_defaults"))
            self.text.append(f"/{len(node.args.defaults)}{[bool(d) for d in node.args.kw_defaults]}:")
            self.write(_undocumented(node.body) if isinstance(node.body, list) else node.body, inner)
        elif isinstance(node, ast.ClassDef):
            self._fields(node, local, skip=("body",))
            self.write(_undocumented(node.body), local)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            said = [one for one in node.exc.args if not isinstance(one, ast.JoinedStr) and not _is_text(one)]
            self._fields(node, local, skip=("exc",))
            self.write([node.exc.func, said, node.exc.keywords], local)
        elif isinstance(node, ast.Assert):
            self._fields(node, local, skip=("msg",))
        else:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.strings.add(node.value)
            if isinstance(node, ast.Call):
                self.doors += [(door, None) for door in [_door(node)] if door is not None]
                self.loads |= _texts([*node.args, *(k.value for k in node.keywords)]) if _called(node).startswith("load") else set()
            self._fields(node, local)

    def _fields(self, node: ast.AST, local: frozenset[str], skip: Sequence[str] = ()) -> None:
        self.text.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if name not in skip and name not in _SILENT and value is not None and value != []:
                self.text.append(f"{name}=")
                self.write(value, local)
        self.text.append(")")

    def _reference(self, node: ast.Name | ast.Attribute, local: frozenset[str]) -> None:
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            if isinstance(node, ast.Call) and (door := _door(node)) is not None:
                self.doors.append((door, chain[0]))
                self._fields(node, local)
            else:
                self.write(node, local)
            self.text.append("".join(f".{name}" for name in chain))
        elif node.id in local or (not chain and not isinstance(node.ctx, ast.Load)):
            self.text.append(".".join([node.id, *chain]))
        else:
            self.text.append((node.id, *chain))


def _is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _texts(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.value for node in nodes if _is_text(node)}


def _called(call: ast.Call) -> str:
    """The last name of what is called: `load` of `a.b.load(...)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _undocumented(body: list[ast.stmt]) -> list[ast.stmt]:
    return body[1:] if body and isinstance(body[0], ast.Expr) and _is_text(body[0].value) else body


def _first_line(node: ast.AST) -> int:
    return min([getattr(node, "lineno", 0), *(one.lineno for one in getattr(node, "decorator_list", []))])


def _door(call: ast.Call) -> str | None:
    """What is known of the argument of `import_module(...)`, "" when nothing is; None for any other call."""
    if _called(call) != "import_module" or not call.args:
        return None
    known = call.args[0].values[0] if isinstance(call.args[0], ast.JoinedStr) and call.args[0].values else call.args[0]
    return known.value if _is_text(known) else ""


def _level(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and what is below them, but not what is inside a function, a class or a comprehension."""
    for node in nodes:
        yield node
        if not isinstance(node, _SCOPES):
            yield from _level(ast.iter_child_nodes(node))


def _stored(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that these nodes bind on their own level; of imports none."""
    for node in _level(nodes):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            if node.name:
                yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    a = function.args
    names = {one.arg for one in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if one}
    if isinstance(function, ast.Lambda):
        return names | set(_stored([function.body]))
    free = {name for node in _level(function.body) if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}
    return (names | set(_stored(function.body))) - free


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names whose things a top-level statement changes: `x[k] = 1`, `x.y = 1`, `x.append(1)`, also inside `if` and `for`."""
    for node in _level([statement]):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
            base = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            base = node.value.func
        else:
            continue
        while isinstance(base, (ast.Subscript, ast.Attribute)):
            base = base.value
        if isinstance(base, ast.Name):
            yield base.id


def imports_of(nodes: Iterable[ast.AST]) -> dict[str, Import]:
    """Name bound -> level, module and name there (None for a module) of all imports among the nodes."""
    found: dict[str, Import] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: (node.level, node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                found[alias.asname or first] = (0, alias.name if alias.asname else first, None)
    return found


def _for_types_or_scripts(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:` and `if __name__ == "__main__":`."""
    asked = {getattr(one, "id", getattr(one, "attr", "")) for one in ast.walk(node.test)} if isinstance(node, ast.If) else set()
    return bool(asked & {"TYPE_CHECKING", "__name__"})


@dataclass
class Module:
    name: str
    path: Path | None  # None for cells
    definitions: list[Definition]
    by_name: dict[str, list[Definition]]
    imports: dict[str, Import]
    inner_imports: dict[str, Import]  # made in functions: the lazy exports of a `__getattr__`
    tables: list[dict[str, Sequence[str]]]  # dictionaries of text to words

    @classmethod
    def of(cls, tree: ast.Module, name: str, path: Path | None) -> Module:
        body = [node for node in _undocumented(tree.body) if not _for_types_or_scripts(node)]
        made = cls(name, path, [], {}, imports_of(_level(body)), {}, [])
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            one = Definition.of(node)
            one.names = tuple(dict.fromkeys([*_stored([node]), *(name for name in _changed(node) if name not in made.imports)]))
            one.is_table = isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and _table(node.value) is not None
            made.definitions.append(one)
            for bound in one.names:
                made.by_name.setdefault(bound, []).append(one)
        if path is not None and ("import_module" in (text := path.read_text(encoding="utf-8")) or path.name == "__init__.py"):
            made.inner_imports = imports_of(ast.walk(tree)) if "__getattr__" in text else {}
            made.tables = [table for node in ast.walk(tree) if isinstance(node, ast.Dict) and (table := _table(node))]
        return made

    @property
    def folder(self) -> str:
        """The package that this module is, or lies in."""
        return self.name if self.path is not None and self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def opens_others(self) -> bool:
        return any(one.doors for one in self.definitions)


def _table(node: ast.Dict) -> dict[str, Sequence[str]] | None:
    """A dictionary literal from text to words, given as one text with spaces or as a list; None for any other."""
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    words = {key: value.split() if isinstance(value, str) else value for key, value in found.items()}
    if not words or not all(isinstance(value, (list, tuple, set)) for value in words.values()):
        return None
    return words if all(isinstance(word, str) for word in (*words, *(w for value in words.values() for w in value))) else None
