"""A notebook's parameters: types checked once, presets applied, one clear error for a wrong value."""

from __future__ import annotations

import types as _types
import typing
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from clipkit.errors import ClipkitError, unknown

STANDARD = {"preset": str, "seed": int, "model": str, "pretrained": str | None, "dataset": str, "device": str}
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def settle(
    presets: Mapping[str, Mapping[str, object]],
    preset: str,
    parameters: Mapping[str, object],
    expected: Mapping[str, object] | None = None,
    literals: Mapping[str, tuple[type | None, object]] | None = None,
) -> dict[str, object]:
    """The parameters of a run: the preset's table, overridden by what the notebook gives explicitly.

    The type of a parameter is, in this order: `expected[name]`; the book's own (preset, seed, model ...);
    that of the presets' values; that of the notebook's literal. A parameter of none of these is taken as it is.

    Arguments:
        presets: preset name -> table of values; every table has the same keys.
        preset: which table.
        parameters: what the notebook gives; None for a name in the table means "as the preset says".
        expected: name -> type, or `type | None`.
        literals: name -> (annotated type or None, default), from `notebook.literals`.

    Raises ClipkitError: unknown preset, tables with different keys, a value of the wrong type.

    >>> settle({"quick": {"n_test": 1000}}, "quick", {"n_test": None, "shots": "16"}, {"shots": int})
    {'n_test': 1000, 'shots': 16}
    """
    if not isinstance(preset, str) or preset not in presets:
        raise unknown("preset", preset, presets)
    _same_keys(presets)
    table = dict(presets[preset])
    settled: dict[str, object] = dict(table)
    for name, value in parameters.items():
        if value is None and name in table:
            continue
        kind, optional, example = _expectation(name, presets, expected or {}, literals or {})
        settled[name] = value if kind is None or (value is None and optional) else convert(name, value, kind, example)
    return settled


def _same_keys(presets: Mapping[str, Mapping[str, object]]) -> None:
    everything = {key for table in presets.values() for key in table}
    for name, table in presets.items():
        if missing := sorted(everything - set(table)):
            raise ClipkitError(f"preset {name!r} lacks {', '.join(missing)}: give every preset the same keys")


def _expectation(name: str, presets: Mapping, expected: Mapping, literals: Mapping) -> tuple[type | None, bool, object]:
    """(type or None when nothing is known, may it be None, an example value for the types inside a list)."""
    annotated, default = literals.get(name, (None, None))
    table = [row[name] for row in presets.values() if row.get(name) is not None]
    example = default if default is not None else (table[0] if table else None)
    standard = "pretrained" if name.endswith("_pretrained") else name  # of a second model
    if name in expected or standard in STANDARD:
        kind, optional = _split(expected.get(name, STANDARD.get(standard)))
        return kind, optional or (name in literals and default is None), example
    if table:
        found = {type(value) for value in table}
        return (float if found == {int, float} else found.pop() if len(found) == 1 else None), False, example
    if annotated is not None:
        return annotated, default is None, example
    return (type(default) if default is not None else None), default is None, example


def _split(kind: object) -> tuple[type | None, bool]:
    """`int | None` -> (int, True); `int` -> (int, False)."""
    if isinstance(kind, _types.UnionType) or typing.get_origin(kind) is typing.Union:
        rest = [part for part in typing.get_args(kind) if part is not _types.NoneType]
        return (rest[0] if len(rest) == 1 else None), len(rest) < len(typing.get_args(kind))
    return typing.get_origin(kind) or kind, False


def convert(name: str, value: object, kind: type, example: object = None) -> object:
    """`value` as `kind`, where nothing is lost by it: "16" or 16.0 for 16, "1e-4" for 0.0001, "1,2,4" for [1, 2, 4].

    Raises ClipkitError naming the parameter, the value and what was expected.

    >>> convert("shots", "16", int), convert("rates", "0.1,1", list, [0.5])
    (16, [0.1, 1.0])
    """
    one = _ONE.get(type(example[0]), object) if isinstance(example, (list, tuple)) and example else object
    wanted = {list: list[one], tuple: tuple[one, ...]}.get(kind) or _ONE.get(kind, kind)
    try:
        return TypeAdapter(wanted, config=_LAX).validate_python(_items(value) if kind in (list, tuple) else value)
    except ValidationError:
        raise ClipkitError(
            f"parameter {name} = {value!r} ({type(value).__name__}): {_WORDS.get(kind, kind.__name__)} is expected, "
            f"for instance -p {name} {_instance(kind, example)}"
        ) from None


def _instance(kind: type, example: object) -> object:
    if isinstance(example, (list, tuple)):
        return ",".join(map(str, example))
    return example if example is not None else {int: 16, float: 0.5, str: "name", bool: True, list: "1,2,4"}.get(kind, "VALUE")


def _items(value: object) -> list | tuple:
    if isinstance(value, str):
        return [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
    return value if isinstance(value, (list, tuple)) else [value]


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a flag is no number")
    return value


# Papermill's -p turns 2024 into a number where a text is wanted, its -r a number into a text.
_LAX = {"arbitrary_types_allowed": True, "coerce_numbers_to_str": True}
_ONE = {kind: Annotated[kind, BeforeValidator(_no_flag)] for kind in (int, float)} | {str: str, bool: bool}
