"""The notebook the code runs in: is there one, what its cells said, how to put something on the page."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from clipkit.errors import ClipkitError
from clipkit.lab.tables import MINUS, number

GLUE_PREFIX = "application/papermill.record/"
MINUS_ZERO = re.compile(rf"(?<![\w.-])[-{MINUS}](?=0(?:\.0+)?(?![\d.]*\d))")
HYPHEN = re.compile(r"(?<![\w.-])-(?=\d)")  # before a number, and neither in a name nor in a date
_NAMED_TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple, "dict": dict}


def kernel():
    """The running IPython shell, or None in plain Python."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def cells() -> list[str]:
    """Sources of the cells run so far, oldest first; [] outside a notebook."""
    manager = getattr(kernel(), "history_manager", None)
    return [source for source in manager.input_hist_raw if source] if manager else []


def injected(sources: Sequence[str]) -> tuple[list[str], list[str]]:
    r"""(names that papermill's cell sets and no cell before it does, the names that the cell before it sets).

    papermill puts its values in a cell of their own that begins with "# Parameters", after the cell of the defaults. It
    only logs a warning for a name that is not among those, so a misspelt parameter would change nothing.

    >>> injected(["seed = 0", "# Parameters\nseeds = 3"])
    (['seeds'], ['seed'])
    """
    for i, source in enumerate(sources):
        if i and source.lstrip().startswith("# Parameters") and assigned(sources[i - 1]):
            known = {name for before in sources[:i] for name in assigned(before)}
            return [name for name in assigned(source) if name not in known], assigned(sources[i - 1])
    return [], []


def assigned(source: str) -> list[str]:
    """Names that a cell sets at its top level, in order; [] for a cell with %magics."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    names: list[str] = []
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def rebind(values: Mapping[str, object]) -> None:
    """Give variables of the notebook new values; in plain Python nothing happens. Names that it does not have are left alone."""
    space = getattr(kernel(), "user_ns", {})
    for name, value in values.items():
        if name in space:
            space[name] = value


def literals(sources: Iterable[str]) -> dict[str, tuple[type | None, object]]:
    """First `name = literal` of each name at the top level of the cells.

    papermill puts its values in a cell *after* the one that holds the defaults, so the first literal
    is the author's own, and tells the type that a value from outside must have.

    Returns:
        name -> (annotated type or None, literal value).

    >>> literals(["shots = 16  # a class", "n_test: int = None", "shots = 'four'"])
    {'shots': (None, 16), 'n_test': (<class 'int'>, None)}
    """
    found: dict[str, tuple[type | None, object]] = {}
    for source in sources:
        try:
            statements = ast.parse(source).body
        except SyntaxError:  # a cell with %magics
            continue
        for statement in statements:
            if isinstance(statement, ast.Assign):
                targets, annotation = statement.targets, None
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets, annotation = [statement.target], _named_type(statement.annotation)
            else:
                continue
            try:
                value = ast.literal_eval(statement.value)
            except ValueError:
                continue
            for target in targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, (annotation, value))
    return found


def _named_type(annotation: ast.expr) -> type | None:
    """The one builtin type an annotation names: `int`, `int | None`, `list[int]`; None when it is something else."""
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]
    return _NAMED_TYPES.get(names[0]) if names else None


def publish(bundle: dict, metadata: dict | None = None) -> None:
    """Put a MIME bundle on the page; in plain Python print its text/plain part."""
    if kernel() is None:
        print(bundle.get("text/plain", ""))
        return
    from IPython.display import display

    display(bundle, metadata=metadata or {}, raw=True)


def glue(name: str, value: object, digits: int | None = None) -> None:
    """Keep `value` under `name` for the page's prose, where {glue}`name` prints it; shows nothing in the cell.

    Same stored form as myst-nb's own `glue` (scrapbook metadata), without importing Sphinx in the kernel.

    Arguments:
        name: unique on the page.
        value: number or text.
        digits: decimals, for a number.

    Raises ClipkitError for NaN or infinity: a sentence must not print them.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ClipkitError(f"glue {name!r}: the value is {value}; the sentence that prints it needs a finite number")
    text = _minus(str(value)) if digits is None else number(value, digits)
    if kernel() is not None:
        publish({GLUE_PREFIX + "text/plain": text}, {"scrapbook": {"name": name, "mime_prefix": GLUE_PREFIX}})


def _minus(text: str) -> str:
    """Numbers in a text as `number` prints them.

    >>> _minus("from -0.0 to -1.5 (-3 %), nano-2, 2026-01-31")
    'from 0.0 to −1.5 (−3 %), nano-2, 2026-01-31'
    """
    return HYPHEN.sub(MINUS, MINUS_ZERO.sub("", text))


def glue_all(digits: int | None = None, /, **values: object) -> None:
    """`glue` several at once; an underscore of a name becomes a hyphen: `glue_all(1, test_gain=2.34)` is {glue}`test-gain`.

    `digits` is for the numbers among them; text stays as it is. Raises ClipkitError for NaN or infinity.
    """
    for name, value in values.items():
        glue(name.replace("_", "-"), value, None if isinstance(value, str) else digits)
