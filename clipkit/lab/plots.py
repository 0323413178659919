"""The book's plots: curves with bands and labels at the line, paired bars with their seeds, heat maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.lab.figures import SIZE, figure
from clipkit.lab.palette import ink, label, looks
from clipkit.lab.tables import number
from clipkit.registry.stats import t_interval
from clipkit.registry.verdict import MIN_SEEDS, interval

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


THIN, THIN_BARS = "thin lines: this run", "diamonds: this run"


def curves(
    df: pandas.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    alt: str | None = None,
    title: str = "",
    ax: Axes | None = None,
    live: pandas.DataFrame | None = None,
    **labels: str,
) -> str | None:
    """y against x, one line for each value of `by`, its name at the line's end, a band over the repeats.

    The band is the 95 % interval of the mean from five repeats on, below that from the smallest to the largest.

    Arguments:
        df: long form, one row for each (seed, x, by).
        ax: draw there; without it a figure is made and shown, and `alt` is required.
        live: the same of the run at hand, a thin line where `df` is of a record.
        labels: xlabel, ylabel, without them the names of the columns; xscale, "linear", "log", or "log2", whose ticks are the x values.

    Returns, with `ax`, what the band is in words ("" for none); else the words stand under the figure.
    """
    for name in filter(None, (x, y, by)):
        if name not in df.columns:
            raise unknown("column", name, map(str, df.columns))
    xscale = labels.pop("xscale", "linear")

    def draw(axes: Axes) -> str:
        groups = {str(name): part for name, part in df.groupby(by, sort=False)} if by else {y: df}
        repeats = min(int(part.groupby(x)[y].count().min()) for part in groups.values())
        marked = live is not None and not live.equals(df)
        edges = _interval if repeats >= MIN_SEEDS else _extremes
        ends = []
        for (name, part), look in zip(groups.items(), looks(groups).values(), strict=True):
            by_x = [(point, rows[y].to_numpy(dtype=float)) for point, rows in part.groupby(x)]
            points, means = [point for point, _ in by_x], [float(v.mean()) for _, v in by_x]
            axes.plot(points, means, color=look.colour, marker=look.marker, linestyle=look.line, label=label(name))
            if repeats > 1:
                axes.fill_between(points, *zip(*(edges(v) for _, v in by_x), strict=True), color=look.colour, alpha=0.16, linewidth=0)
            if marked:
                mean = (live[live[by].astype(str) == name] if by else live).groupby(x)[y].mean()
                axes.plot(mean.index, mean, color=look.colour, linewidth=0.8, zorder=1)
            ends.append((points[-1], means[-1], label(name), look.colour))
        _scale_x(axes, xscale, sorted(df[x].unique()))
        axes.set(**{"xlabel": x, "ylabel": y, **labels})
        if by:
            _label_ends(axes, ends)
        said = [THIN] if marked else []
        if repeats > 1:
            band_words = "95 % interval of the mean," if repeats >= MIN_SEEDS else "smallest to largest of"
            said.insert(0, f"bands: {band_words} {repeats} seeds")
        return "; ".join(said)

    return _on(ax, draw, alt, title)


def bars(
    runs: pandas.DataFrame,
    alt: str | None = None,
    title: str = "",
    ax: Axes | None = None,
    arms: Sequence[str] | None = None,
    start: float = 0.0,
    digits: int = 1,
    live: pandas.DataFrame | None = None,
    **labels: str,
) -> str | None:
    """Mean of each arm as a horizontal bar, each seed as a dot joined to the same seed's other dots.

    The joining lines show the pairing: seeds differ together, so the arms may be told apart although the whiskers
    overlap. Whiskers (95 % intervals) from five seeds on.

    Arguments:
        runs: seeds x arms, from `run.over_seeds`.
        arms: which and in what order, top first; default best mean first.
        start: where the axis begins.
        live: the same of the run at hand, a thin mark where `runs` is of a record; arms that it lacks have none.
        labels: xlabel; without it "accuracy, %".

    Returns, with `ax`, what is drawn besides the bars, in words; else the words stand under the figure.
    """
    for arm in arms or ():
        if arm not in runs.columns:
            raise unknown("arm", arm, map(str, runs.columns))
    order = list(arms) if arms else list(runs.mean().sort_values(ascending=False).index)

    def draw(axes: Axes) -> str:
        from matplotlib.patheffects import withStroke

        places = np.arange(len(order))
        marked = live is not None and not live.equals(runs)
        means = live.reindex(columns=order).mean() if marked else runs[order].mean()  # an arm that it lacks is NaN and not drawn
        everything = np.concatenate([runs[order].to_numpy(dtype=float).ravel(), means.to_numpy(dtype=float)])
        least, widest = float(np.nanmin(everything)), float(np.nanmax(everything))
        for place, (arm, look) in enumerate(zip(order, looks(order).values(), strict=True)):
            values = runs[arm].to_numpy(dtype=float)
            axes.barh(place, values.mean() - start, left=start, color=look.colour, alpha=0.45, hatch=look.hatch, edgecolor=look.colour)
            edge = float(values.max())
            if found := interval(values) if len(values) >= MIN_SEEDS else None:
                axes.plot([found.low, found.high], [place, place], color="black", linewidth=1.6, solid_capstyle="butt")
                edge = max(edge, found.high)
            edge = max(edge, start, float(np.nan_to_num(means[arm], nan=start)))
            words = {"va": "center", "fontweight": "bold", "zorder": 5, "path_effects": [withStroke(linewidth=3, foreground="white")]}
            axes.annotate(number(values.mean(), digits), (edge, place), (8, 0), textcoords="offset points", **words)
        if 1 < len(runs) <= 20:
            for _, row in runs[order].iterrows():
                axes.plot(row.to_numpy(), places, color="black", marker="o", markersize=3.5, linewidth=0.6, alpha=0.55)
        if marked:
            axes.plot(means, places, linestyle="", marker="d", markersize=7, markerfacecolor="none", color="black", zorder=4)
        axes.set_yticks(places, [label(arm) for arm in order])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.set_xlim(min(start, least), widest + 0.14 * (widest - start or 1))
        axes.set(**{"xlabel": "accuracy, %", **labels})
        said = ["one seed" if len(runs) < 2 else f"dots: {len(runs)} seeds"]
        said += ["whiskers: 95 % intervals"] * (len(runs) >= MIN_SEEDS) + [THIN_BARS] * marked
        return "; ".join(said)

    return _on(ax, draw, alt, title, (SIZE[0], max(2.2, 0.9 + 0.48 * len(order))))


def heatmap(
    df: pandas.DataFrame,
    alt: str | None = None,
    title: str = "",
    ax: Axes | None = None,
    digits: int = 1,
    bar_label: str = "",
    centre: float | None = None,
    **options,
) -> str | None:
    """A table of numbers as colours, the number written in each cell while there are few enough of them.

    Arguments:
        df: rows x columns; NaN cells stay empty.
        centre: a value to stand for "no difference"; a diverging scale is then used.
        options: xlabel, ylabel; the rest goes to `seaborn.heatmap` (vmin, vmax ...).
    """
    import seaborn

    rows, columns = df.shape
    if not rows or not columns:
        raise ClipkitError("a heat map needs at least one row and one column")
    labels = {name: options.pop(name, "") for name in ("xlabel", "ylabel")}
    colours = {"cmap": "PuOr", "center": centre} if centre is not None else {"cmap": "cividis"}
    written = df.map(lambda value: number(value, digits)) if rows * columns <= 120 else False
    settings = {"annot": written, "fmt": "", "linewidths": 0.6, "cbar_kws": {"label": bar_label}}

    def draw(axes: Axes) -> str:
        seaborn.heatmap(df, ax=axes, **{**settings, **colours, **options})
        axes.set(**labels)
        axes.grid(visible=False)
        axes.tick_params(axis="y", rotation=0)
        if columns > 8 or max(len(str(name)) for name in df.columns) > 7:
            axes.set_xticks(axes.get_xticks(), axes.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
        return ""

    return _on(ax, draw, alt, title, (SIZE[0], max(2.4, 1.3 + 0.36 * rows)))


def _on(ax: Axes | None, draw: Callable[[Axes], str], alt: str | None, title: str, size: tuple[float, float] | None = None) -> str | None:
    """Draw on the caller's axes and return the words, or on a figure of our own, with the words under it, and show it."""
    if ax is not None:
        if title:
            ax.set_title(title)
        return draw(ax)
    with figure(alt=alt, title=title, size=size) as axes:
        said = draw(axes)
        if said:
            axes.figure.supxlabel(said, x=0.01, ha="left", fontsize=10, color="#444444")
    return None


