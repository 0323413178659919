"""Shapes that docstrings state, held against every call that a test makes: `features (N, D)`, `labels: (N,)`, "Returns (N, C)".

Loaded by `conftest.py`, for the technique rooms only. A letter is one number within a call; what is no plain name or
number ("2B", "side²") is not compared, nor is a shape with an alternative ("(M,) or (M, C)"). The package itself knows
nothing of this, so nobody pays for it outside tests.
"""

from __future__ import annotations

import functools
import importlib.abc
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType

ROOMS = ("adapt", "dense", "generate", "language", "pretrain", "robust", "score", "zeroshot")
DIMS = r"\(([^()\s,]+(?:, [^()\s,]+)*,?)\)(?![^.:]{0,60}\bor (?:\(|pixels|their))"  # "(N,)", "(B, 3, H, W)"
DIM = re.compile(r"[A-Z][a-z]?'?|\d+")
RETURNS = re.compile(rf"^\s*{DIMS}(?![^.;:]{{0,40}} to )|Returns:? {DIMS}")  # "(N, E) to (N, C)" tells what it takes first


def stated(function: Callable) -> dict[str, tuple[str, ...]]:
    """Parameter, or "return" -> dimensions, as far as the docstring says "name (A, B)" or "name: (A, B)"."""
    text = " ".join((function.__doc__ or "").split())
    if re.match(r"Yield|For ever|.{0,40}for ever", text):  # of what a generator gives nothing can be looked at
        return {}
    found = {}
    for name in inspect.signature(function).parameters:
        said = re.findall(rf"(?<![\w`.]){name}:? (?:(?:bool|float32|int64|uint8|integers|tensor) )?{DIMS}", text)
        if said and "," in said[0]:
            found[name] = tuple(filter(None, said[0].split(",")))
    if (said := RETURNS.search(text)) and "," in (shape := said[1] or said[2]):
        found["return"] = tuple(filter(None, shape.split(",")))
    return {name: tuple(dim.strip() for dim in dims) for name, dims in found.items()}


def mismatch(dims: tuple[str, ...], shape: tuple[int, ...], sizes: dict[str, int]) -> str | None:
    """What is wrong with a shape; `sizes` are the letters of this call so far, and are added to."""
    if any("…" in dim or "..." in dim or dim == "." for dim in dims):
        return None
    if len(dims) != len(shape):
        return f"{len(shape)} dimensions"
    for dim, size in zip(dims, shape, strict=True):
        if DIM.fullmatch(dim) and size != (int(dim) if dim.isdigit() else sizes.setdefault(dim, size)):
            return f"{dim} is {dim if dim.isdigit() else sizes[dim]} and {size}"
    return None


def held(function: Callable, shapes: Mapping[str, tuple[str, ...]]) -> Callable:
    """`function`, which raises AssertionError when an array it is given, or returns, has another shape than it says."""
    signature = inspect.signature(function)

    def look(name: str, value: object, sizes: dict[str, int]) -> None:
        if name in shapes and hasattr(value, "shape") and (said := mismatch(shapes[name], tuple(value.shape), sizes)):
            where = f"{function.__module__}.{function.__qualname__}"
            raise AssertionError(f"{where}: {name} {tuple(value.shape)}, stated {shapes[name]}: {said}")

    @functools.wraps(function)
    def checked(*args, **kwargs):
        result = function(*args, **kwargs)  # first, so that a wrong input meets the function's own message
        sizes: dict[str, int] = {}
        known = {**dict(zip(signature.parameters, args, strict=False)), **kwargs}  # a wrapper inside may take more than it shows
        for name, value in known.items():
            look(name, value, sizes)
        look("return", result, sizes)
        return result

    return checked


class Finder(importlib.abc.MetaPathFinder):
    """Lets the usual finders find a module of the rooms, and holds its functions to their docstrings once it is loaded."""

    def find_spec(self, name, path, target=None):
        if not any(name.startswith(f"clipkit.{room}.") for room in ROOMS):
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (load(module), hold(module))[0]
        return spec


def hold(module: ModuleType) -> None:
    """Wrap the functions and methods that a module defines and that state shapes."""
    for owner in owners(module):
        for name, one in list(vars(owner).items()):
            if isinstance(one, FunctionType) and one.__module__ == module.__name__ and (shapes := stated(one)):
                setattr(owner, name, held(one, shapes))


def owners(module: ModuleType) -> list:
    """The module and the classes that it defines."""
    return [module, *(one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__)]


def is_held(one: object) -> bool:
    return getattr(getattr(one, "__code__", None), "co_name", "") == "checked" and hasattr(one, "__wrapped__")


def install() -> None:
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
