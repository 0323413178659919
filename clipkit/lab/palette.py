"""One look for each method in the whole book: colour, marker and line, told apart without colour too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

# Okabe and Ito, Color universal design (2008); the yellow is left out, it cannot be read on white
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#6B6B6B"
COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "oo", "++")


@dataclass(frozen=True)
class Look:
    """How a method is drawn: in curves by colour, marker and line; in bars by colour and hatch."""

    colour: str
    marker: str
    line: object
    hatch: str


def _look(colour: int | str, marker: int, line: int) -> Look:
    colour = colour if isinstance(colour, str) else COLOURS[colour]
    return Look(colour, MARKERS[marker], LINES[line], HATCHES[(marker + line) % len(HATCHES)])


# The arms that many pages share: their look never changes. Add a line when a method appears on a second page.
KNOWN: dict[str, Look] = {
    "chance": _look(GREY, 9, 3),
    "random": _look(GREY, 6, 3),
    "uniform": _look(GREY, 7, 2),
    "oracle": _look(GREY, 8, 1),
    "baseline": _look(GREY, 5, 1),
    "zero_shot": _look(BLACK, 0, 1),
    "clip": _look(BLACK, 0, 0),
    "infonce": _look(BLACK, 0, 2),
    "name_only": _look(GREY, 1, 1),
    "ensemble": _look(BLUE, 2, 0),
    "gda": _look(BLUE, 1, 0),
    "tip_adapter": _look(RED, 2, 1),
    "tip_adapter_f": _look(RED, 9, 0),
    "linear_probe": _look(ORANGE, 3, 1),
    "logistic_regression": _look(ORANGE, 3, 2),
    "nearest_mean": _look(SKY, 4, 2),
    "lda": _look(GREEN, 5, 2),
    "finetune": _look(GREEN, 8, 0),
    "clip_adapter": _look(PINK, 6, 2),
    "coop": _look(PINK, 7, 1),
    "cocoop": _look(PINK, 8, 3),
    "msp": _look(SKY, 9, 1),
    "max_logit": _look(ORANGE, 4, 2),
}
_page: dict[str, Look] = {}  # what this notebook's other methods were given, so that its figures agree


def look(name: str) -> Look:
    """The look of a method: from the table, else from a digest of its name, the same on every page and machine."""
    if name in KNOWN:
        return KNOWN[name]
    digest = hashlib.sha256(name.encode()).digest()
    return _look(digest[0] % len(COLOURS), digest[1] % len(MARKERS), digest[2] % len(LINES))


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Looks for the methods of one figure.

    A known method has its own look everywhere. Any other has that of its name, moved on to the next colour, marker
    and line while another method of the figure has it, and keeps the result for the rest of the page. So up to six
    colours and ten markers are all different within a figure, and greyscale tells the methods apart.
    """
    names = list(dict.fromkeys(names))
    chosen = {name: KNOWN.get(name) or _page.get(name) for name in names}
    fixed = [own for own in chosen.values() if own]
    for name in names:
        if chosen[name] is None:
            own = look(name)
            page = list(_page.values())
            colour = _free(COLOURS, own.colour, [other.colour for other in fixed], [other.colour for other in page])
            marker = _free(MARKERS, own.marker, [other.marker for other in fixed], [other.marker for other in page])
            line = _free(LINES, own.line, [other.line for other in fixed], [other.line for other in page])
            chosen[name] = _page[name] = _look(colour, MARKERS.index(marker), LINES.index(line))
            fixed.append(chosen[name])
    return chosen


def new_page(arms: Iterable[str] = ()) -> None:
    """Forget the looks of the last page, and settle those of this page's arms together."""
    _page.clear()
    looks(arms)


def _free(choices: tuple, wanted: object, figure: list, page: list) -> object:
    """`wanted`, or the first after it that the figure, and then the page, has used least."""
    start = choices.index(wanted)
    turned = choices[start:] + choices[:start]
    return min(turned, key=lambda choice: (figure.count(choice), page.count(choice)))


def label(name: str) -> str:
    """A method's name as printed: "tip_adapter" -> "tip adapter"."""
    return name.replace("_", " ")


def ink(colour: str) -> str:
    """The colour darkened until text in it has a contrast of 4.5 to 1 on white (WCAG 2.2, 1.4.3).

    >>> ink("#000000"), ink("#E69F00") < "#E69F00"
    ('#000000', True)
    """
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    while 1.05 / (luminance(channels) + 0.05) < 4.5:
        channels = [int(channel * 0.95) for channel in channels]
    return "#" + "".join(f"{channel:02X}" for channel in channels)


def luminance(channels: Iterable[int]) -> float:
    """Relative luminance of an sRGB colour, 0 black to 1 white (WCAG 2.2)."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