def _extremes(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _interval(values: np.ndarray) -> tuple[float, float]:
    found = t_interval(values)
    return found.low, found.high


def _scale_x(axes: Axes, scale: str, points: list) -> None:
    if scale == "linear":
        return
    axes.set_xscale("log", base=2 if scale == "log2" else 10)
    if scale == "log2":
        axes.set_xticks(points, [f"{point:g}" for point in points])
        axes.minorticks_off()


def _label_ends(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names to the right of the lines' ends, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    height = axes.figure.get_size_inches()[1] * 0.72 * 72 / 14  # lines of text that fit
    heights = spread([end[1] for end in ends], (high - low) / max(height, 1), low, high)
    for (x, y, name, colour), place in zip(ends, heights, strict=True):
        axes.annotate(
            name,
            xy=(x, y),
            xytext=(1.03, (place - low) / (high - low)),
            textcoords=axes.transAxes,
            color=ink(colour),
            va="center",
            fontweight="bold",
            fontsize=11.5,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "alpha": 0.6, "shrinkA": 0, "shrinkB": 3},
            annotation_clip=False,
        )
    axes.set_ylim(low, high)


def spread(values: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Positions near `values`, in the same order, at least `gap` apart, inside [low, high] where there is room.

    Neighbours that collide form a block around their mean; blocks that then touch are merged.

    >>> spread([1.0, 1.0, 5.0], 1.0)
    [0.5, 1.5, 5.0]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    blocks: list[list] = []  # [first position, members]
    for i in order:
        blocks.append([values[i], [i]])
        blocks[-1][0] = max(low, min(blocks[-1][0], high))
        while len(blocks) > 1 and blocks[-2][0] + gap * len(blocks[-2][1]) > blocks[-1][0]:
            members = blocks[-2][1] + blocks.pop()[1]
            width = gap * (len(members) - 1)
            centre = sum(values[m] for m in members) / len(members)
            blocks[-1] = [max(low, min(centre - width / 2, high - width)), members]
    placed = [0.0] * len(values)
    for first, members in blocks:
        for step, i in enumerate(members):
            placed[i] = first + gap * step
    return placed
