"""A first lesson for an image tower: name the categories, colours and background of a scene, easy scenes first.

InfoNCE alone is slow to find shapes in a small batch: colour and background already tell most pairs apart, and little of
the loss asks for the category. Three plain classifiers ask for it directly. Large models start from such towers too
(supervised image towers, as in LiT, arXiv:2111.07991); the card of a checkpoint says when it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.world import WorldSpec, classnames, render, sample_scenes

FACTORS = ("category", "colour", "background")


class FactorClassifier(nn.Module):
    """`tower` (pixels to (B, width), shared with the model it warms up) and one linear classifier a factor, by default all FACTORS."""

    def __init__(self, tower: nn.Module, width: int, classes: dict[str, int] | None = None):
        super().__init__()
        self.tower = tower
        classes = classes or {factor: len(classnames(factor)) for factor in FACTORS}
        self.heads = nn.ModuleDict({factor: nn.Linear(width, n) for factor, n in classes.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features = self.tower(pixels)
        return {factor: head(features).float() for factor, head in self.heads.items()}


def factor_loss(module: FactorClassifier, batch: tuple[Tensor, dict[str, Tensor]]) -> Tensor:
    """Sum of the factors' cross-entropies on (pixels (B, 3, S, S), {factor: shares (B, C), rows sum to 1}), for `train`."""
    pixels, shares = batch
    return sum(F.cross_entropy(scores, shares[factor]) for factor, scores in module(pixels).items())


def spec_at(stages: Sequence[tuple[object, float]], done: int, steps: int):
    """The WorldSpec to learn from after `done` of `steps`. stages: (WorldSpec, share of the steps), one after the other.

    The last goes on for ever.
    """
    ends = np.cumsum([share for _, share in stages[:-1]]) * steps
    return stages[int(np.searchsorted(ends, done, side="right"))][0]


def factor_shares(scenes, factor: str) -> np.ndarray:
    """(N, C) float32: how the objects of each scene share out over the classes of `factor`; rows sum to 1.

    Two red cats and a blue car: category 2/3 cat, 1/3 car; colour 2/3 red, 1/3 blue. A background is the scene's own.
    Raises: ClipkitError for a scene without objects.
    """
    values = np.asarray(getattr(scenes, factor))
    one_hot = np.eye(len(classnames(factor)), dtype=np.float32)
    if values.ndim == 1:
        return one_hot[values]
    present = np.asarray(scenes.category) >= 0
    objects = present.sum(1)
    if not objects.all():
        raise ClipkitError("a scene without objects has no category to learn; set min_objects to 1 at least")
    return (one_hot[np.where(present, values, 0)] * present[..., None]).sum(1) / objects[:, None].astype(np.float32)


def labelled_batches(
    model, stages: Sequence[tuple[WorldSpec, float]], steps: int, batch: int, seed: int, chunk: int = 2048
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """For ever: pixels of scenes and the shares of their factors. `stages` as in `spec_at`, of a lesson of `steps` batches."""
    done = 0
    for start in count(0, chunk):
        scenes = sample_scenes(spec_at(stages, done, steps), chunk, seed, start=start)
        pixels = model.preprocess_batch(render(scenes, size=model.image_size).images)
        shares = {factor: torch.as_tensor(factor_shares(scenes, factor)) for factor in FACTORS}
        for i in range(0, chunk - batch + 1, batch):
            done += 1
            yield pixels[i : i + batch], {factor: y[i : i + batch] for factor, y in shares.items()}
