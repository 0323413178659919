"""Drawings of vehicles.

One function per category, drawn with a `Pen` from back to front in the unit square (y down); tones and
habits as in `clipkit.world.art_living`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clipkit.world.art_living import arc, tube
from clipkit.world.rasterizer import Pen, Point


def _wheel(pen: Pen, x: float, y: float, r: float) -> None:
    """A tyre with a silver hub."""
    pen.ellipse(x, y, r, r, "ink", "wheel")
    pen.ellipse(x, y, r * 0.48, r * 0.48, "silver", "wheel")


def car(pen: Pen) -> None:
    """A small car from the side: rounded cabin, two windows, two wheels."""
    pen.blob([(0.18, 0.52), (0.26, 0.28), (0.40, 0.20), (0.58, 0.20), (0.72, 0.30), (0.84, 0.52), (0.50, 0.60)], "main", "cabin")
    pen.polygon([(0.26, 0.47), (0.32, 0.31), (0.46, 0.27), (0.46, 0.47)], "glass", "window")
    pen.polygon([(0.53, 0.47), (0.53, 0.27), (0.65, 0.32), (0.75, 0.47)], "glass", "window")
    pen.rect(0.03, 0.46, 0.97, 0.75, "main", "body", 0.10)
    pen.rect(0.03, 0.64, 0.97, 0.75, "dark", "body", 0.05)
    pen.ellipse(0.92, 0.57, 0.05, 0.06, "gold", "headlight")
    for x in (0.25, 0.75):
        _wheel(pen, x, 0.74, 0.145)


def bus(pen: Pen) -> None:
    """A long bus from the side: row of windows, door, windscreen, two wheels."""
    pen.rect(0.03, 0.14, 0.97, 0.80, "main", "body", 0.09)
    pen.rect(0.03, 0.69, 0.97, 0.80, "dark", "body", 0.04)
    for x in (0.09, 0.27, 0.45):
        pen.rect(x, 0.26, x + 0.14, 0.46, "glass", "window", 0.02)
    pen.rect(0.64, 0.26, 0.77, 0.72, "glass", "door", 0.02)
    pen.polygon([(0.84, 0.26), (0.95, 0.26), (0.97, 0.30), (0.97, 0.52), (0.84, 0.52)], "glass", "windscreen")
    pen.rect(0.03, 0.54, 0.59, 0.60, "light", "stripe")
    pen.ellipse(0.93, 0.64, 0.045, 0.05, "gold", "headlight")
    for x in (0.22, 0.82):
        _wheel(pen, x, 0.80, 0.125)


def bicycle(pen: Pen) -> None:
    """A bicycle from the side: two open wheels, frame, saddle, handlebar."""
    for x in (0.23, 0.77):
        tube(pen, arc(x, 0.64, 0.17, 0.17, 0, 360, 32), 0.075, "main", "wheel", smooth=False)
    frame = [(0.23, 0.64), (0.38, 0.36), (0.66, 0.36), (0.48, 0.64), (0.23, 0.64)]
    tube(pen, frame, 0.065, "main", "frame", smooth=False)
    tube(pen, [(0.34, 0.27), (0.48, 0.64)], 0.065, "main", "frame", smooth=False)
    tube(pen, [(0.77, 0.64), (0.64, 0.22)], 0.065, "main", "frame", smooth=False)
    pen.ellipse(0.48, 0.64, 0.06, 0.06, "silver", "pedal")
    pen.stroke([(0.25, 0.24), (0.43, 0.24)], 0.08, "wood", "saddle")
    pen.stroke([(0.56, 0.17), (0.66, 0.19), (0.74, 0.25)], 0.06, "silver", "handlebar")


def airplane(pen: Pen) -> None:
    """An airliner from above, nose to the upper right, with swept wings and tail."""

    def turn(points: Sequence[Point]) -> list[Point]:
        # (along, across) the fuselage -> picture, 97 % of size, leaning 35 degrees to the right of straight up.
        return [(0.565 + 0.556 * u + 0.794 * v, 0.475 - 0.794 * u + 0.556 * v) for u, v in points]

    for s in (-1, 1):
        pen.polygon(turn([(0.24, s * 0.05), (-0.08, s * 0.05), (-0.20, s * 0.52), (-0.06, s * 0.52)]), "main", "wing")
        pen.polygon(turn([(0.00, s * 0.05), (-0.08, s * 0.05), (-0.20, s * 0.52), (-0.14, s * 0.52)]), "dark", "wing")
        pen.polygon(turn([(-0.28, s * 0.04), (-0.42, s * 0.04), (-0.50, s * 0.24), (-0.42, s * 0.24)]), "dark", "tail")
    side = [(0.50, 0.06), (0.38, 0.10), (0.0, 0.105), (-0.30, 0.075), (-0.49, 0.03)]
    pen.blob(turn([(0.54, 0.0), *side, *((u, -v) for u, v in reversed(side))]), "main", "body")
    if pen.mode == "fill":
        pen.stroke(turn([(0.20, 0.0), (-0.40, 0.0)]), 0.05, "light", "body")
    pen.polygon(turn([(0.47, 0.045), (0.38, 0.085), (0.34, 0.06), (0.34, -0.06), (0.38, -0.085), (0.47, -0.045)]), "glass", "window")


def boat(pen: Pen) -> None:
    """A sailing boat: two sails on a mast above a deep hull."""
    pen.stroke([(0.50, 0.06), (0.50, 0.72)], 0.05, "wood", "mast")
    pen.polygon([(0.54, 0.08), (0.92, 0.62), (0.54, 0.62)], "main", "sail")
    pen.polygon([(0.46, 0.18), (0.46, 0.62), (0.12, 0.62)], "light", "sail")
    pen.polygon([(0.03, 0.68), (0.97, 0.68), (0.88, 0.84), (0.78, 0.94), (0.22, 0.94), (0.12, 0.84)], "main", "hull")
    pen.polygon([(0.03, 0.68), (0.97, 0.68), (0.93, 0.76), (0.07, 0.76)], "dark", "hull")
    pen.stroke([(0.10, 0.79), (0.90, 0.79)], 0.045, "pale", "stripe")


def rocket(pen: Pen) -> None:
    """A rocket standing up: pointed nose, round window, fins, flame."""
    pen.blob([(0.38, 0.76), (0.62, 0.76), (0.60, 0.88), (0.50, 0.98), (0.40, 0.88)], "flame", "flame")
    pen.blob([(0.44, 0.76), (0.56, 0.76), (0.55, 0.83), (0.50, 0.90), (0.45, 0.83)], "gold", "flame")
    for s in (-1, 1):
        pen.polygon([(0.5 + s * x, y) for x, y in ((0.16, 0.46), (0.38, 0.66), (0.38, 0.88), (0.14, 0.76))], "dark", "fin")
    pen.blob(
        [(0.50, 0.02), (0.64, 0.16), (0.70, 0.38), (0.68, 0.60), (0.62, 0.79), (0.38, 0.79), (0.32, 0.60), (0.30, 0.38), (0.36, 0.16)],
        "main",
        "body",
    )
    pen.blob([(0.50, 0.02), (0.58, 0.09), (0.64, 0.20), (0.50, 0.22), (0.36, 0.20), (0.42, 0.09)], "red", "nose")
    pen.ellipse(0.5, 0.40, 0.125, 0.125, "ink", "window")
    pen.ellipse(0.5, 0.40, 0.095, 0.095, "glass", "window")


DRAWINGS: dict[str, Callable[[Pen], None]] = {f.__name__: f for f in (car, bus, bicycle, airplane, boat, rocket)}
