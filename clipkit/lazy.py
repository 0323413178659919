"""Rooms whose names import their file when they are first asked for, so that `import clipkit` stays cheap."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], list[str]]:
    """`__getattr__` and `__all__` of a package.

    Args: package: its `__name__`. homes: file (without its folder and ending) -> names that it defines, with spaces between.

    Raises: the returned function raises AttributeError for any other name, as Python's protocol wants (PEP 562).
    """
    where = {name: file for file, names in homes.items() for name in names.split()}

    def get(name: str) -> object:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{where[name]}"), name)
        setattr(sys.modules[package], name, value)  # asked for once only
        return value

    return get, sorted(where)
