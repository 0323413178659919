"""Scores: what an experiment measured, one number for each arm, setting and seed, under named axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    import pandas

Setting = str | int | float | bool
Key = tuple[tuple[str, Setting], ...]  # (("arm", "gda"), ("shots", 4)), sorted by axis with the arm first
DIGITS = 7  # significant digits that a record keeps: more than any interval shows, fewer than a float prints


class Scores:
    """A long table of numbers: the axis `arm` names what was measured, further axes say where.

        scores = Scores()
        scores.add("gda", 71.5, shots=4, protocol="full_val")
        scores.values("gda", shots=4)                # (n_seeds,) float64

    An experiment fills one for its seed; `over_seeds` joins them. Rows may have different axes.
    """

    def __init__(self, seeds: Iterable[int] = (0,)):
        self.seeds: list[int] = list(seeds)
        self._columns: dict[Key, list[float]] = {}

    def add(self, arm: str, value: float | Sequence[float], **axes: Setting) -> None:
        """Note one number (a scores object of several seeds takes one for each).

        Raises ClipkitError: a key that is there already, NaN or infinity, something that is no number, a setting that
        is neither text nor number.
        """
        key = _key(arm, axes)
        if key in self._columns:
            raise ClipkitError(f"{_told(key)} was measured already: give the second one another arm or an axis of its own")
        try:
            numbers = [float(value)] if len(self.seeds) == 1 and np.ndim(value) == 0 else [float(v) for v in value]
        except (TypeError, ValueError):
            raise ClipkitError(f"{_told(key)} is a {type(value).__name__}, not one number") from None
        if len(numbers) != len(self.seeds):
            raise ClipkitError(f"{_told(key)}: {len(numbers)} numbers for {len(self.seeds)} seeds")
        for seed, number in zip(self.seeds, numbers, strict=True):
            if not math.isfinite(number):
                raise ClipkitError(f"{_told(key)} is {number}" + (f" at seed {seed}" if len(self.seeds) > 1 else ""))
        self._columns[key] = numbers

    def update(self, numbers: Mapping[str, float], **axes: Setting) -> None:
        """Note a mapping arm -> number, all at the same settings."""
        for arm, value in numbers.items():
            self.add(arm, value, **axes)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def axes(self) -> list[str]:
        """All axes beside the arm, in the order they were first used."""
        return list(dict.fromkeys(axis for key in self._columns for axis, _ in key[1:]))

    def arms(self) -> list[str]:
        """Names of the arms, in the order they were first added."""
        return list(dict.fromkeys(key[0][1] for key in self._columns))

    def select(self, arm: str | None = None, **axes: Setting) -> Scores:
        """The rows at these settings (a row that lacks a named axis is not among them)."""
        wanted = dict(_key(arm, axes) if arm is not None else _settings(axes))
        found = Scores(self.seeds)
        found._columns = {key: v for key, v in self._columns.items() if wanted.items() <= dict(key).items()}
        return found

    def values(self, arm: str, **axes: Setting) -> np.ndarray:
        """The numbers of one row, (n_seeds,) float64 in the order of `seeds`.

        An axis may be left out where one row only is meant: the one without further axes, or the only one there is.
        Raises ClipkitError: no such row, or several.
        """
        exact = self._columns.get(_key(arm, axes))
        if exact is not None:
            return np.array(exact)
        found = self.select(arm, **axes)._columns
        if len(found) == 1:
            return np.array(next(iter(found.values())))
        if found:
            raise ClipkitError(
                f"{len(found)} rows fit {_told(_key(arm, axes))}, such as {'; '.join(map(_told, list(found)[:3]))}: name more axes"
            )
        there = [_told(k) for k in self._columns if k[0][1] == arm] or self.arms()
        raise ClipkitError(f"nothing was measured for {_told(_key(arm, axes))}; there is {'; '.join(there[:12]) or 'nothing'}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and (self.seeds, self._columns) == (other.seeds, other._columns)

    __hash__ = None  # it grows

    def by_name(self) -> dict[str, np.ndarray]:
        """Every row under one name, its settings behind the arm: {"gda shots=4": (n_seeds,) float64}."""
        said = {key: " ".join([key[0][1], *(f"{axis}={value}" for axis, value in key[1:])]) for key in self._columns}
        return {said[key]: np.array(values) for key, values in self._columns.items()}

    def __contains__(self, arm: str) -> bool:
        return any(key[0][1] == arm for key in self._columns)

    def frame(self) -> pandas.DataFrame:
        """Long: columns `seed`, `arm`, every axis (missing where a row lacks it), `value`; a row a number."""
        import pandas

        rows = [
            {"seed": s, **dict(key), "value": v} for key, values in self._columns.items() for s, v in zip(self.seeds, values, strict=True)
        ]
        return pandas.DataFrame(rows, columns=["seed", "arm", *self.axes, "value"])

    def wide(self, columns: str | list[str] = "arm", **axes: Setting) -> pandas.DataFrame:
        """Seeds × settings: index `seed`, one column for each value of the axis (or axes) `columns` at these settings.

        Raises ClipkitError when the settings leave more than one number for a cell.
        """
        import pandas

        names = [columns] if isinstance(columns, str) else list(columns)
        fixed = self.select(axes.pop("arm", None), **axes)
        table: dict[object, list[float]] = {}
        for key, values in fixed._columns.items():
            settings = dict(key)
            if set(settings) - {"arm"} - set(names) - set(axes) or not set(names) <= set(settings):
                continue
            cell = settings[names[0]] if len(names) == 1 else tuple(settings[name] for name in names)
            if cell in table:
                raise ClipkitError(f"several rows fall on {cell!r}: name the axes that tell them apart ({', '.join(fixed.axes)})")
            table[cell] = values
        return pandas.DataFrame(table, index=pandas.Index(self.seeds, name="seed"), dtype="float64")

    @classmethod
    def join(cls, by_seed: Mapping[int, Scores | Mapping[str, float]]) -> Scores:
        """One table from the seeds' own. Raises ClipkitError when the seeds did not measure the same."""
        joined = cls(by_seed)
        tables = [of_mapping(one) for one in by_seed.values()]
        for other in tables[1:]:
            if odd := set(tables[0]._columns) ^ set(other._columns):
                raise ClipkitError(f"the arms differ from the other seeds': {'; '.join(sorted(map(_told, odd))[:8])}")
        joined._columns = {key: [table._columns[key][0] for table in tables] for key in (tables[0]._columns if tables else ())}
        return joined

    def to_dict(self, digits: int = DIGITS) -> dict:
        """Compact and JSON-ready: the axes, a list of settings a row (None where it lacks an axis), a list of numbers a row."""
        axes = ["arm", *self.axes]
        keys = [[dict(key).get(axis) for axis in axes] for key in self._columns]
        return {"axes": axes, "keys": keys, "values": [[float(f"{v:.{digits}g}") for v in values] for values in self._columns.values()]}

    @classmethod
    def from_dict(cls, content: Mapping, seeds: Iterable[int]) -> Scores:
        """What `to_dict` wrote, for the seeds it was of. Raises ClipkitError when it is something else."""
        scores = cls(seeds)
        try:
            for setting, values in zip(content["keys"], content["values"], strict=True):
                found = {axis: value for axis, value in zip(content["axes"], setting, strict=True) if value is not None}
                scores.add(found.pop("arm"), values, **found)
        except (KeyError, TypeError, ValueError) as error:
            raise ClipkitError(f"not a table of scores ({error}): record the page again") from None
        return scores


