"""Figures in one style, with alternative text, ready for a phone, for greyscale, for light and dark pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.lab.notebook import publish
from clipkit.lab.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (6.4, 3.6)  # inches
DPI = 110  # 704 pixels wide: on a phone of half that width, 13 points are still read
_RC = {
    "figure.figsize": SIZE,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 12.5,
    "axes.titlesize": 13.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 12.5,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "legend.fontsize": 11.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 2.2,
    "lines.markersize": 7,
    "hatch.linewidth": 0.6,
    "image.interpolation": "nearest",
    "image.cmap": "cividis",
}


class style:
    """Switch the book's style on: for good, or inside a `with`."""

    def __init__(self) -> None:
        import matplotlib

        self._before = dict(matplotlib.rcParams.copy())
        self._before.pop("backend", None)  # choosing the backend is not a matter of style
        matplotlib.rcParams.update(_RC)
        matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(color=COLOURS)

    def __enter__(self) -> style:
        return self

    def __exit__(self, *_: object) -> None:
        import matplotlib

        dict.update(matplotlib.rcParams, self._before)


@contextmanager
def figure(alt: str, title: str = "", size: tuple[float, float] | None = None, rows: int = 1, columns: int = 1, **subplots) -> Iterator:
    """Draw inside the `with`; the figure is shown with its alternative text when it ends.

    Arguments:
        alt: what the figure shows, for who cannot see it. Required.
        title: what it says, in a sentence; long ones are wrapped.
        size: inches; default 6.4 x 3.6, taller for several rows.
        rows, columns, **subplots: as for matplotlib's `Figure.subplots`.

    Yields the axes (an array of them for several); `axes.figure` is the figure.
    """
    _need_alt(alt)
    with style():
        drawing = new_figure(size or (SIZE[0], SIZE[1] * (1 if rows == 1 else 0.75 * rows)))
        axes = drawing.subplots(rows, columns, **subplots)
        yield axes
        if title:
            put_title(drawing, title)
        show(drawing, alt)


def new_figure(size: tuple[float, float] = SIZE) -> Figure:
    """A figure outside pyplot: nothing shows it twice, nothing keeps it alive."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(made)
    return made


def put_title(drawing: Figure, title: str, gap: float | None = None) -> None:
    """Title at the left edge, wrapped to the width; above all panels when there are several.

    `gap` (inches from the upper edge) is for figures that are laid out by hand; else the layout engine finds the place.
    """
    width, height = drawing.get_size_inches()
    place = {} if gap is None else {"y": 1 - gap / height, "va": "top"}
    drawing.suptitle("\n".join(title_lines(title, width)), x=0.01, ha="left", fontsize=_RC["axes.titlesize"], fontweight="bold", **place)


def title_lines(title: str, width: float) -> list[str]:
    """The lines of a title over a figure `width` inches wide."""
    import textwrap

    return textwrap.wrap(title, width=int(width * 9.5))


def png(drawing: Figure) -> bytes:
    """The figure as PNG on white, the same bytes for the same drawing (no date, no software version inside)."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def show(drawing: Figure | bytes, alt: str) -> None:
    """Put a figure (or PNG bytes) on the page with its alternative text.

    The text is the plain-text form of the output, and stands in its metadata as {"image/png": {"alt": ...}}, where
    nbconvert finds it by itself; myst-nb does not look there, so the site's build hands it over.

    Raises ClipkitError when `alt` is empty.
    """
    _need_alt(alt)
    alt = " ".join(alt.split())
    if not isinstance(drawing, bytes):
        drawing = png(drawing)
    bundle = {"image/png": base64.b64encode(drawing).decode("ascii"), "text/plain": f"[figure: {alt}]"}
    publish(bundle, {"image/png": {"alt": alt}})


def _need_alt(alt: object) -> None:
    if not isinstance(alt, str) or not alt.strip():
        raise ClipkitError('a figure needs alternative text: alt="what one sees in it, in a sentence"')
