"""A grid of parameters from the command line: `model=nano,lite shots=1,2,4 seed=0..4`, checked before anything runs."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Mapping, Sequence

from clipkit.errors import ClipkitError
from clipkit.lab.notebook import literals
from clipkit.lab.settings import settle
from clipkit.press import hashing, notebooks
from clipkit.registry.records import portable
from clipkit.syntax import python_source

RANGE = re.compile(r"([+-]?\d+)\.\.([+-]?\d+)")
COLUMNS = ("arm", "value", "key")  # of the table of rows; a parameter cannot be called so


def parse(words: Sequence[str]) -> dict[str, list[object]]:
    """The axes of a grid, in the order given: name -> values.

    A value is typed as papermill's `-p` types it; `a..b` stands for the whole numbers from a to b, both included.

    >>> parse(["model=nano,lite", "seed=0..2"])
    {'model': ['nano', 'lite'], 'seed': [0, 1, 2]}

    Raises ClipkitError: no `=`, a name given twice, no values, an empty range, a value given twice.
    """
    axes: dict[str, list[object]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ClipkitError(f"grid {word!r}: write NAME=VALUE,VALUE or NAME=FIRST..LAST, for instance seed=0..4")
        if name in axes:
            raise ClipkitError(f"grid: {name} is given twice; put all its values behind one {name}=")
        axes[name] = [value for item in text.split(",") for value in _values(name, item.strip())]
        twice = sorted({str(value) for value in axes[name] if _times(value, axes[name]) > 1})
        if twice:
            raise ClipkitError(f"grid {name}: {', '.join(twice)} stands there twice; give each value once")
    if not axes:
        raise ClipkitError("the grid is empty: write for instance --grid shots=1,2,4 seed=0..4")
    return axes


def _values(name: str, item: str) -> list[object]:
    if not item:
        raise ClipkitError(f"grid {name}: an empty value; write {name}=VALUE,VALUE without a space or a comma too many")
    found = RANGE.fullmatch(item)
    if not found:
        return [notebooks.typed(item)]
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise ClipkitError(f"grid {name}: the range {item} is empty; write {last}..{first}")
    return list(range(first, last + 1))


def _times(value: object, values: list[object]) -> int:
    return sum(other == value and isinstance(other, bool) == isinstance(value, bool) for other in values)


def combinations(page: str, notebook, axes: Mapping[str, Sequence[object]], common: Mapping[str, object]) -> list[dict[str, object]]:
    """Every combination of the axes on top of the parameters `common`, with values of the types the page wants.

    Arguments:
        page: the slug, for messages.
        notebook: the committed notebook.
        axes: from `parse`.
        common: the other parameters, the same for all combinations, `preset` among them.

    A page that has a parameter `n_seeds` runs one seed a combination when the grid counts seeds.

    Raises ClipkitError: a parameter in both, or one the page does not have; a value of the wrong type; two values
    that are the same to the page.
    """
    for name in axes:
        if name in common and name != "preset":
            raise ClipkitError(f"{name} is in the grid and also given with -p; give it once")
        if name in COLUMNS:
            raise ClipkitError(f"a parameter called {name} cannot be swept: the table of rows has a column of that name")
    common = {name: value for name, value in common.items() if name not in axes}
    if "seed" in axes and "n_seeds" not in {**common, **axes} and "n_seeds" in notebooks.parameters(notebook):
        common["n_seeds"] = 1
    found, shown = [], []  # as run, and as the table will show it: of a path only the last part
    for values in itertools.product(*axes.values()):
        given = {**common, **dict(zip(axes, values, strict=True))}
        notebooks.check_parameters(notebook, given, page)
        made = settled(notebook, given)
        if portable(made) in shown:
            said = name_of(portable(made), list(axes))
            raise ClipkitError(f"grid: two combinations are the same to {page}: {said}; give each value once, folders by different names")
        found.append(made)
        shown.append(portable(made))
    return found


def settled(notebook, given: Mapping[str, object]) -> dict[str, object]:
    """`given` as the page itself will read it: the types of its presets' table and of its parameters cell.

    Raises ClipkitError, as `lab.start` will, for a value of the wrong type.
    """
    preset = given.get("preset", "quick")
    presets = presets_of(notebook) or {preset: {}}
    known = literals([notebooks.parameters_cell(notebook) or ""])
    made = settle(presets, preset, {name: value for name, value in given.items() if name != "preset"}, None, known)
    return {name: preset if name == "preset" else list(made[name]) if isinstance(made[name], tuple) else made[name] for name in given}


def presets_of(notebook) -> dict | None:
    """The page's table of presets, `PRESETS = {...}`, when it is written out as a literal."""
    for node in ast.parse(python_source(hashing.code_cells(notebook))).body:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)] if isinstance(node, ast.Assign) else []
        if "PRESETS" in names:
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return None
    return None


def name_of(parameters: Mapping[str, object], axes: Sequence[str]) -> str:
    """A combination for people: "model=nano shots=4 seed=0"."""
    return " ".join(f"{axis}={parameters[axis]}" for axis in axes)