def mean_over(axis: str, scores: Scores) -> Scores:
    """One row for all those that differ in `axis` only: their mean. Rows without that axis are left out.

    >>> both = Scores()
    >>> both.add("gda", 70.0, task="digits"), both.add("gda", 80.0, task="texture")
    (None, None)
    >>> mean_over("task", both).values("gda").tolist()
    [75.0]
    """
    groups: dict[Key, list[list[float]]] = {}
    for key, values in scores._columns.items():
        if axis in dict(key):
            groups.setdefault(tuple(part for part in key if part[0] != axis), []).append(values)
    mean = Scores(scores.seeds)
    mean._columns = {key: np.mean(rows, axis=0).tolist() for key, rows in groups.items()}
    return mean


def of_mapping(row: object) -> Scores:
    """The scores of one seed, from a Scores of one seed or a mapping arm -> number.

    Raises ClipkitError: neither of them, or empty.
    """
    if isinstance(row, Scores):
        found = row
    elif isinstance(row, Mapping):
        found = Scores()
        found.update({str(arm): value for arm, value in row.items()})
    else:
        raise ClipkitError(f"the experiment must return Scores, or a mapping arm -> number, not {type(row).__name__}")
    if not len(found):
        raise ClipkitError("the experiment must return at least one number; it returned none")
    return found


def _settings(axes: Mapping[str, object]) -> Key:
    plain = {}
    for axis, value in axes.items():
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, (str, int, float)):
            raise ClipkitError(f"axis {axis}: a setting is a text or a number, not {type(value).__name__}")
        plain[axis] = value
    return tuple(sorted(plain.items()))


def _key(arm: str, axes: Mapping[str, object]) -> Key:
    return (("arm", str(arm)), *_settings(axes))


def _told(key: Key) -> str:
    """ "arm 'gda' at shots 4, protocol full_val"."""
    where = ", ".join(f"{axis} {value}" for axis, value in key[1:])
    return f"arm {key[0][1]!r}" + (f" at {where}" if where else "")
