"""Clips: objects that move, grow, shrink, spin, appear or vanish; cuts between scenes; a tone for what can be seen.

A clip is a `Scenes` with one entry a frame, so everything that works on scenes works on frames: `render`, masks,
captions, `replace`. What happens is told by `events`, where a scene gives way to another by `cuts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from clipkit.errors import ClipkitError, unknown
from clipkit.world.rendering import Rendered, render
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Scenes
from clipkit.world.spec import Spec, WorldSpec
from clipkit.world.taxonomy import CATEGORIES

MOTIONS: tuple[str, ...] = ("still", "move", "grow", "shrink", "spin", "appear", "vanish")
DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SPIN_STEP = 30  # degrees a turn; few angles keep the number of drawings small
ROUND = frozenset({"circle", "ring"})  # whose turning cannot be seen
GRID = 4096  # places and sizes are rounded to this, so that no frame depends on the machine's last bit
SAMPLE_RATE = 8000
LOWEST_NOTE = 110.0  # hertz, of the first category; each further one is a semitone higher


@dataclass(frozen=True)
class VideoSpec(Spec):
    """A distribution of clips.

    Args:
        world: what the scenes are drawn from. frames: length of a clip. fps: frames a second (for the sound).
        shots: least and most scenes a clip, with a cut between any two. motions: what an object may do, one for each
            object and shot, all equally likely (a circle or ring that would spin is still instead).

    Raises: ClipkitError for unknown motions, or shots of fewer than 4 frames.
    """

    world: WorldSpec = field(default_factory=lambda: WorldSpec(min_objects=1, max_objects=2))
    frames: int = 16
    fps: int = 8
    shots: tuple[int, int] = (1, 2)
    motions: tuple[str, ...] = MOTIONS

    def __post_init__(self) -> None:
        if isinstance(self.world, dict):  # from JSON
            object.__setattr__(self, "world", WorldSpec.from_dict(self.world))
        object.__setattr__(self, "shots", tuple(self.shots))
        object.__setattr__(self, "motions", tuple(self.motions))
        for motion in self.motions:
            if motion not in MOTIONS:
                raise unknown("motion", motion, MOTIONS)
        if not self.motions:
            raise ClipkitError(f"a VideoSpec needs at least one motion: {', '.join(MOTIONS)}")
        if len(self.shots) != 2 or not 1 <= self.shots[0] <= self.shots[1]:
            raise ClipkitError(f"shots is (least, most) scenes a clip, at least 1; got {self.shots}")
        if self.frames < 4 * self.shots[1]:
            raise ClipkitError(f"a shot needs 4 frames: {self.shots[1]} shots do not fit in {self.frames} frames")
        if not 1 <= self.fps <= 100:
            raise ClipkitError(f"fps goes from 1 to 100, got {self.fps}")


class Event(NamedTuple):
    """One object's motion in one shot: frames `start` to `stop` (exclusive); `direction` for "move", else empty.

    "appear" and "vanish" name the one frame at which it happens. `slot` counts the columns of `Scenes`: before an
    object appears, `scene.objects` of that frame is shorter.
    """

    motion: str
    slot: int
    start: int
    stop: int
    direction: str = ""


@dataclass
class Clip:
    """T frames: `scenes` has one entry a frame; `cuts` are the first frames of the second and later shots."""

    scenes: Scenes
    cuts: tuple[int, ...]
    events: list[Event]
    fps: int
    size: int = 32

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def shot(self) -> np.ndarray:
        """Number of the shot of each frame, (T,) int64."""
        return np.searchsorted(np.array(self.cuts, dtype=np.int64), np.arange(len(self)), side="right")

    def render(self, size: int | None = None, masks: bool = False) -> Rendered:
        """The frames as pictures; `size` defaults to the world's."""
        return render(self.scenes, size or self.size, masks=masks)

    def tones(self) -> np.ndarray:
        """The sound track, see `tone_track`."""
        return tone_track(self.scenes, self.fps)


def sample_clips(spec: VideoSpec, n: int, seed: int, start: int = 0) -> list[Clip]:
    """Clips number `start` to `start + n` of the sequence that (spec, seed) names; the first k of n are those of n = k."""
    if min(n, seed, start) < 0:
        raise ClipkitError(f"n, seed and start must not be negative, got {n}, {seed}, {start}")
    most = spec.shots[1]
    scenes = sample_scenes(spec.world, n * most, seed, start * most)
    return [_clip(spec, scenes[i * most : (i + 1) * most], seed, start + i) for i in range(n)]


