"""Figures in one style, with alternative text, ready for a phone, for greyscale, for light and dark pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.lab.notebook import publish
from clipkit.lab.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (6.4, 3.6)  # inches
DPI = 110  # 704 pixels wide: on a phone of half that width, 13 points are still read
STYLE = Path(__file__).with_name("templates") / "book.mplstyle"


def _style() -> list:
    from cycler import cycler

    return [STYLE, {"figure.figsize": SIZE, "figure.dpi": DPI, "savefig.dpi": DPI, "axes.prop_cycle": cycler(color=COLOURS)}]


def style() -> AbstractContextManager:
    """The book's style, inside a `with`."""
    import matplotlib.style

    return matplotlib.style.context(_style())


def use_style() -> None:
    """Switch the book's style on for good."""
    import matplotlib.style

    matplotlib.style.use(_style())


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
    import matplotlib

    width, height = drawing.get_size_inches()
    place = {} if gap is None else {"y": 1 - gap / height, "va": "top"}
    place |= {"x": 0.01, "ha": "left", "fontsize": matplotlib.rcParams["axes.titlesize"], "fontweight": "bold"}
    drawing.suptitle("\n".join(title_lines(title, width)), **place)


def title_lines(title: str, width: float) -> list[str]:
    """The lines of a title over a figure `width` inches wide."""
    import textwrap

    return textwrap.wrap(title, width=int(width * 9.5))


def png(drawing: Figure) -> bytes:
    """The figure as PNG on white, the same bytes for the same drawing (no date, no software version inside)."""
    for axis in (axis for axes in drawing.axes for axis in (axes.xaxis, axes.yaxis) if axis.get_scale() == "log"):
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            tick.label1.set_parse_math(True)  # powers of ten are the one formula in a figure: the style takes $ for a dollar
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
