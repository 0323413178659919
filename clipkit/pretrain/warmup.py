"""A first lesson for an image tower: name the category, colour and background of single objects, easy ones first.

InfoNCE alone is slow to find shapes in a small batch: colour and background already tell most pairs apart, and little of
the loss asks for the category. Three plain classifiers ask for it directly. Large models start from such towers too
(supervised image towers, as in LiT, arXiv:2111.07991); the card of a checkpoint says when it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError

FACTORS = ("category", "colour", "background")


class FactorClassifier(nn.Module):
    """`tower` (pixels to (B, width), shared with the model it warms up) and one linear classifier a factor."""

    def __init__(self, tower: nn.Module, width: int, classes: dict[str, int]):
        super().__init__()
        self.tower = tower
        self.heads = nn.ModuleDict({factor: nn.Linear(width, n) for factor, n in classes.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features = self.tower(pixels)
        return {factor: head(features).float() for factor, head in self.heads.items()}


def factor_loss(module: FactorClassifier, batch: tuple[Tensor, dict[str, Tensor]]) -> Tensor:
    """Sum of the factors' cross-entropies on (pixels (B, 3, S, S), {factor: labels (B,)}), for `train`."""
    pixels, labels = batch
    return sum(F.cross_entropy(scores, labels[factor]) for factor, scores in module(pixels).items())


def labelled_batches(
    model, stages: Sequence[tuple[object, float]], steps: int, batch: int, seed: int, chunk: int = 2048
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """`steps` batches of single-object scenes with their labels, one WorldSpec after the other.

    Args: stages: (WorldSpec, share of the steps); the last goes on to the end.
    Raises: ClipkitError when a spec has scenes of several objects, whose label would be one of them by chance.
    """
    from clipkit.world import render, sample_scenes

    for spec, _ in stages:
        if (spec.min_objects, spec.max_objects) != (1, 1):
            raise ClipkitError("labels need scenes of exactly one object; set min_objects = max_objects = 1")
    ends = np.cumsum([share for _, share in stages]) * steps
    ends[-1] = steps
    done = start = 0
    while done < steps:
        spec = stages[int(np.searchsorted(ends, done, side="right").clip(max=len(stages) - 1))][0]
        scenes = sample_scenes(spec, chunk, seed, start=start)
        start += chunk
        pixels = model.preprocess_batch(render(scenes, size=model.image_size).images)
        labels = {f: torch.as_tensor((v if v.ndim == 1 else v[:, 0]).astype(np.int64)) for f in FACTORS for v in [getattr(scenes, f)]}
        for i in range(0, chunk - batch + 1, batch):
            if done == steps:
                return
            done += 1
            yield pixels[i : i + batch], {factor: y[i : i + batch] for factor, y in labels.items()}
