"""What a piece of code stands on: every top-level definition it reaches, each with a digest of what it says.

    reached(code, "experiment").digests        # {"3f0c51d2aa": "clipkit.dense.metrics.mean_iou", ...}
    reached_by(train, cells).digests           # the same from a function object

Nothing is imported: syntax trees are read and names are followed, through imports (those inside functions too), lazy
exports of a package, module aliases and tables of functions. A class counts whole. Where a module is chosen by a
string (`import_module(f"clipkit.datasets.{module}")`), the table of names in that file tells which are meant.

A digest is of the syntax tree alone. Not in it: comments, docstrings, annotations, layout, the wording of errors, and
the place where a thing lives, for a name that leads elsewhere is written as the name it leads to. So moving a file, or
importing `dense.metrics` as `m`, changes nothing; an operator or a constant does. A table of modules to open counts by the
modules behind the names that are asked for, so that a new loader changes nothing for those who do not name it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.paths import PACKAGE, shipped
from clipkit.syntax import Definition, Module, python_source

LENGTH = 10  # hexadecimal digits kept of a SHA-256: a page has some hundred definitions
METER = ("clipkit.definitions", "clipkit.syntax")  # what measures is not what is measured: `kept` asks it for a key
DATA = (".json", ".txt", ".csv", ".tsv", ".yml", ".yaml")  # files that a definition can name by a string and read


@dataclass(frozen=True)
class Reached:
    """What was found: `digests`, from digest to a name for people; `strings`, by which the code may ask for a checkpoint.

    Those are all strings of the code itself and of `given`, and those in the package that a `load…` function is given.
    """

    digests: Mapping[str, str]
    strings: frozenset[str]

    @classmethod
    def of(cls, *parts: Reached) -> Reached:
        """All that any of the parts reached."""
        return cls({key: name for part in parts for key, name in part.digests.items()}, frozenset().union(*(p.strings for p in parts)))


def reached(
    code: str | ast.Module,
    root: str | ast.expr | None = None,
    *,
    given: Mapping[str, object] | None = None,
    without: Iterable[Callable] = (),
    package: Path = PACKAGE,
) -> Reached:
    """Definitions that `root` reaches, in `code` and in the package.

    Args:
        code: Python, for instance the cells of a notebook; its own definitions are called `notebook.…`.
        root: an expression in the names of `code`, mostly one name; None for every statement.
        given: values by name ("dataset": "folder:x"), which choose among modules that are loaded by a string.
        without: functions and classes of the package that are neither counted nor followed.
        package: folder of the package that `code` imports.

    Raises ClipkitError when `code` does not know the name `root`, SyntaxError when it is not Python.
    """
    tree = _tree(package, _stamp(package))
    here = Module.of(ast.parse(code) if isinstance(code, str) else code, "notebook", None)
    if root is None:
        return tree.reach([(here, one) for one in here.definitions], given, without)
    root = ast.parse(root, mode="eval").body if isinstance(root, str) else root
    if isinstance(root, ast.Name) and root.id not in here.by_name and root.id not in here.imports:
        raise ClipkitError(f"the code defines no {root.id!r}; name a function that it defines or imports at its top level")
    asked = Definition.of(ast.Expr(root))
    asked.names = () if isinstance(root, ast.Name) else (ast.unparse(root),)  # a lambda is code of its own, a name is none
    return tree.reach([(here, asked)], given, without)


def reached_by(
    function: Callable,
    cells: Sequence[str] = (),
    *,
    given: Mapping[str, object] | None = None,
    without: Iterable[Callable] = (),
    package: Path = PACKAGE,
) -> Reached:
    """`reached` from a function object: of the package, of another file, or of the notebook whose `cells` are given.

    A method, a nested function or a lambda counts with the whole top-level statement that it stands in; arguments bound
    by `functools.partial` do not count. The rest as for `reached`. Raises ClipkitError when the source is not to be had.
    """
    while isinstance(function, partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, partial) else function.__wrapped__
    tree = _tree(package, _stamp(package))
    first = getattr(function, "__qualname__", "").partition(".")[0]
    if (module := tree.module(function.__module__)) is not None and first in module.by_name:
        return tree.reach([(module, one) for one in module.by_name[first]], given, without)
    try:
        lines, number = inspect.findsource(function)
    except (OSError, TypeError):
        raise ClipkitError(f"the source of {function!r} is not to be had; define it in a file or in a cell") from None
    module = Module.of(ast.parse(python_source(["".join(lines)])), "notebook", None)
    found = [one for one in module.definitions if one.lines[0] <= number + 1 <= one.lines[1]]
    if cells:
        module = Module.of(ast.parse(python_source(cells)), "notebook", None)
    return tree.reach([(module, one) for one in found], given, without)


_Place = tuple[Module, str]  # a module and a name that it binds


class _Tree:
    """The package as it stands on disk; files are read when something leads to them."""

    def __init__(self, package: Path):
        self.package, self.modules, self.linked = package, {}, {}

    def module(self, name: str) -> Module | None:
        """The module of a dotted name; None when the package has none."""
        if name not in self.modules:
            first, *steps = name.split(".")
            base = self.package.joinpath(*steps)
            files = (base / "__init__.py", base.with_suffix(".py")) if first == self.package.name else ()
            path = next((file for file in files if file.is_file()), None)
            self.modules[name] = _read(path, name, *_mark(path)) if path else None
        return self.modules[name]

    def reach(self, start: Sequence[tuple[Module, Definition]], given: Mapping | None, without: Iterable[Callable]) -> Reached:
        given, avoided = given or {}, {f"{one.__module__}.{one.__qualname__}" for one in without}
        digests: dict[str, str] = {}
        strings = {value for value in given.values() if isinstance(value, str)}
        loads = set(strings)
        todo, seen, doors = list(start), set(), []
        while todo:
            while todo:
                module, one = todo.pop()
                if id(one) in seen or module.name in METER:
                    continue
                seen.add(id(one))
                digest, places = self.link(module, one)
                # an expression asked for is no definition, and a table of modules counts by those behind the names asked for
                if (one.names or one.lines[1]) and not (one.is_table and module.opens_others):
                    digests[digest] = f"{module.name}.{one.names[0] if one.names else f'line {one.lines[0]}'}"
                for path in _files(module, one):
                    digests[_digest(f"{path.name} {path.read_bytes()!r}")] = f"{path.parent.name}/{path.name}"
                strings |= one.loads if module.opens_others else one.strings  # its tables name everything there is
                loads |= one.loads if module.path else one.strings
                doors += [(module, *door) for door in one.doors]
                todo += [(m, d) for m, name in places if f"{m.name}.{name}" not in avoided for d in m.by_name[name]]
            opened = [place for door in doors for place in self.behind(*door, given, strings)]
            todo = [(m, d) for m, name in opened for d in m.by_name[name] if id(d) not in seen]
        return Reached(digests, frozenset(loads))

    def link(self, module: Module, one: Definition) -> tuple[str, list[_Place]]:
        """A definition's digest, and the places that it refers to."""
        if module.path is None or id(one) not in self.linked:
            text, places = [], []
            for piece in one.text:
                if isinstance(piece, tuple):
                    piece, found = self.follow(module, one, *piece)
                    places += found
                text.append(piece)
            found = _digest(" ".join(text)), places
            if module.path is None:  # cells come and go
                return found
            self.linked[id(one)] = found
        return self.linked[id(one)]

    def follow(self, module: Module, one: Definition, name: str, *attributes: str) -> tuple[str, list[_Place]]:
        """What a reference is written as, and the places that it leads to: two when a name is imported and then bound anew."""
        also = self.imported(module, *module.imports[name]) if name in module.by_name and name in module.imports else None
        if name in one.imports:
            target = self.imported(module, *one.imports[name])
        elif name in module.by_name:
            target = (module, name)
        elif name in module.imports:
            target = self.imported(module, *module.imports[name])
        else:
            target = name
        rest = list(attributes)
        while isinstance(target, Module) and rest and (inner := self.member(target, rest[0])) is not None:
            target, rest = inner, rest[1:]
        if isinstance(target, str):
            return f"<{'.'.join([target, *rest])}>", []
        if isinstance(target, tuple):
            return f"<{'.'.join([target[1], *rest])}>", [target, *([also] if isinstance(also, tuple) else [])]
        return f"<{'.'.join(['module', *rest])}>", [] if rest and rest[0].startswith("__") else self.whole(target)

    def whole(self, module: Module) -> list[_Place]:
        """All that a module defines or imports from the package: it is handed on, or asked for something by `getattr`."""
        found = (self.member(module, name) for name in {**module.by_name, **module.imports})
        return [place for place in found if isinstance(place, tuple)]

    def imported(self, module: Module, level: int, source: str, name: str | None) -> _Place | Module | str:
        """What an import binds: a place, a module of the package, or the dotted name of something outside."""
        if level:
            source = ".".join([*module.folder.split(".")[: len(module.folder.split(".")) - level + 1], *filter(None, [source])])
        found = self.module(source)
        if found is None:
            return ".".join(filter(None, [source, name]))
        if name is None:
            return found
        inner = self.module(f"{source}.{name}") if found is module else self.member(found, name)  # `from . import x` in a package
        return inner or f"{source}.{name}"

    def member(self, module: Module, name: str) -> _Place | Module | str | None:
        """What `module.name` is; None when the module does not say."""
        if name in module.by_name:
            return module, name
        if name in module.imports:
            return self.imported(module, *module.imports[name])
        for table in module.tables if module.folder == module.name else ():  # lazy exports: file -> names, or name -> file
            for key, words in table.items():
                files = [key] if name in words else list(words) if key == name else []
                for file in files:
                    home = self.module(file if file.startswith(f"{self.package.name}.") else f"{module.name}.{file.lstrip('.')}")
                    if home is not None and name in {*home.by_name, *home.imports}:
                        return self.member(home, name)
        if name in module.inner_imports:
            return self.imported(module, *module.inner_imports[name])
        return self.module(f"{module.name}.{name}")

    def behind(self, module: Module, known: str, attribute: str | None, given: Mapping, strings: set[str]) -> list[_Place]:
        """Places that an `import_module` may lead to: those whose key in a table of its file is asked for by some string."""
        room = self.module(known.strip("."))
        if room is None and (not known or known.startswith(".")):
            room = self.module(module.folder)
        if room is None or room.folder != room.name:
            homes = [room] if room else []
        else:
            inside = {path.stem for path in room.path.parent.glob("*.py") if path != room.path}
            table = [(key, word) for entries in module.tables for key, words in entries.items() for word in words if word in inside]
            asked = given.get(room.name.rpartition(".")[2].removesuffix("s"))  # `dataset` chooses in `datasets`
            heard = lambda key, said: key in (said.partition(":")[0], "" if ":" in said else said.partition("-")[0])  # noqa: E731
            sure = not isinstance(asked, str) or any(heard(key, asked) for key, _ in table)
            chosen = {word for key, word in table if sure and any(heard(key, said) for said in strings)}
            homes = [self.module(f"{room.name}.{word}") for word in sorted(chosen or {word for _, word in table} or inside)]
        return [(m, name) for m in homes for name in ([attribute] if attribute in m.by_name else m.by_name)]


def _files(module: Module, one: Definition) -> list[Path]:
    """Files that a definition names: beside its module, or in a shipped folder that it names as well (checkpoints are the press's)."""
    names = [text for text in one.strings if text.endswith(DATA) and Path(text).name == text]
    if module.path is None or not names:
        return []
    folders = [module.path.parent, *(shipped(text) for text in one.strings if text.isidentifier() and text != "models")]
    return sorted(path for folder in folders for name in names if (path := folder / name).is_file())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _mark(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@cache
def _read(path: Path, name: str, _time: int, _size: int) -> Module:
    return Module.of(ast.parse(path.read_text(encoding="utf-8")), name, path)


def _stamp(package: Path) -> tuple:
    """Changes when any file of the package does."""
    return tuple((path, *_mark(path)) for path in sorted(package.rglob("*.py")))


@lru_cache(maxsize=2)
def _tree(package: Path, _stamp: tuple) -> _Tree:
    return _Tree(package)
