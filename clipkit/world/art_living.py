"""Drawings of animals, fruits and vegetables.

One function per category, drawn with a `Pen` from back to front in the unit square (y down). Most of
every drawing is the object's own colour (tones `main`, `dark`, `light`); details are few and large, and
those that carry meaning (eyes, stems, leaves, seeds) have fixed tones, so that they survive on any colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from clipkit.world.rasterizer import Pen, Point


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int = 24) -> list[Point]:
    """Points along an ellipse from `start` to `stop`, degrees clockwise from +x."""
    turn = [math.radians(start + (stop - start) * k / steps) for k in range(steps + 1)]
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in turn]


def tube(pen: Pen, points: Sequence[Point], width: float, tone: str = "main", part: str = "body", smooth: bool = True) -> None:
    """A thick bent bar; a sketch shows its two edges, not a solid bar."""
    pen.stroke(points, width, tone, part, smooth=smooth)
    if pen.mode == "line":
        pen.stroke(points, max(width - 2 * pen.outline, 0.01), "white", part, smooth=smooth)


def _eye(pen: Pen, x: float, y: float, r: float, look: float = 0.0) -> None:
    """A white eye with a big pupil; `look` shifts the pupil sideways."""
    pen.ellipse(x, y, r, r * 1.1, "white", "eye")
    pen.ellipse(x + look * r, y + 0.05 * r, r * 0.62, r * 0.74, "ink", "eye")


def _ball(pen: Pen, x: float, y: float, r: float, part: str) -> None:
    """A disc with a dark rim below, so that neighbours of the same colour stay apart."""
    if pen.mode == "fill":
        pen.ellipse(x, y, r, r, "dark", part)
        pen.ellipse(x - 0.06 * r, y - 0.12 * r, r * 0.88, r * 0.86, "main", part)
    else:
        pen.ellipse(x, y, r * 0.94, r * 0.94, "main", part)


def _leaf(pen: Pen, x0: float, y0: float, x1: float, y1: float, fat: float = 0.28) -> None:
    """A pointed green leaf from its foot (x0, y0) to its tip (x1, y1)."""
    dx, dy = x1 - x0, y1 - y0
    side = [(0.0, 0.0), (0.22, 0.75), (0.5, 1.0), (0.8, 0.55), (1.0, 0.0)]
    path = [*((t, s * fat) for t, s in side), *((t, -s * fat) for t, s in reversed(side[1:-1]))]
    pen.polygon([(x0 + t * dx - s * dy, y0 + t * dy + s * dx) for t, s in path], "leaf", "leaf")


# -- animals ------------------------------------------------------------------------------------
def cat(pen: Pen) -> None:
    """A sitting cat from the front: big head, pointed ears, whiskers, curled tail."""
    tube(pen, [(0.66, 0.90), (0.86, 0.90), (0.92, 0.76), (0.84, 0.64)], 0.11, "dark", "tail")
    pen.blob([(0.48, 0.50), (0.70, 0.62), (0.76, 0.84), (0.68, 0.96), (0.28, 0.96), (0.20, 0.84), (0.26, 0.62)], "main", "body")
    pen.ellipse(0.48, 0.80, 0.13, 0.16, "light", "chest")
    for s in (-1, 1):
        pen.polygon([(0.48 + s * 0.38, 0.03), (0.48 + s * 0.36, 0.36), (0.48 + s * 0.08, 0.18)], "main", "ear")
        pen.polygon([(0.48 + s * 0.325, 0.12), (0.48 + s * 0.31, 0.27), (0.48 + s * 0.17, 0.19)], "pale", "ear")
    pen.ellipse(0.48, 0.40, 0.40, 0.285, "main", "head")
    for s in (-1, 1):
        _eye(pen, 0.48 + s * 0.17, 0.36, 0.085)
        for y0, y1 in ((0.49, 0.46), (0.54, 0.57)):
            pen.stroke([(0.48 + s * 0.22, y0), (0.48 + s * 0.47, y1)], 0.022, "white" if pen.mode == "fill" else "ink", "whisker")
    pen.ellipse(0.48, 0.53, 0.115, 0.085, "pale", "muzzle")
    pen.polygon([(0.42, 0.46), (0.54, 0.46), (0.48, 0.53)], "ink", "nose")


def dog(pen: Pen) -> None:
    """A standing dog from the side: long muzzle, floppy ear, raised tail."""
    tube(pen, [(0.84, 0.52), (0.93, 0.40), (0.92, 0.24)], 0.09, "main", "tail")
    for x in (0.46, 0.70):
        pen.rect(x, 0.66, x + 0.12, 0.95, "dark", "leg", 0.04)
    pen.blob(
        [(0.30, 0.46), (0.50, 0.45), (0.74, 0.44), (0.88, 0.52), (0.89, 0.68), (0.76, 0.77), (0.52, 0.77), (0.34, 0.72)], "main", "body"
    )
    for x in (0.34, 0.77):
        pen.rect(x, 0.60, x + 0.13, 0.96, "main", "leg", 0.04)
    pen.blob([(0.30, 0.60), (0.26, 0.44), (0.44, 0.36), (0.54, 0.50), (0.46, 0.68)], "main", "neck")
    pen.blob([(0.05, 0.36), (0.10, 0.27), (0.22, 0.25), (0.30, 0.25), (0.34, 0.46), (0.24, 0.50), (0.10, 0.48)], "light", "muzzle")
    pen.ellipse(0.36, 0.28, 0.20, 0.20, "main", "head")
    pen.ellipse(0.08, 0.32, 0.06, 0.055, "ink", "nose")
    _eye(pen, 0.27, 0.23, 0.062, -0.2)
    pen.stroke([(0.31, 0.54), (0.52, 0.49)], 0.06, "red", "collar")
    pen.blob([(0.40, 0.11), (0.50, 0.10), (0.60, 0.24), (0.60, 0.44), (0.50, 0.50), (0.43, 0.36)], "dark", "ear")


def bird(pen: Pen) -> None:
    """A plump bird from the side: pointed beak, folded wing, fanned tail, two legs."""
    for x in (0.40, 0.54):
        pen.stroke([(x, 0.76), (x, 0.93), (x - 0.08, 0.95)], 0.045, "flame", "leg", smooth=False)
    pen.polygon([(0.62, 0.46), (0.92, 0.26), (0.97, 0.40), (0.90, 0.54), (0.70, 0.68)], "dark", "tail")
    pen.blob(
        [(0.22, 0.34), (0.46, 0.36), (0.70, 0.44), (0.76, 0.58), (0.64, 0.76), (0.46, 0.82), (0.28, 0.76), (0.18, 0.58)], "main", "body"
    )
    pen.blob([(0.20, 0.50), (0.30, 0.52), (0.42, 0.64), (0.44, 0.80), (0.28, 0.76), (0.18, 0.62)], "light", "belly")
    pen.polygon([(0.22, 0.18), (0.02, 0.34), (0.22, 0.40)], "flame", "beak")
    pen.ellipse(0.34, 0.28, 0.22, 0.22, "main", "head")
    _eye(pen, 0.29, 0.25, 0.075, -0.15)
    pen.blob([(0.40, 0.46), (0.58, 0.44), (0.74, 0.52), (0.86, 0.68), (0.64, 0.70), (0.46, 0.64)], "light", "wing")
    pen.blob([(0.42, 0.46), (0.58, 0.44), (0.73, 0.51), (0.82, 0.64), (0.62, 0.64), (0.47, 0.58)], "dark", "wing")


def fish(pen: Pen) -> None:
    """A fish from the side: oval body, forked tail, fins, one pale band."""
    pen.polygon([(0.30, 0.30), (0.46, 0.10), (0.70, 0.14), (0.66, 0.36)], "dark", "fin")
    pen.polygon([(0.42, 0.70), (0.50, 0.90), (0.66, 0.84), (0.62, 0.66)], "dark", "fin")
    pen.polygon([(0.68, 0.50), (0.96, 0.20), (0.90, 0.50), (0.96, 0.80)], "dark", "tail")
    pen.blob(
        [(0.03, 0.53), (0.18, 0.31), (0.40, 0.22), (0.62, 0.32), (0.80, 0.50), (0.62, 0.69), (0.40, 0.79), (0.18, 0.73)], "main", "body"
    )
    pen.blob([(0.43, 0.235), (0.53, 0.27), (0.56, 0.50), (0.53, 0.735), (0.43, 0.77), (0.47, 0.50)], "pale", "band")
    for dx in (-0.01, 0.10) if pen.mode == "fill" else ():
        pen.stroke([(0.43 + dx, 0.25 + 0.3 * max(dx, 0)), (0.47 + dx, 0.50), (0.43 + dx, 0.76 - 0.3 * max(dx, 0))], 0.022, "dark", "band")
    _eye(pen, 0.22, 0.43, 0.09, -0.1)
    pen.stroke([(0.06, 0.59), (0.13, 0.62), (0.19, 0.60)], 0.03, "ink", "mouth")


def turtle(pen: Pen) -> None:
    """A turtle from the side: domed shell with plates, head stretched out, stumpy legs."""
    pen.polygon([(0.10, 0.66), (0.02, 0.80), (0.20, 0.78)], "light", "tail")
    for x in (0.14, 0.50):
        pen.rect(x, 0.66, x + 0.18, 0.88, "light", "leg", 0.05)
    pen.blob(
        [(0.60, 0.72), (0.70, 0.48), (0.76, 0.34), (0.88, 0.30), (0.97, 0.40), (0.94, 0.52), (0.84, 0.58), (0.76, 0.76)], "light", "head"
    )
    _eye(pen, 0.86, 0.41, 0.06, 0.15)
    pen.polygon([(0.04, 0.70), *arc(0.39, 0.66, 0.35, 0.52, 180, 360), (0.76, 0.70)], "main", "shell")
    pen.polygon([(0.39, 0.24), (0.52, 0.36), (0.47, 0.54), (0.31, 0.54), (0.26, 0.36)], "dark", "plate")
    pen.polygon([(0.14, 0.42), (0.22, 0.56), (0.09, 0.58)], "dark", "plate")
    pen.polygon([(0.64, 0.42), (0.56, 0.56), (0.69, 0.58)], "dark", "plate")
    pen.rect(0.03, 0.63, 0.75, 0.75, "pale", "rim", 0.05)


def butterfly(pen: Pen) -> None:
    """A butterfly with open wings, spots and two feelers."""
    for s in (-1, 1):
        pen.stroke([(0.5 + s * 0.02, 0.26), (0.5 + s * 0.08, 0.12), (0.5 + s * 0.17, 0.06)], 0.03, "ink", "feeler")
        wing = [(0.02, 0.54), (0.20, 0.50), (0.36, 0.62), (0.38, 0.80), (0.28, 0.94), (0.14, 0.86)]
        pen.blob([(0.5 + s * x, y) for x, y in wing], "dark", "lower wing")
        wing = [(0.02, 0.50), (0.08, 0.30), (0.26, 0.12), (0.42, 0.10), (0.47, 0.24), (0.42, 0.46), (0.26, 0.58), (0.10, 0.58)]
        pen.blob([(0.5 + s * x, y) for x, y in wing], "main", "upper wing")
        pen.ellipse(0.5 + s * 0.30, 0.31, 0.09, 0.11, "pale", "spot", s * 35)
        pen.ellipse(0.5 + s * 0.24, 0.76, 0.06, 0.08, "light", "spot")
    pen.ellipse(0.5, 0.55, 0.06, 0.30, "ink", "body")
    pen.ellipse(0.5, 0.26, 0.075, 0.075, "ink", "body")


# -- fruits -------------------------------------------------------------------------------------
def apple(pen: Pen) -> None:
    """An apple with a dimple, a stem and one leaf."""
    right = [(0.50, 0.30), (0.64, 0.23), (0.84, 0.28), (0.94, 0.50), (0.87, 0.76), (0.72, 0.94), (0.58, 0.95)]
    pen.blob([*right, (0.50, 0.92), *((1 - x, y) for x, y in reversed(right[1:]))], "main", "flesh")
    pen.blob([(0.88, 0.40), (0.92, 0.54), (0.84, 0.76), (0.70, 0.91), (0.60, 0.92), (0.74, 0.78), (0.82, 0.60)], "dark", "flesh")
    pen.ellipse(0.27, 0.45, 0.07, 0.13, "light", "glint", 20)
    pen.ellipse(0.50, 0.32, 0.14, 0.045, "dark", "flesh")
    pen.stroke([(0.50, 0.33), (0.48, 0.20), (0.42, 0.08)], 0.065, "wood", "stem")
    _leaf(pen, 0.50, 0.21, 0.80, 0.05)


def banana(pen: Pen) -> None:
    """One bent banana with a ridge and brown ends."""
    pen.polygon([(0.74, 0.12), (0.72, 0.03), (0.84, 0.02), (0.88, 0.16)], "wood", "stem")
    outer = [(0.88, 0.12), (0.93, 0.36), (0.86, 0.62), (0.68, 0.84), (0.42, 0.94), (0.18, 0.92), (0.06, 0.84)]
    inner = [(0.06, 0.74), (0.22, 0.74), (0.40, 0.69), (0.56, 0.56), (0.68, 0.38), (0.73, 0.14)]
    pen.blob([*outer, *inner], "main", "peel")
    ridge = [(0.80, 0.16), (0.82, 0.38), (0.74, 0.58), (0.58, 0.75), (0.38, 0.83), (0.12, 0.82)]
    pen.blob([*outer[:-1], *reversed(ridge)], "dark", "peel")
    pen.stroke([(0.77, 0.28), (0.72, 0.46), (0.60, 0.60)], 0.04, "light", "glint")
    pen.ellipse(0.075, 0.79, 0.05, 0.075, "ink", "tip")


def cherry(pen: Pen) -> None:
    """Two cherries on joined stems under a leaf."""
    pen.stroke([(0.27, 0.62), (0.34, 0.34), (0.58, 0.08)], 0.05, "leaf", "stem")
    pen.stroke([(0.73, 0.66), (0.70, 0.34), (0.58, 0.08)], 0.05, "leaf", "stem")
    _leaf(pen, 0.58, 0.10, 0.94, 0.20, 0.30)
    for x, y in ((0.27, 0.72), (0.74, 0.74)):
        pen.ellipse(x, y, 0.225, 0.215, "main", "flesh")
        pen.ellipse(x - 0.08, y - 0.07, 0.055, 0.065, "light", "glint", 30)
        pen.polygon([*arc(x, y, 0.205, 0.195, -20, 110), *arc(x - 0.04, y - 0.03, 0.19, 0.18, 110, -20)], "dark", "flesh")


def grapes(pen: Pen) -> None:
    """A hanging bunch of grapes with a stem and a leaf."""
    pen.stroke([(0.50, 0.28), (0.48, 0.06)], 0.065, "wood", "stem")
    _leaf(pen, 0.50, 0.19, 0.88, 0.10, 0.30)
    pen.polygon([(0.16, 0.30), (0.84, 0.30), (0.56, 0.86), (0.44, 0.86)], "dark", "bunch")
    rows = ((0.35, (0.17, 0.39, 0.61, 0.83)), (0.53, (0.28, 0.50, 0.72)), (0.70, (0.39, 0.61)), (0.86, (0.50,)))
    for y, xs in rows:
        for x in xs:
            _ball(pen, x, y, 0.118, "grape")
            pen.ellipse(x - 0.035, y - 0.035, 0.036, 0.036, "light", "glint")


def pear(pen: Pen) -> None:
    """A pear: narrow top, wide bottom, stem and leaf."""
    right = [(0.50, 0.17), (0.61, 0.20), (0.66, 0.34), (0.72, 0.48), (0.84, 0.66), (0.80, 0.86), (0.64, 0.96)]
    pen.blob([*right, (0.50, 0.97), *((1 - x, y) for x, y in reversed(right[1:]))], "main", "flesh")
    pen.blob([(0.72, 0.54), (0.81, 0.68), (0.78, 0.84), (0.62, 0.94), (0.52, 0.94), (0.66, 0.82), (0.71, 0.68)], "dark", "flesh")
    pen.ellipse(0.34, 0.66, 0.065, 0.12, "light", "glint", 15)
    pen.stroke([(0.50, 0.21), (0.50, 0.12), (0.45, 0.04)], 0.06, "wood", "stem")
    _leaf(pen, 0.51, 0.15, 0.80, 0.10, 0.30)


def watermelon(pen: Pen) -> None:
    """A slice of watermelon: half a disc with rind and seeds."""
    pen.polygon(arc(0.5, 0.24, 0.47, 0.60, 0, 180), "leaf", "rind")
    pen.polygon(arc(0.5, 0.24, 0.42, 0.54, 0, 180), "cream", "rind")
    pen.polygon(arc(0.5, 0.24, 0.39, 0.50, 0, 180), "main", "flesh")
    for x, y, a in ((0.23, 0.34, 25), (0.41, 0.38, 10), (0.59, 0.38, -10), (0.77, 0.34, -25), (0.35, 0.54, 12), (0.65, 0.54, -12)):
        if pen.mode == "fill":
            pen.ellipse(x - 0.01, y - 0.012, 0.038, 0.060, "light", "seed", a)
        pen.ellipse(x, y, 0.030, 0.052, "ink", "seed", a)


# -- vegetables ---------------------------------------------------------------------------------
def carrot(pen: Pen) -> None:
    """A carrot lying on the diagonal with a tuft of leaves."""
    for x, y in ((0.62, 0.04), (0.94, 0.38), (0.89, 0.11)):
        _leaf(pen, 0.60, 0.40, x, y, 0.24)
    pen.blob(
        [(0.50, 0.29), (0.64, 0.31), (0.71, 0.42), (0.68, 0.52), (0.44, 0.77), (0.06, 0.95), (0.24, 0.58), (0.42, 0.34)], "main", "root"
    )
    pen.polygon([(0.70, 0.45), (0.68, 0.52), (0.44, 0.765), (0.08, 0.94), (0.40, 0.69)], "dark", "root")
    for x0, y0, x1, y1 in ((0.42, 0.38, 0.52, 0.47), (0.31, 0.52, 0.40, 0.60), (0.21, 0.67, 0.28, 0.74)):
        if pen.mode == "fill":
            pen.stroke([(x0 + 0.02, y0 - 0.03), (x1 + 0.02, y1 - 0.03)], 0.03, "light", "groove")
        pen.stroke([(x0, y0), (x1, y1)], 0.035, "ink", "groove")


def mushroom(pen: Pen) -> None:
    """A toadstool: wide domed cap with white spots on a thick stalk."""
    pen.blob([(0.38, 0.52), (0.62, 0.52), (0.63, 0.72), (0.70, 0.90), (0.50, 0.96), (0.30, 0.90), (0.37, 0.72)], "cream", "stalk")
    pen.ellipse(0.5, 0.58, 0.30, 0.07, "grey", "gills")
    pen.blob(
        [
            (0.04, 0.54),
            (0.10, 0.28),
            (0.28, 0.09),
            (0.50, 0.04),
            (0.72, 0.09),
            (0.90, 0.28),
            (0.96, 0.54),
            (0.78, 0.62),
            (0.50, 0.57),
            (0.22, 0.62),
        ],
        "main",
        "cap",
    )
    for x, y, r in ((0.46, 0.24, 0.10), (0.76, 0.36, 0.075), (0.21, 0.42, 0.07)):
        if pen.mode == "fill":
            pen.ellipse(x + 0.012, y + 0.02, r, r * 0.9, "dark", "spot")
        pen.ellipse(x, y, r, r * 0.9, "white", "spot")


def corn(pen: Pen) -> None:
    """A cob of corn with rows of kernels between two green husks."""
    pen.blob(
        [(0.50, 0.03), (0.66, 0.14), (0.73, 0.42), (0.68, 0.80), (0.50, 0.94), (0.32, 0.80), (0.27, 0.42), (0.34, 0.14)], "main", "kernels"
    )
    for k in range(5):
        y = 0.16 + 0.135 * k
        pen.stroke([(0.31 + 0.02 * (k == 0), y), (0.50, y + 0.035), (0.69 - 0.02 * (k == 0), y)], 0.022, "dark", "kernels")
    for x in (0.42, 0.58):
        pen.stroke([(x, 0.08), (x, 0.86)], 0.022, "dark", "kernels")
    for s in (-1, 1):
        husk = [(0.0, 0.96), (0.20, 0.92), (0.32, 0.70), (0.36, 0.40), (0.26, 0.52), (0.15, 0.68), (0.04, 0.80)]
        pen.blob([(0.5 + s * x, y) for x, y in husk], "leaf", "husk")


def pumpkin(pen: Pen) -> None:
    """A wide ribbed pumpkin with a crooked stem."""
    pen.stroke([(0.50, 0.32), (0.50, 0.18), (0.60, 0.10)], 0.11, "leaf", "stem")
    for x, rx, tone in ((0.22, 0.18, "dark"), (0.78, 0.18, "dark"), (0.34, 0.19, "main"), (0.66, 0.19, "main")):
        pen.ellipse(x, 0.60, rx, 0.30 + 0.03 * (tone == "main"), tone, "rib")
    if pen.mode == "fill":
        pen.ellipse(0.5, 0.61, 0.175, 0.34, "dark", "rib")
    pen.ellipse(0.5, 0.61, 0.145, 0.335, "main", "rib")
    pen.ellipse(0.46, 0.46, 0.04, 0.09, "light", "glint")
    pen.ellipse(0.27, 0.50, 0.04, 0.09, "light", "glint", 12)


def eggplant(pen: Pen) -> None:
    """An aubergine on the diagonal with a green cap."""
    pen.blob(
        [
            (0.66, 0.16),
            (0.82, 0.34),
            (0.74, 0.56),
            (0.62, 0.80),
            (0.40, 0.95),
            (0.16, 0.90),
            (0.06, 0.70),
            (0.14, 0.48),
            (0.36, 0.36),
            (0.50, 0.22),
        ],
        "main",
        "flesh",
    )
    pen.blob([(0.78, 0.42), (0.74, 0.56), (0.62, 0.79), (0.40, 0.94), (0.20, 0.91), (0.46, 0.80), (0.62, 0.62)], "dark", "flesh")
    pen.stroke([(0.24, 0.72), (0.25, 0.60), (0.36, 0.50)], 0.075, "light", "glint")
    pen.polygon(
        [(0.68, 0.08), (0.92, 0.30), (0.90, 0.50), (0.76, 0.42), (0.68, 0.48), (0.62, 0.34), (0.48, 0.34), (0.54, 0.20), (0.48, 0.10)],
        "leaf",
        "cap",
    )
    pen.stroke([(0.78, 0.22), (0.84, 0.12), (0.94, 0.08)], 0.09, "leaf", "stem")


def broccoli(pen: Pen) -> None:
    """A broccoli head: bumpy florets on a pale forked stalk."""
    pen.polygon([(0.36, 0.96), (0.64, 0.96), (0.66, 0.72), (0.88, 0.52), (0.12, 0.52), (0.34, 0.72)], "light", "stalk")
    pen.polygon([(0.52, 0.96), (0.64, 0.96), (0.66, 0.72), (0.84, 0.54), (0.62, 0.58), (0.54, 0.70)], "dark", "stalk")
    for x, y, r in (
        *((0.32, 0.22, 0.16), (0.68, 0.22, 0.16), (0.50, 0.20, 0.17)),
        *((0.18, 0.42, 0.15), (0.82, 0.42, 0.15), (0.38, 0.42, 0.16), (0.62, 0.42, 0.16), (0.50, 0.53, 0.13)),
    ):
        _ball(pen, x, y, r, "floret")
        if pen.mode == "fill":
            pen.ellipse(x - 0.3 * r, y - 0.35 * r, r * 0.26, r * 0.22, "light", "bud")


DRAWINGS: dict[str, Callable[[Pen], None]] = {
    f.__name__: f
    for f in (
        *(cat, dog, bird, fish, turtle, butterfly),
        *(apple, banana, cherry, grapes, pear, watermelon),
        *(carrot, mushroom, corn, pumpkin, eggplant, broccoli),
    )
}
