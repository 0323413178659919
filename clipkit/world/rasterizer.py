"""A pen for small vector drawings whose main colour is decided later.

Coordinates are the unit square, x to the right and y down. A drawing is a list of shapes for a `Pen`:
`polygon`, `ellipse`, `blob`, `rect`, `stroke`, `tube`, back to front. Each fill has a *tone* (how much
of the object's own colour, plus a fixed colour) and a *part* name. What comes out is linear in the
object's colour, so one rasterised sprite serves all colours:

    pixel = background * (1 - alpha) + weight * colour + fixed        (all premultiplied)

Everything is integer rasterisation by Pillow, so that the same drawing gives the same bytes
on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

INK = (46, 40, 52)
PAPER = (250, 247, 240)

# tone -> (weight of the object's colour, fixed RGB that is added)
TONES: dict[str, tuple[float, tuple[int, int, int]]] = {
    "main": (1.0, (0, 0, 0)),
    "dark": (0.68, (0, 0, 0)),
    "light": (0.60, (102, 102, 102)),
    "pale": (0.28, (184, 184, 184)),
    "ink": (0.0, INK),
    "white": (0.0, (255, 255, 255)),
    "grey": (0.0, (150, 152, 160)),
    "silver": (0.0, (205, 208, 214)),
    "wood": (0.0, (139, 94, 60)),
    "leaf": (0.0, (72, 150, 62)),
    "glass": (0.0, (190, 226, 240)),
    "gold": (0.0, (240, 196, 70)),
    "flame": (0.0, (250, 140, 40)),
    "red": (0.0, (214, 48, 49)),
    "cream": (0.0, (250, 232, 196)),
}

Point = tuple[float, float]


class Pen:
    """Rasterises one drawing.

    Args:
        size: canvas side in pixels (supersampled; `Sprite` code reduces it).
        angle: clockwise rotation of the whole drawing, degrees.
        mode: `"fill"` for flat colour with one dark contour, `"line"` for outlines on paper.
        outline: contour width as a fraction of the canvas.

    Attributes (after drawing; `size` x `size` arrays):
        weight uint8, fixed uint8 (..., 3), alpha uint8, part uint8 (0 = none; names in `parts`).
    """

    def __init__(self, size: int, angle: float = 0.0, mode: str = "fill", outline: float = 0.035):
        self.size, self.mode, self.outline = size, mode, outline
        self._cos, self._sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        # Turning must not push the unit square's corners out of the canvas; sprites are cropped to their ink later.
        self._scale = 0.94 / (abs(self._cos) + abs(self._sin))
        self.parts: list[str] = []
        self._images = [Image.new(m, (size, size), 0) for m in ("L", "RGB", "L", "L")]
        self._draws = [ImageDraw.Draw(i) for i in self._images]

    # -- shapes ---------------------------------------------------------------------------------
    def polygon(self, points: Sequence[Point], tone: str = "main", part: str = "body") -> None:
        """Fill a closed polygon."""
        self._fill([self._place(p) for p in points], tone, part)

    def ellipse(self, cx, cy, rx, ry, tone="main", part="body", angle=0.0) -> None:
        """Fill an ellipse, turned by `angle` degrees clockwise."""
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = [math.radians(7.5 * k) for k in range(49)]
        points = [(cx + rx * math.cos(t) * c - ry * math.sin(t) * s, cy + rx * math.cos(t) * s + ry * math.sin(t) * c) for t in turn]
        self.polygon(points, tone, part)

    def rect(self, x0, y0, x1, y1, tone="main", part="body", radius=0.0) -> None:
        """Fill a rectangle, with rounded corners when `radius` > 0."""
        if radius <= 0:
            return self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], tone, part)
        corners = [
            (x1 - radius, y1 - radius, 0),
            (x0 + radius, y1 - radius, 90),
            (x0 + radius, y0 + radius, 180),
            (x1 - radius, y0 + radius, 270),
        ]
        turn = [(cx, cy, math.radians(a + 15 * k)) for cx, cy, a in corners for k in range(7)]
        self.polygon([(cx + radius * math.cos(t), cy + radius * math.sin(t)) for cx, cy, t in turn], tone, part)

    def blob(self, points: Sequence[Point], tone="main", part="body") -> None:
        """Fill the smooth closed curve (Catmull-Rom) through `points`."""
        self.polygon(catmull_rom(points, closed=True), tone, part)

    def stroke(self, points: Sequence[Point], width: float, tone="main", part="body", straight=False) -> None:
        """A line of round caps through `points`, `width` as a fraction of the canvas; a smooth one if not `straight`."""
        path = list(points) if straight or len(points) < 3 else catmull_rom(points, closed=False)
        for (x0, y0), (x1, y1) in zip(path, path[1:], strict=False):
            length = math.hypot(x1 - x0, y1 - y0) or 1e-9
            nx, ny = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
            quad = [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)]
            self._fill([self._place(p) for p in quad], tone, part, line=False)
        for x, y in path:
            disc = [(x + width / 2 * math.cos(k * math.pi / 6), y + width / 2 * math.sin(k * math.pi / 6)) for k in range(12)]
            self._fill([self._place(p) for p in disc], tone, part, line=False)

    def tube(self, points: Sequence[Point], width: float, tone="main", part="body", straight=False) -> None:
        """As `stroke`, for a thick bent bar; a sketch shows its two edges, not a solid bar."""
        self.stroke(points, width, tone, part, straight)
        if self.mode == "line":
            self.stroke(points, max(width - 2 * self.outline, 0.01), "white", part, straight)

    # -- result ---------------------------------------------------------------------------------
    def finish(self, rim: tuple[int, int, int] = INK) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(weight, fixed, alpha, part) with a contour of colour `rim` round the silhouette in fill mode."""
        weight, fixed, alpha, part = self._images
        if self.mode == "fill" and self.outline > 0:
            reach = max(1, round(self.outline * self.size / 2))
            grown = alpha.filter(ImageFilter.MaxFilter(2 * reach + 1))
            ring = np.asarray(grown) > np.asarray(alpha)
            fixed_array = np.array(fixed)
            fixed_array[ring] = rim
            return np.array(weight), fixed_array, np.array(grown), np.array(part)
        return np.array(weight), np.array(fixed), np.array(alpha), np.array(part)

    # -- inside ---------------------------------------------------------------------------------
    def _place(self, point: Point) -> Point:
        x, y = point[0] - 0.5, point[1] - 0.5
        x, y = x * self._cos - y * self._sin, x * self._sin + y * self._cos
        return ((0.5 + x * self._scale) * self.size, (0.5 + y * self._scale) * self.size)

    def _fill(self, points: list[Point], tone: str, part: str, line: bool = True) -> None:
        if part not in self.parts:
            self.parts.append(part)
        weight, fixed = TONES[tone]
        if self.mode == "line":
            # Outlines in the object's own (darkened) colour, so that a sketch still tells colours.
            inside = (0.0, PAPER) if line else ((0.62, (0, 0, 0)) if weight else (0.0, fixed))
            weight, fixed = inside
        w, f, a, p = self._draws
        w.polygon(points, fill=round(255 * weight))
        f.polygon(points, fill=tuple(fixed))
        a.polygon(points, fill=255)
        p.polygon(points, fill=self.parts.index(part) + 1)
        if self.mode == "line" and line:
            width = max(1, round(self.outline * self.size))
            closed = [*points, points[0], points[1 % len(points)]]
            w.line(closed, fill=round(255 * 0.62), width=width, joint="curve")
            f.line(closed, fill=(0, 0, 0), width=width, joint="curve")
            a.line(closed, fill=255, width=width, joint="curve")


def catmull_rom(points: Sequence[Point], closed: bool, steps: int = 8) -> list[Point]:
    """Uniform Catmull-Rom spline through `points`."""
    n = len(points)
    get = (lambda i: points[i % n]) if closed else (lambda i: points[min(max(i, 0), n - 1)])
    out = []
    for i in range(n if closed else n - 1):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = (get(i + k) for k in (-1, 0, 1, 2))
        for k in range(steps):
            t = k / steps
            u = (-t + 2 * t * t - t**3, 2 - 5 * t * t + 3 * t**3, t + 4 * t * t - 3 * t**3, t**3 - t * t)
            out.append((0.5 * (u[0] * ax + u[1] * bx + u[2] * cx + u[3] * dx), 0.5 * (u[0] * ay + u[1] * by + u[2] * cy + u[3] * dy)))
    return out if closed else [*out, tuple(points[-1])]
