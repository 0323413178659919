"""Drawing scenes from a WorldSpec: in chunks of fixed size, each with its own stream, so that a prefix is a prefix."""

from __future__ import annotations

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, HOME, MAX_OBJECTS, SIZES, STYLES, TEXTURES, TYPICAL_COLOUR

CHUNK = 256
ANGLES = np.array([-24, -12, 0, 12, 24], np.int16)
# Longer side as a share of the canvas, by size word: alone, and in company.
ALONE, COMPANY = np.array([0.36, 0.53, 0.75]), np.array([0.30, 0.40, 0.50])
SMALLEST = 0.22
# Up to FEW objects are laid out freely: of LAYOUTS whole layouts, each object at the best of TRIES places, the least crowded.
FEW, LAYOUTS, TRIES = 4, 6, 6
# Frequency rank of each category under a Zipf law: one fixed order, mixed over the superclasses.
ZIPF_RANK = np.random.Generator(np.random.PCG64(2021)).permutation(len(CATEGORIES))
# Indices by category, (48,): its typical colour among COLOURS, its home among BACKGROUNDS.
TYPICAL_OF = np.array([tuple(COLOURS).index(TYPICAL_COLOUR[c]) for c in CATEGORIES])
HOME_OF = np.array([BACKGROUNDS.index(HOME[c]) for c in CATEGORIES])


def category_probabilities(spec: WorldSpec) -> np.ndarray:
    """(48,) probability of each category under the spec; 0 for those that do not occur."""
    present = np.array([c in spec.categories for c in CATEGORIES])
    weight = np.where(present, (1.0 + ZIPF_RANK) ** -spec.zipf, 0.0)
    return weight / weight.sum()


def sample_scenes(spec: WorldSpec, n: int, seed: int, start: int = 0) -> Scenes:
    """n scenes, numbers `start` to `start + n` of the endless sequence that (spec, seed) names.

    Raises: ClipkitError for a negative n, seed or start.
    """
    if n < 0 or seed < 0 or start < 0:
        raise ClipkitError(f"n, seed and start must not be negative, got {n}, {seed}, {start}")
    if n == 0:
        return Scenes.empty(0)
    first, last = start // CHUNK, (start + n - 1) // CHUNK
    chunks = Scenes.concatenate([_chunk(spec, seed, k) for k in range(first, last + 1)])
    return chunks[start - first * CHUNK : start - first * CHUNK + n]


def single_objects(spec: WorldSpec, n: int, seed: int, start: int = 0) -> Scenes:
    """Like `sample_scenes`, one object a scene."""
    from dataclasses import replace

    return sample_scenes(replace(spec, min_objects=1, max_objects=1, count_probs=None), n, seed, start)


