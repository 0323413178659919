"""The drawings of the categories: vector shapes in `drawings.json`, one a line, from back to front, drawn with a `Pen`.

Most of every drawing is the object's own colour (tones `main`, `dark`, `light`). Details are few and large; those that carry
meaning (eyes, stems, seeds) have fixed tones, so that they survive on any colour, and inner edges come in pairs of a darker and
a lighter tone, so that they survive both on a white and on a black object.

A shape is a kind and its place, `polygon`, `blob`, `stroke`, `tube` (points) or `ellipse`, `rect` (four numbers), with what that
method of `Pen` takes. Of its own it has `only`, the one mode it belongs to, and among its points arcs of seven numbers: see `arc`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache

from clipkit.paths import PACKAGE
from clipkit.world.rasterizer import Pen, Point


@cache
def drawings() -> dict[str, dict]:
    """category -> {"is": what it shows, in a sentence, "shapes": from back to front}."""
    return json.loads((PACKAGE / "world" / "drawings.json").read_text(encoding="utf-8"))


def draw_shapes(pen: Pen, category: str) -> None:
    """All shapes of a category of CATEGORIES that belong to the pen's mode."""
    for shape in drawings()[category]["shapes"]:
        (kind, where), *options = shape.items()
        options = dict(options)
        if options.pop("only", pen.mode) != pen.mode:
            continue
        if kind in ("ellipse", "rect"):
            getattr(pen, kind)(*where, **options)
        else:
            getattr(pen, kind)(_points(where), **options)


def _points(path: Sequence[Sequence[float]]) -> list[Point]:
    return [point for part in path for point in (arc(*part) if len(part) > 2 else (part,))]


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int) -> list[Point]:
    """`steps` + 1 points along an ellipse from `start` to `stop`, degrees clockwise from +x."""
    turn = [math.radians(start + (stop - start) * k / steps) for k in range(steps + 1)]
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in turn]