def tone_track(scenes: Scenes, fps: int) -> np.ndarray:
    """A waveform for frames: each category that is in the picture sounds its own note.

    Returns: (T * 8000 // fps,) float32 in -1..1, at 8 kHz. The note of category c is 110 Hz * 2 ** (c / 12). Sines come
    from an integer table and are added as integers, so the bytes are the same everywhere.
    """
    total = len(scenes) * SAMPLE_RATE // fps
    frame = np.minimum(np.arange(total) * fps // SAMPLE_RATE, len(scenes) - 1)
    wave = np.zeros(total, np.int64)
    for category in np.unique(scenes.category[scenes.category >= 0]).tolist():
        heard = (scenes.category == category).any(axis=1)[frame]
        phase = np.arange(total, dtype=np.int64) * tone_step(category) % 65536
        wave += _SINE[phase // 16] * heard
    return (wave / (32768 * scenes.category.shape[1])).astype(np.float32) if total else np.zeros(0, np.float32)


def tone_step(category: int | str) -> int:
    """Advance of a category's phase at each sample, in 65536ths of a turn; hertz = step * 8000 / 65536."""
    index = CATEGORIES.index(category) if isinstance(category, str) else category
    return round(LOWEST_NOTE * 2 ** (index / 12) * 65536 / SAMPLE_RATE)


_SINE = np.round(32767 * np.sin(2 * np.pi * np.arange(4096) / 4096)).astype(np.int64)


# -- inside -------------------------------------------------------------------------------------
def _clip(spec: VideoSpec, scenes: Scenes, seed: int, number: int) -> Clip:
    words = [seed, int.from_bytes(b"video", "big"), number]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
    least, most = spec.shots
    shots = least + int(rng.random() * (most - least + 1))
    # Each shot has 4 frames; the rest is dealt out one by one.
    lengths = 4 + np.bincount((rng.random(spec.frames - 4 * shots) * shots).astype(np.int64), minlength=shots)
    edges = [0, *np.cumsum(lengths).tolist()]
    frames, events = [], []
    for k in range(shots):
        a, b = edges[k], edges[k + 1]
        shot, told = _shot(spec, scenes[[k] * (b - a)], rng, a)
        frames.append(shot)
        events += told
    return Clip(Scenes.concatenate(frames), tuple(edges[1:-1]), events, spec.fps, spec.world.size)


def _shot(spec: VideoSpec, frames: Scenes, rng: np.random.Generator, first: int) -> tuple[Scenes, list[Event]]:
    """Set the objects of T equal frames in motion."""
    length = len(frames)
    columns = {name: getattr(frames, name).copy() for name in ("category", "x", "y", "scale", "angle")}
    events = []
    t = np.arange(length) / (length - 1)
    for slot in np.flatnonzero(frames.category[0] >= 0).tolist():
        motion = spec.motions[int(rng.random() * len(spec.motions))]
        if motion == "spin" and CATEGORIES[frames.category[0, slot]] in ROUND:
            motion = "still"  # events tell what can be seen
        direction = ""
        draws = rng.random(3)
        scale = float(frames.scale[0, slot])
        if motion == "move":
            direction = list(DIRECTIONS)[int(draws[0] * 4)]
            for name, sign in zip(("x", "y"), DIRECTIONS[direction], strict=True):
                if sign:  # from near the one edge to near the other
                    reach = 0.5 - scale / 2
                    columns[name][:, slot] = _rounded(0.5 + sign * reach * (2 * t - 1) * (0.8 + 0.2 * draws[1]))
        elif motion in ("grow", "shrink"):
            small, large = max(0.22, 0.6 * scale), min(0.85, 1.5 * scale)
            path = small + (large - small) * (t if motion == "grow" else 1 - t)
            columns["scale"][:, slot] = _rounded(path)
            for name in ("x", "y"):  # keep it inside the canvas
                columns[name][:, slot] = _rounded(np.clip(columns[name][:, slot], path / 2, 1 - path / 2))
        elif motion == "spin":
            sense = 1 if draws[0] < 0.5 else -1
            columns["angle"][:, slot] = (sense * SPIN_STEP * np.arange(length)) % 360
        start, stop = first, first + length
        if motion in ("appear", "vanish"):
            turn = 1 + int((0.25 + 0.5 * draws[0]) * (length - 1))
            seen = np.arange(length) >= turn if motion == "appear" else np.arange(length) < turn
            columns["category"][~seen, slot] = -1
            start, stop = first + turn, first + turn + 1
        events.append(Event(motion, slot, start, stop, direction))
    return frames.replace(**columns), events


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.round(values * GRID) / GRID