def _pick(u: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Indices drawn by inverse distribution from uniforms u."""
    return np.minimum(np.searchsorted(np.cumsum(probabilities), u, side="right"), len(probabilities) - 1)


def _chunk(spec: WorldSpec, seed: int, number: int) -> Scenes:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
    n, K = CHUNK, MAX_OBJECTS
    out = Scenes.empty(n)
    span = spec.max_objects - spec.min_objects + 1
    count_probs = np.full(span, 1 / span) if spec.count_probs is None else np.array(spec.count_probs)
    count = spec.min_objects + _pick(rng.random(n), count_probs)
    category, colour = _pairs(spec, rng, (n, K))
    texture = np.where(rng.random((n, K)) < spec.textured, 1 + (rng.random((n, K)) * (len(TEXTURES) - 1)).astype(int), 0)
    same = (rng.random(n) < spec.same_category)[:, None]
    category, colour, texture = (np.where(same, a[:, :1], a) for a in (category, colour, texture))
    sizes = np.array([SIZES.index(s) for s in spec.sizes])
    size = sizes[(rng.random((n, K)) * len(sizes)).astype(int)]
    size = np.where(same, size[:, :1], size)
    # In a crowd all objects are of about one side: a size word would state what cannot be seen.
    size = np.where((count > FEW)[:, None], SIZES.index("medium"), size)
    jitter = 0.94 + 0.12 * rng.random((n, K))
    crowd = count[:, None]
    side = np.where(crowd <= 1, ALONE[size], COMPANY[size] * np.sqrt(2 / np.maximum(crowd, 2)))
    scale = np.maximum(side * jitter, SMALLEST)
    scale = np.where(crowd > FEW, np.minimum(scale, np.where(crowd > 9, 0.235, 0.29)), scale)
    x, y = _place(rng, count, scale, spec.occlusion)
    present = np.arange(K) < count[:, None]
    out.category[:] = np.where(present, category, -1)
    for name, value in (("colour", colour), ("texture", texture), ("size", size)):
        getattr(out, name)[:] = np.where(present, value, getattr(out, name))
    for name, value in (("scale", scale), ("x", x), ("y", y)):
        getattr(out, name)[:] = np.where(present, value, 0)
    turn = ANGLES[(rng.random((n, K)) * len(ANGLES)).astype(int)]
    out.angle[:] = np.where(present & spec.rotate, turn, 0)
    out.flip[:] = present & (rng.random((n, K)) < 0.5)
    out.depth[:] = np.where(present, np.arange(K), 0)
    background = (rng.random(n) * len(BACKGROUNDS)).astype(int)
    at_home = (rng.random(n) < spec.background_bias) & (count > 0)
    out.background[:] = np.where(at_home, HOME_OF[category[:, 0]], background)
    styles = np.array([STYLES.index(s) for s in spec.styles])
    style_probs = np.full(len(styles), 1 / len(styles)) if spec.style_probs is None else np.array(spec.style_probs)
    out.style[:] = styles[_pick(rng.random(n), style_probs)]
    out.seed[:] = rng.integers(0, 2**63, n, dtype=np.uint64)
    return out


def _pairs(spec: WorldSpec, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Categories and colours, never a pair that the spec forbids."""
    allowed = np.zeros((len(CATEGORIES), len(COLOURS)), bool)
    for colour, category in spec.allowed_pairs():
        allowed[CATEGORIES.index(category), tuple(COLOURS).index(colour)] = True
    typical = np.eye(len(COLOURS))[TYPICAL_OF]
    joint = spec.colour_bias * typical + (1 - spec.colour_bias) / len(COLOURS)  # (48, 10), rows sum to 1
    joint = np.where(allowed, joint, 0.0)
    # A category whose every likely colour is held out takes the others, so that its frequency stays.
    joint = np.where(joint.sum(1, keepdims=True) > 0, joint, allowed / len(COLOURS))
    rows = joint.sum(1, keepdims=True)
    joint = np.where(rows > 0, joint / np.where(rows > 0, rows, 1), 0.0)
    category_probs = category_probabilities(spec) * (rows[:, 0] > 0)
    if category_probs.sum() == 0:
        raise ClipkitError("no category of this spec has an allowed colour; change held_out, colour_bias or categories")
    joint = joint * (category_probs / category_probs.sum())[:, None]
    index = _pick(rng.random(shape).ravel(), joint.ravel()).reshape(shape)
    return index // len(COLOURS), index % len(COLOURS)


def _place(rng: np.random.Generator, count: np.ndarray, scale: np.ndarray, occlusion: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, K): up to four objects take the least overlapping of some random layouts, more take jittered cells."""
    n, K = scale.shape
    half = scale / 2
    x, y = np.full((n, K), 0.5), np.full((n, K), 0.5)
    few = np.flatnonzero((count >= 1) & (count <= FEW))
    u = rng.random((n, LAYOUTS, FEW, TRIES, 2))  # drawn for all, so that a scene's stream does not depend on its neighbours
    x[few, :FEW], y[few, :FEW] = _layouts(u[few], scale[few, :FEW], count[few])
    # Crowds: a grid of cells, each object in its own.
    columns, rows = np.where(count > 9, 4, 3), 3
    order = rng.random((n, 12))
    order[np.arange(12)[None] >= (columns * rows)[:, None]] = 2.0
    cell = order.argsort(1)[:, :K]
    column, row = cell % columns[:, None], cell // columns[:, None]
    slack_x, slack_y = np.maximum(1 / columns[:, None] - scale, 0), np.maximum(1 / rows - scale, 0)
    jitter = rng.random((n, K, 2)) - 0.5
    grid_x = (column + 0.5) / columns[:, None] + slack_x * jitter[..., 0]
    grid_y = (row + 0.5) / rows + slack_y * jitter[..., 1]
    crowd = (count > FEW)[:, None]
    x, y = np.where(crowd, grid_x, x), np.where(crowd, grid_y, y)
    cover = (rng.random(n) < occlusion) & (count >= 2)  # the second object slides over a part of the first
    shift = 0.35 * (half[:, 0] + half[:, 1])
    x[:, 1] = np.where(cover, np.clip(x[:, 0] + shift * np.sign(0.5 - x[:, 0]), half[:, 1], 1 - half[:, 1]), x[:, 1])
    y[:, 1] = np.where(cover, np.clip(y[:, 0], half[:, 1], 1 - half[:, 1]), y[:, 1])
    return x, y


def _layouts(u: np.ndarray, scale: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, FEW) of the layout with the least overlap. u (n, LAYOUTS, FEW, TRIES, 2): places tried, as shares of the room."""
    n = len(u)
    half = scale / 2
    x, y = np.zeros(u.shape[:3]), np.zeros(u.shape[:3])  # (n, LAYOUTS, FEW)
    total = np.zeros(u.shape[:2])
    for k in range(FEW):
        low, room = half[:, k, None, None], np.maximum(1 - scale[:, k], 0)[:, None, None]
        cx, cy = low + room * u[:, :, k, :, 0], low + room * u[:, :, k, :, 1]  # (n, LAYOUTS, TRIES)
        worst = np.zeros(cx.shape)
        for j in range(k):
            reach = (half[:, k] + half[:, j])[:, None, None]
            overlap = np.clip(reach - np.abs(cx - x[:, :, j, None]), 0, None) * np.clip(reach - np.abs(cy - y[:, :, j, None]), 0, None)
            worst = np.maximum(worst, overlap / np.minimum(scale[:, k], scale[:, j])[:, None, None] ** 2)
        best = worst.argmin(2)[..., None]
        x[:, :, k], y[:, :, k] = (np.take_along_axis(c, best, 2)[..., 0] for c in (cx, cy))
        total += np.where((k < count)[:, None], np.take_along_axis(worst, best, 2)[..., 0], 0)
    chosen = (np.arange(n), total.argmin(1))
    return x[chosen], y[chosen]
