"""Drawings of household objects, shapes, plants and symbols.

One function per category, drawn with a `Pen` from back to front in the unit square (y down). Most of
every drawing is the object's own colour (tones `main`, `dark`, `light`); inner edges come in pairs of
a darker and a lighter tone, so that they survive both on a white and on a black object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from clipkit.world.rasterizer import Pen, Point, catmull_rom


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int = 24) -> list[Point]:
    """Points along an ellipse from `start` to `stop`, degrees clockwise from +x."""
    turn = [math.radians(start + (stop - start) * k / steps) for k in range(steps + 1)]
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in turn]


def _regular(n: int, radius: float, start: float, cx: float = 0.5, cy: float = 0.5) -> list[Point]:
    """The `n` corners of a regular polygon, the first one at `start` degrees."""
    return [
        (cx + radius * math.cos(math.radians(start + 360 * k / n)), cy + radius * math.sin(math.radians(start + 360 * k / n)))
        for k in range(n)
    ]


def _cloud(centre: Point, discs: Sequence[tuple[float, float, float]], steps: int = 90) -> list[Point]:
    """Outline of the union of discs (x, y, radius), seen from a `centre` that lies inside the union."""
    out: list[Point] = []
    for k in range(steps):
        ux, uy = math.cos(2 * math.pi * k / steps), math.sin(2 * math.pi * k / steps)
        reach = 0.0
        for x, y, r in discs:
            along, across = (x - centre[0]) * ux + (y - centre[1]) * uy, (x - centre[0]) * uy - (y - centre[1]) * ux
            if abs(across) < r:
                reach = max(reach, along + math.sqrt(r * r - across * across))
        out.append((centre[0] + reach * ux, centre[1] + reach * uy))
    return out


def _tube(pen: Pen, points: Sequence[Point], width: float, tone: str = "main", part: str = "body") -> None:
    """A thick bent bar; a sketch shows its two edges, not a solid bar."""
    pen.stroke(points, width, tone, part, smooth=False)
    if pen.mode == "line":
        pen.stroke(points, max(width - 2 * pen.outline, 0.01), "white", part, smooth=False)


def _mirror(half: Sequence[Point]) -> list[Point]:
    """A smooth symmetric outline from its right half; the ends lie on the axis and stay sharp."""
    right = catmull_rom(half, closed=False)
    return [*right, *((1 - x, y) for x, y in reversed(right[1:-1]))]


# -- household objects --------------------------------------------------------------------------
def cup(pen: Pen) -> None:
    """A mug of coffee with a big round handle."""
    _tube(pen, _arc(0.71, 0.52, 0.19, 0.19, -100, 100), 0.12, "main", "handle")
    pen.polygon(
        [(0.05, 0.18), (0.73, 0.18), *_arc(0.55, 0.80, 0.14, 0.16, 0, 90, 8), *_arc(0.23, 0.80, 0.14, 0.16, 90, 180, 8)], "main", "body"
    )
    pen.stroke([(0.16, 0.42), (0.18, 0.76)], 0.06, "light", "glint")
    pen.ellipse(0.39, 0.18, 0.34, 0.13, "light", "rim")
    pen.ellipse(0.39, 0.19, 0.265, 0.085, "wood", "coffee")


def lamp(pen: Pen) -> None:
    """A table lamp: a wide shade on a turned foot."""
    pen.rect(0.44, 0.50, 0.56, 0.86, "gold", "stem")
    pen.ellipse(0.50, 0.58, 0.13, 0.08, "flame", "bulb")
    pen.polygon([(0.22, 0.95), *_arc(0.50, 0.95, 0.28, 0.15, 180, 360, 16)], "main", "base")
    pen.polygon([(0.31, 0.05), (0.69, 0.05), (0.94, 0.56), (0.06, 0.56)], "main", "shade")
    pen.polygon([(0.37, 0.05), (0.50, 0.05), (0.42, 0.56), (0.20, 0.56)], "light", "shade")
    pen.polygon([(0.095, 0.49), (0.905, 0.49), (0.94, 0.56), (0.06, 0.56)], "dark", "trim")


def chair(pen: Pen) -> None:
    """A chair seen from the front left: back rest, seat, four legs."""
    pen.rect(0.37, 0.58, 0.47, 0.84, "dark", "leg")
    pen.rect(0.84, 0.58, 0.94, 0.84, "dark", "leg")
    pen.rect(0.33, 0.04, 0.45, 0.56, "main", "back")
    pen.rect(0.82, 0.04, 0.94, 0.56, "main", "back")
    pen.rect(0.33, 0.04, 0.94, 0.22, "main", "back", radius=0.05)
    pen.rect(0.40, 0.29, 0.88, 0.39, "main", "back")
    pen.polygon([(0.33, 0.47), (0.94, 0.47), (0.72, 0.62), (0.06, 0.62)], "light", "seat")
    pen.rect(0.06, 0.60, 0.72, 0.71, "main", "seat")
    pen.polygon([(0.72, 0.60), (0.94, 0.46), (0.94, 0.57), (0.72, 0.71)], "dark", "seat")
    pen.rect(0.06, 0.70, 0.18, 0.96, "main", "leg")
    pen.rect(0.60, 0.70, 0.72, 0.96, "main", "leg")


def clock(pen: Pen) -> None:
    """An alarm clock with two bells and two feet."""
    pen.stroke([(0.26, 0.82), (0.18, 0.92)], 0.12, "dark", "foot")
    pen.stroke([(0.74, 0.82), (0.82, 0.92)], 0.12, "dark", "foot")
    for x, turn in ((0.22, -40), (0.78, 40)):
        pen.ellipse(x, 0.20, 0.20, 0.15, "main", "bell", angle=turn)
    pen.rect(0.44, 0.05, 0.56, 0.20, "dark", "hammer", radius=0.04)
    pen.ellipse(0.50, 0.54, 0.42, tone="ink", part="case")
    pen.ellipse(0.50, 0.54, 0.405, tone="main", part="case")
    pen.ellipse(0.50, 0.54, 0.285, tone="ink", part="face")
    pen.ellipse(0.50, 0.54, 0.255, tone="white", part="face")
    pen.stroke([(0.50, 0.37), (0.50, 0.55), (0.63, 0.62)], 0.07, "ink", "hand", smooth=False)


def key(pen: Pen) -> None:
    """A key: round bow with a hole, shaft, two teeth."""
    _tube(pen, [(0.45, 0.45), (0.87, 0.87)], 0.14, "main", "shaft")
    _tube(pen, [(0.63, 0.63), (0.76, 0.50)], 0.13, "main", "tooth")
    _tube(pen, [(0.83, 0.83), (0.93, 0.73)], 0.13, "main", "tooth")
    _tube(pen, _arc(0.29, 0.29, 0.19, 0.19, 0, 360, 48), 0.16, "main", "bow")
    pen.stroke(_arc(0.29, 0.29, 0.205, 0.205, 160, 290), 0.04, "light", "glint", smooth=False)


def umbrella(pen: Pen) -> None:
    """An open umbrella with a hooked handle."""
    pen.stroke([(0.50, 0.03), (0.50, 0.12)], 0.06, "wood", "tip")
    pen.stroke([(0.50, 0.40), (0.50, 0.82), *_arc(0.62, 0.82, 0.12, 0.11, 180, 0, 10)], 0.085, "wood", "handle", smooth=False)
    rim = [p for k in range(4) for p in _arc(0.845 - 0.23 * k, 0.55, 0.115, 0.075, 0, -180, 8)]
    pen.polygon([*_arc(0.50, 0.55, 0.46, 0.46, 180, 360, 32), *rim], "main", "canopy")
    seams = [_arc(0.50, 0.55, 0.46 * w, 0.45, -90, 0, 12) for w in (-0.5, 0.0, 0.5)]
    pen.polygon([*seams[0], *_arc(0.385, 0.55, 0.115, 0.075, 180, 360, 8), *reversed(seams[1])], "light", "canopy")
    pen.polygon([*seams[2], *_arc(0.845, 0.55, 0.115, 0.075, 180, 360, 8), *_arc(0.50, 0.55, 0.46, 0.46, 0, -90, 16)], "dark", "canopy")
    for seam in seams:
        pen.stroke(seam, 0.02, "ink", "rib", smooth=False)


# -- shapes -------------------------------------------------------------------------------------
def circle(pen: Pen) -> None:
    """A disc."""
    pen.ellipse(0.5, 0.5, 0.46)


def square(pen: Pen) -> None:
    """A square."""
    pen.rect(0.08, 0.08, 0.92, 0.92)


def triangle(pen: Pen) -> None:
    """An equilateral triangle on its base."""
    pen.polygon([(0.50, 0.07), (0.95, 0.85), (0.05, 0.85)])


def hexagon(pen: Pen) -> None:
    """A regular hexagon standing on a side."""
    pen.polygon(_regular(6, 0.48, 0))


def ring(pen: Pen) -> None:
    """A ring with a true hole."""
    _tube(pen, _arc(0.5, 0.5, 0.35, 0.35, 0, 360, 64), 0.22)


def cross(pen: Pen) -> None:
    """An upright cross with four equal arms."""
    a, b = 0.05, 0.34
    pen.polygon(
        [(b, a), (1 - b, a), (1 - b, b), (1 - a, b), (1 - a, 1 - b), (1 - b, 1 - b)]
        + [(1 - b, 1 - a), (b, 1 - a), (b, 1 - b), (a, 1 - b), (a, b), (b, b)]
    )


# -- plants -------------------------------------------------------------------------------------
def tree(pen: Pen) -> None:
    """A leafy tree: a lobed crown on a brown trunk."""
    pen.polygon([(0.43, 0.55), (0.57, 0.55), (0.60, 0.86), (0.70, 0.96), (0.30, 0.96), (0.40, 0.86)], "wood", "trunk")
    pen.polygon(_cloud((0.50, 0.42), ((0.24, 0.48, 0.20), (0.76, 0.48, 0.20), (0.50, 0.53, 0.20), (0.50, 0.27, 0.23))), "dark", "crown")
    pen.polygon(_cloud((0.50, 0.38), ((0.26, 0.39, 0.22), (0.74, 0.39, 0.22), (0.50, 0.43, 0.18), (0.50, 0.27, 0.23))), "main", "crown")
    for x, y, r in ((0.50, 0.27, 0.14), (0.26, 0.40, 0.13), (0.74, 0.40, 0.13)):
        pen.stroke(_arc(x, y, r, r, 185, 255, 8), 0.05, "light", "glint", smooth=False)


def fir(pen: Pen) -> None:
    """A fir: three tiers of branches on a short trunk."""
    pen.rect(0.41, 0.80, 0.59, 0.97, "wood", "trunk")
    for top, bottom, half in ((0.46, 0.85, 0.46), (0.24, 0.61, 0.36), (0.03, 0.37, 0.26)):
        pen.polygon([(0.5, top), (0.5 + half, bottom), (0.5 - half, bottom)], "main", "branches")
        pen.polygon([(0.5, top), (0.5 + half, bottom), (0.5 + 0.1 * half, bottom)], "dark", "branches")
        pen.stroke([(0.5 - half * 0.68, bottom - 0.05), (0.5 - half * 0.05, bottom - 0.05)], 0.045, "light", "branches")


def flower(pen: Pen) -> None:
    """A daisy: six round petals, a yellow heart, a stem with two leaves."""
    pen.stroke([(0.50, 0.45), (0.50, 0.94)], 0.08, "leaf", "stem")
    for side in (-1, 1):
        pen.blob([(0.5, 0.95), (0.5 + side * 0.15, 0.80), (0.5 + side * 0.36, 0.75), (0.5 + side * 0.27, 0.92)], "leaf", "leaf")
    centre = (0.5, 0.38)
    for k, (x, y) in enumerate(_regular(6, 0.22, 0, *centre)):
        pen.ellipse(x, y, 0.175, 0.145, "main", "petal", angle=60 * k)
    if pen.mode == "fill":  # a sketch has the petals' own outlines; more lines would only clutter it
        for inner, outer in zip(_regular(6, 0.16, 30, *centre), _regular(6, 0.23, 30, *centre), strict=True):
            pen.stroke([inner, outer], 0.03, "dark", "petal")
        for inner, outer in zip(_regular(6, 0.24, 0, *centre), _regular(6, 0.32, 0, *centre), strict=True):
            pen.stroke([inner, outer], 0.05, "light", "petal")
    pen.ellipse(*centre, 0.14, tone="ink", part="centre")
    pen.ellipse(*centre, 0.115, tone="gold", part="centre")


def cactus(pen: Pen) -> None:
    """A tall cactus with two raised arms and a small red flower."""
    _tube(pen, [(0.50, 0.70), (0.21, 0.70), *_arc(0.21, 0.61, 0.09, 0.09, 90, 180, 8), (0.12, 0.40)], 0.16, "main", "arm")
    _tube(pen, [(0.50, 0.56), (0.79, 0.56), *_arc(0.79, 0.47, 0.09, 0.09, 90, 0, 8), (0.88, 0.26)], 0.16, "main", "arm")
    pen.rect(0.35, 0.12, 0.65, 0.97, "main", "body", radius=0.14)
    pen.stroke([(0.43, 0.27), (0.43, 0.93)], 0.045, "light", "rib")
    pen.stroke([(0.57, 0.27), (0.57, 0.93)], 0.045, "dark", "rib")
    for x, y in ((0.50, 0.09), (0.42, 0.13), (0.58, 0.13)):
        pen.ellipse(x, y, 0.075, tone="red", part="flower")


def leaf(pen: Pen) -> None:
    """A pointed leaf on the slant, with veins and a stalk."""
    pen.stroke([(0.08, 0.92), (0.30, 0.70)], 0.07, "wood", "stalk")
    pen.blob(
        [(0.17, 0.83), (0.11, 0.52), (0.29, 0.24), (0.58, 0.11), (0.91, 0.09), (0.89, 0.41), (0.78, 0.70), (0.48, 0.89)], "main", "blade"
    )
    pen.polygon([(0.17, 0.83), (0.91, 0.09), (0.90, 0.38), (0.78, 0.70), (0.48, 0.885)], "dark", "blade")
    for x, y in ((0.34, 0.66), (0.51, 0.49), (0.67, 0.33)):
        pen.stroke([(x, y), (x - 0.01, y - 0.19)], 0.035, "light", "vein")
        pen.stroke([(x, y), (x + 0.19, y + 0.01)], 0.035, "light", "vein")
    pen.stroke([(0.17, 0.83), (0.82, 0.18)], 0.05, "light", "vein")


def palm(pen: Pen) -> None:
    """A palm: drooping fronds and coconuts on a bent trunk."""
    pen.polygon([(0.45, 0.35), (0.55, 0.35), (0.56, 0.60), (0.66, 0.97), (0.46, 0.97), (0.45, 0.62)], "wood", "trunk")
    fronds = (
        ("dark", [(0.00, 0.32), (0.18, 0.31), (0.34, 0.45), (0.37, 0.74), (0.24, 0.56), (0.10, 0.44)]),
        ("main", [(0.00, 0.34), (0.14, 0.15), (0.34, 0.19), (0.48, 0.47), (0.32, 0.36), (0.14, 0.36)]),
        ("main", [(0.00, 0.36), (0.01, 0.13), (0.16, 0.04), (0.38, 0.07), (0.20, 0.17), (0.08, 0.31)]),
    )
    for tone, points in fronds:
        for side in (-1, 1):
            pen.blob([(0.5 + side * x, y) for x, y in points], tone, "frond")
    for side in (-1, 1):
        pen.stroke([(0.5 + side * x, y) for x, y in ((0.14, 0.25), (0.26, 0.24), (0.37, 0.31))], 0.035, "light", "frond")
    for x in (0.43, 0.57):
        pen.ellipse(x, 0.41, 0.07, tone="wood", part="coconut")


# -- symbols ------------------------------------------------------------------------------------
def star(pen: Pen) -> None:
    """A plump five-pointed star with a glint."""
    outer, inner = _regular(5, 0.50, -90, 0.5, 0.54), _regular(5, 0.25, -54, 0.5, 0.54)
    pen.polygon([p for pair in zip(outer, inner, strict=True) for p in pair], "main", "body")
    pen.stroke([(0.46, 0.28), (0.41, 0.43), (0.26, 0.45)], 0.06, "light", "glint", smooth=False)


def heart(pen: Pen) -> None:
    """A plump heart with a glint."""
    half = [(0.5, 0.27), (0.58, 0.14), (0.73, 0.08), (0.88, 0.14), (0.96, 0.32), (0.90, 0.52), (0.72, 0.74), (0.5, 0.94)]
    pen.polygon(_mirror(half), "main", "body")
    pen.stroke([(0.17, 0.38), (0.18, 0.27), (0.26, 0.21)], 0.07, "light", "glint")


def arrow(pen: Pen) -> None:
    """A block arrow pointing right."""
    pen.rect(0.04, 0.34, 0.56, 0.66, "main", "shaft")
    pen.polygon([(0.48, 0.06), (0.97, 0.50), (0.48, 0.94)], "main", "head")


def moon(pen: Pen) -> None:
    """A crescent moon with craters."""
    pen.polygon([*_arc(0.57, 0.50, 0.46, 0.46, 58, 302, 40), *_arc(0.80, 0.50, 0.36, 0.39, 267, 93, 32)], "main", "body")
    pen.stroke(_arc(0.57, 0.50, 0.385, 0.385, 185, 240), 0.05, "light", "glint", smooth=False)
    for x, y, r in ((0.32, 0.58, 0.08), (0.49, 0.80, 0.06)):
        pen.ellipse(x, y, r, tone="dark", part="crater")


def lightning(pen: Pen) -> None:
    """A zigzag bolt with a glint along its edge."""
    pen.polygon([(0.38, 0.03), (0.84, 0.03), (0.63, 0.35), (0.90, 0.35), (0.26, 0.97), (0.40, 0.58), (0.10, 0.58)], "main", "body")
    pen.stroke([(0.43, 0.11), (0.24, 0.49)], 0.06, "light", "glint")


def note(pen: Pen) -> None:
    """Two quavers joined by a beam."""
    pen.rect(0.27, 0.16, 0.37, 0.80, "main", "stem")
    pen.rect(0.84, 0.10, 0.94, 0.72, "main", "stem")
    pen.polygon([(0.27, 0.13), (0.94, 0.04), (0.94, 0.24), (0.27, 0.33)], "main", "beam")
    for x, y in ((0.20, 0.81), (0.77, 0.73)):
        pen.ellipse(x, y, 0.17, 0.135, "main", "head", angle=-20)
        pen.stroke([(x - 0.08, y - 0.01), (x - 0.02, y - 0.05)], 0.045, "light", "glint")


DRAWINGS: dict[str, Callable[[Pen], None]] = {
    draw.__name__: draw
    for draw in (
        *(cup, lamp, chair, clock, key, umbrella),
        *(circle, square, triangle, hexagon, ring, cross),
        *(tree, fir, flower, cactus, leaf, palm),
        *(star, heart, arrow, moon, lightning, note),
    )
}
