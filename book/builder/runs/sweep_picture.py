"""The plot of a sweep: the arms that the page's claims name, against the axis of the grid with the most numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from clipkit.errors import unknown
from clipkit.lab.figures import new_figure, png, style
from clipkit.lab.plots import bars, curves
from clipkit.registry.claims import claims_of
from clipkit.registry.papers import Entry

if TYPE_CHECKING:
    import pandas

MOST_PANELS, MOST_ARMS = 6, 12


def shown_arms(arms: Iterable[str], entry: Entry, wanted: Sequence[str] = ()) -> dict[str, list[str]]:
    """The arms to show, by unit: those wanted, else those that claims of the page name, else the first twelve.

    Raises ClipkitError for a wanted arm that the page did not return.
    """
    present = list(dict.fromkeys(arms))
    for arm in wanted:
        if arm not in present:
            raise unknown("arm", arm, present)
    units = {arm: test.unit for claim in claims_of(entry) for test in claim.tests for arm in test.arms}
    found: dict[str, list[str]] = {}
    for arm in wanted or [arm for arm in units if arm in present]:
        found.setdefault(units.get(arm, ""), []).append(arm)
    return found or {"": present[:MOST_ARMS]}


def main_axis(axes: Mapping[str, Sequence[object]]) -> str | None:
    """The axis to draw along: that with the most different numbers, `seed` left out; None when there is none."""
    numbers = {name: len(values) for name, values in axes.items() if name != "seed" and len(values) > 1 and all(map(_number, values))}
    return max(numbers, key=numbers.get) if numbers else None


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def scale_of(points: Sequence[float]) -> str:
    """log2 for doublings, log for more than a hundredfold, else linear.

    >>> scale_of([1, 2, 4, 8]), scale_of([0.001, 0.1, 1.0]), scale_of([1, 2, 3])
    ('log2', 'log', 'linear')
    """
    if min(points) <= 0:
        return "linear"
    if len(points) > 2 and all(math.log2(point / min(points)).is_integer() for point in points):
        return "log2"
    return "log" if max(points) / min(points) >= 100 else "linear"


def picture(table: pandas.DataFrame, arms: Mapping[str, list[str]], axes: Mapping[str, Sequence[object]], title: str) -> bytes:
    """PNG with a panel for each unit of `arms` and each combination of the other axes, six at most."""
    along = main_axis(axes)
    others = [name for name in axes if name not in ("seed", along) and table[name].nunique(dropna=False) > 1]
    groups = list(table.groupby(others, sort=False, dropna=False)) if others else [((), table)]
    panels = [(place, unit, group[:MOST_ARMS], part) for place, part in groups for unit, group in arms.items()][:MOST_PANELS]
    with style():
        tall = max(3.6, 1.2 + 0.26 * max(len(group) for _, _, group, _ in panels))
        drawing = new_figure((6.4, tall * len(panels)))
        for axis, (place, unit, group, part) in zip(drawing.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            said = _panel(axis, part[part.arm.isin(group)], along, unit)
            axis.set_title(", ".join(f"{name} {value}" for name, value in zip(others, place, strict=True)) or title)
            axis.annotate(said, (0, -0.3 * 3.6 / tall), xycoords="axes fraction", fontsize=10, color="#444444", annotation_clip=False)
        return png(drawing)


def _panel(axis, part: pandas.DataFrame, along: str | None, unit: str) -> str:
    if along:
        points = sorted(part[along].unique())
        return curves(part, along, "value", "arm", ax=axis, xscale=scale_of(points), ylabel=unit or "value")
    wide = part.pivot_table(index="seed", columns="arm", values="value", sort=False).dropna()
    return bars(wide, ax=axis, xlabel=unit or "value")
