"""The page few_shot_shootout: its own pictures; the methods are a room's (`clipkit.adapt.shootout`), the loop over them is the page's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.lab.palette import label
from clipkit.lab.plots import curves, heatmap

if TYPE_CHECKING:
    import pandas


def draw_shots(table: pandas.DataFrame, methods: Sequence[str], shown: Sequence[str], where: str) -> pandas.DataFrame:
    """Accuracy against shots: some methods as curves, all of them as a heat map, the best mean on top.

    Args: table: a row for each seed, `arm` and `shots`, with `value`. where: of the data, for the titles.
    Returns: means, methods x shots.
    """
    import pandas

    grid = table[table.arm.isin(methods)].pivot_table("value", "arm", "shots")
    rows = "; ".join(f"{label(arm)} {', '.join(f'{v:.1f}' for v in grid.loc[arm])}" for arm in shown)
    alt = f"Accuracy against shots ({', '.join(map(str, grid.columns))}), {where}: {rows}."
    chosen, xlabel = pandas.concat([table[table.arm == arm] for arm in shown]), "labelled pictures a class"
    axes = {"xscale": "log2", "xlabel": xlabel, "ylabel": "accuracy, %"}
    curves(chosen, "shots", "value", "arm", alt=alt, title=f"Seven of the twelve ({where})", **axes)
    winners = ", ".join(f"{label(arm)} at {k}" for k, arm in grid.idxmax().items())
    alt = f"All twelve methods by shots, best mean on top. First place: {winners}."
    ordered = grid.loc[grid.mean(axis=1).sort_values(ascending=False).index].rename(index=label)
    heatmap(ordered, alt=alt, title=f"Accuracy in %, all twelve ({where})", xlabel=xlabel)
    return grid


def draw_dumbbells(axes, rows: Mapping[str, tuple[float, float]], xlabel: str = "accuracy, %") -> None:
    """An open dot for the first value of each row, a full one for the second, a line between them; first row at the bottom.

    Raises ClipkitError when there is no row.
    """
    if not rows:
        raise ClipkitError("dumbbells need at least one row of two values")
    for place, (first, second) in enumerate(rows.values()):
        axes.plot([first, second], [place, place], color="0.6", zorder=1)
        axes.plot(first, place, "o", color="black", markerfacecolor="white", markersize=9)
        axes.plot(second, place, "o", color="black", markersize=6)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel(xlabel)
