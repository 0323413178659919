"""An endless stream of (pixels, tokens) batches drawn from mixtures of worlds and caption registers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.world import caption_batch, render, sample_scenes

REUSE = 2


def pair_batches(
    model,
    specs: Sequence[tuple[object, float]],
    registers: Mapping[str, float],
    batch: int,
    seed: int,
    chunk: int = 4096,
    hard: float = 0.0,
    language: str = "en",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (pixels (batch, 3, S, S) float32, tokens (batch, L) int64) for ever.

    Args:
        model: a DualEncoder (for `preprocess_batch` and `tokenize`).
        specs: (WorldSpec, weight) pairs; each chunk holds every spec in proportion.
        registers: caption register -> probability. One batch keeps to one register, so that the register itself
            never tells a pair from the others, and short captions stay short.
        chunk: scenes rendered at a time; each is shown REUSE times, with a new caption each time.
        hard: share of the passes whose batches gather scenes of one background, or of one colour, in turn. Among random
            scenes these two tell nearly every pair from the others, and nothing asks for the category.

    Raises: ClipkitError for weights that are not positive.
    """
    weights = np.array([w for _, w in specs], dtype=float)
    if not len(weights) or (weights <= 0).any():
        raise ClipkitError("every world spec of the mixture needs a positive weight")
    counts = np.maximum(1, np.round(weights / weights.sum() * chunk)).astype(int)
    names, probabilities = list(registers), np.array(list(registers.values()), dtype=float)
    rng = np.random.default_rng([seed, 1])
    start = 0
    while True:
        parts = []
        for (spec, _), count in zip(specs, counts, strict=True):
            scenes = sample_scenes(spec, int(count), seed, start=start * int(count))
            parts.append((scenes, render(scenes, size=model.image_size).images))
        start += 1
        images = np.concatenate([p for _, p in parts])
        colour = np.concatenate([s.colour[:, 0] for s, _ in parts])
        background = np.concatenate([s.background for s, _ in parts])
        for turn in range(REUSE):
            captions: dict[str, list[str]] = {}
            order = rng.permutation(len(images))
            if rng.random() < hard:
                shared = (colour, background)[rng.integers(2)]
                order = order[shared[order].argsort(kind="stable")]
            starts = np.arange(0, len(order) - batch + 1, batch)
            for i in rng.permutation(starts):
                rows = order[i : i + batch]
                register = names[rng.choice(len(names), p=probabilities / probabilities.sum())]
                if register not in captions:  # a register's captions for the whole chunk, made once
                    captions[register] = [c for s, _ in parts for c in caption_batch(s, register, seed=turn, language=language)]
                texts = [captions[register][r] for r in rows]
                yield model.preprocess_batch(images[rows]), model.tokenize(texts)
