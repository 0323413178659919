"""Eight places, sixteen variants of each, with a label for every pixel of sky, grass, water …"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from clipkit.world.taxonomy import BACKGROUNDS, STUFF

VARIANTS = 16
MASTER = 256


class _Canvas:
    """Draws colour and stuff label together; coordinates in shares of the side, y down."""

    def __init__(self, colour: tuple[int, int, int], stuff: str):
        self.image = Image.new("RGB", (MASTER, MASTER), colour)
        self.labels = Image.new("L", (MASTER, MASTER), STUFF.index(stuff))
        self._draws = ImageDraw.Draw(self.image), ImageDraw.Draw(self.labels)

    def polygon(self, points, colour, stuff: str | None = None) -> None:
        scaled = [(x * MASTER, y * MASTER) for x, y in points]
        self._draws[0].polygon(scaled, fill=colour)
        if stuff:
            self._draws[1].polygon(scaled, fill=STUFF.index(stuff))

    def rect(self, x0, y0, x1, y1, colour, stuff: str | None = None) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, stuff)

    def disc(self, x, y, rx, ry, colour, stuff: str | None = None) -> None:
        turn = np.arange(40) * (2 * np.pi / 40)
        self.polygon([(x + rx * np.cos(t), y + ry * np.sin(t)) for t in turn], colour, stuff)

    def waves(self, base, height, count, phase, colour, stuff: str | None = None) -> None:
        """Everything below a wavy line."""
        xs = np.linspace(0, 1, 49)
        line = [(x, base + height * np.sin(2 * np.pi * (count * x + phase))) for x in xs]
        self.polygon([*line, (1, 1), (0, 1)], colour, stuff)

    def cloud(self, x, y, s, colour=(255, 255, 255)) -> None:
        for dx, dy, r in ((-0.6, 0.1, 0.45), (0, -0.1, 0.62), (0.6, 0.1, 0.45)):
            self.disc(x + dx * s, y + dy * s, r * s, r * s * 0.62, colour)


def _meadow(c: _Canvas, u) -> None:
    c.cloud(u[1], 0.12 + 0.1 * u[2], 0.10)
    if u[3] < 0.5:
        c.cloud(u[4], 0.10 + 0.12 * u[5], 0.08)
    c.waves(0.42 + 0.12 * u[0], 0.04, 0.8, u[6], (150, 205, 105), "hill")
    c.waves(0.55 + 0.08 * u[0], 0.02, 1.1, u[7], (118, 185, 80), "grass")
    for k in range(7):
        c.disc(u[8 + k], 0.68 + 0.27 * u[15 + k], 0.012, 0.012, ((255, 240, 120), (255, 255, 255))[k % 2])


def _beach(c: _Canvas, u) -> None:
    horizon = 0.30 + 0.1 * u[0]
    c.disc(0.15 + 0.7 * u[1], 0.13, 0.08, 0.08, (255, 240, 170))
    c.rect(0, horizon, 1, 1, (70, 165, 205), "water")
    c.waves(0.52 + 0.08 * u[2], 0.025, 1.2, u[3], (225, 245, 245), "water")
    c.waves(0.56 + 0.08 * u[2], 0.025, 1.2, u[3], (240, 214, 160), "sand")


def _sea(c: _Canvas, u) -> None:
    horizon = 0.14 + 0.08 * u[0]
    c.rect(0, horizon, 1, 1, (40, 118, 180), "water")
    c.rect(0, horizon + 0.35, 1, 1, (30, 100, 162), "water")
    for k in range(9):
        x, y = u[1 + k], horizon + 0.08 + (0.8 - horizon) * u[10 + k]
        c.polygon([(x - 0.09, y), (x, y - 0.022), (x + 0.09, y), (x, y + 0.006)], (120, 190, 225))


def _snow(c: _Canvas, u) -> None:
    for k in range(2):
        x, s = 0.2 + 0.55 * k + 0.15 * u[k], 0.16 + 0.1 * u[2 + k]
        c.polygon([(x - 1.3 * s, 0.48), (x, 0.46 - 1.5 * s), (x + 1.3 * s, 0.48)], (150, 170, 200), "hill")
        c.polygon([(x - 0.43 * s, 0.46 - s), (x, 0.46 - 1.5 * s), (x + 0.43 * s, 0.46 - s)], (250, 252, 255), "hill")
    c.waves(0.46 + 0.05 * u[4], 0.03, 0.7, u[5], (236, 243, 252), "snowfield")
    c.waves(0.70 + 0.08 * u[6], 0.03, 0.6, u[7], (220, 231, 246), "snowfield")
    for k in range(8):
        c.disc(u[8 + k], 0.4 * u[16 + k], 0.013, 0.013, (255, 255, 255))


def _desert(c: _Canvas, u) -> None:
    c.disc(0.15 + 0.7 * u[1], 0.17, 0.10, 0.10, (255, 248, 205))
    c.waves(0.45 + 0.1 * u[0], 0.06, 0.7, u[2], (226, 164, 92), "dune")
    c.waves(0.64 + 0.08 * u[3], 0.05, 0.6, u[4], (208, 138, 70), "dune")


def _night(c: _Canvas, u) -> None:
    for k in range(22):
        r = 0.006 + 0.008 * u[k]
        c.disc(u[(k * 7 + 3) % 24], 0.92 * u[(k * 5 + 11) % 24] * u[(k + 9) % 24] ** 0.3, r, r, (250, 245, 200))
    c.waves(0.86 + 0.05 * u[0], 0.04, 0.8, u[1], (14, 18, 44), "hill")


def _city(c: _Canvas, u) -> None:
    x, k = -0.05, 0
    while x < 1.0:
        width, top = 0.15 + 0.1 * u[k % 24], 0.14 + 0.34 * u[(k + 7) % 24]
        shade = ((126, 128, 146), (148, 140, 150), (108, 116, 136))[k % 3]
        c.rect(x, top, x + width, 0.8, shade, "building")
        for wx in np.arange(x + 0.03, x + width - 0.03, 0.055):
            for wy in np.arange(top + 0.05, 0.72, 0.09):
                c.rect(wx, wy, wx + 0.028, wy + 0.045, (250, 226, 140))
        x, k = x + width, k + 1
    c.rect(0, 0.78, 1, 1, (92, 94, 102), "road")
    for k in range(4):
        c.rect(0.04 + 0.27 * k, 0.885, 0.18 + 0.27 * k, 0.915, (235, 235, 225), "road")


def _room(c: _Canvas, u) -> None:
    floor = 0.66 + 0.06 * u[0]
    for k in range(5):
        c.rect(0.04 + 0.2 * k, 0, 0.10 + 0.2 * k, floor, (242, 214, 196), "wall")
    left = 0.08 if u[1] < 0.5 else 0.58
    c.rect(left, 0.10, left + 0.34, 0.44, (255, 255, 255), "wall")
    c.rect(left + 0.03, 0.13, left + 0.31, 0.41, (170, 215, 240), "wall")
    c.rect(left + 0.155, 0.13, left + 0.185, 0.41, (255, 255, 255), "wall")
    c.rect(0, floor, 1, 1, (176, 122, 80), "floor")
    c.rect(0, floor, 1, floor + 0.025, (235, 230, 222), "wall")
    for k in range(1, 4):
        c.rect(0, floor + 0.085 * k, 1, floor + 0.085 * k + 0.01, (148, 98, 62), "floor")


_PLACES = {
    "meadow": (_meadow, (158, 212, 245), "sky"),
    "beach": (_beach, (150, 214, 250), "sky"),
    "sea": (_sea, (196, 228, 246), "sky"),
    "snow": (_snow, (196, 216, 236), "sky"),
    "desert": (_desert, (250, 214, 150), "sky"),
    "night": (_night, (26, 32, 74), "night sky"),
    "city": (_city, (190, 200, 214), "sky"),
    "room": (_room, (234, 200, 182), "wall"),
}


@lru_cache(maxsize=512)
def background(index: int, variant: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8 (size, size, 3), stuff uint8 (size, size)) of one place; both read-only."""
    name = BACKGROUNDS[index]
    place, colour, stuff = _PLACES[name]
    u = np.random.Generator(np.random.PCG64([77, index, variant])).random(24)
    tint = (np.random.Generator(np.random.PCG64([78, index, variant])).random(3) * 17 - 8).astype(int)
    canvas = _Canvas(tuple(int(v) for v in np.clip(np.array(colour) + tint, 0, 255)), stuff)
    place(canvas, u)
    image = np.array(canvas.image.resize((size, size), Image.Resampling.BOX))
    labels = np.array(canvas.labels.resize((size, size), Image.Resampling.NEAREST))
    image.flags.writeable = labels.flags.writeable = False
    return image, labels
