"""Small twins for populations: one of two towers for pictures, bags of words for texts, one of three objectives.

Two that differ in one thing start equal in all others, so that a difference between them is that thing's doing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.pretrain.losses import info_nce, sigmoid_pairs
from clipkit.pretrain.tiny_clip import EMBED_DIM, PatchTower, small_tower
from clipkit.world import BACKGROUNDS, CATEGORIES, COLOURS
from clipkit.world.scene import Scenes

OBJECTIVES = ("captions", "sigmoid", "labels")
WIDTH = 12  # of the convolutions
TOWERS = {"conv": lambda: small_tower(WIDTH), "patches": PatchTower}
WORDS = (*CATEGORIES, *COLOURS, *BACKGROUNDS)


class WordBagClip(nn.Module):
    """A tower for pictures, and texts as bags of words: the sum of a learnt vector for each word."""

    def __init__(self, tower: str, seed: int):
        super().__init__()
        checks.one_of("tower", tower, TOWERS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.Embedding(len(WORDS) + 1, EMBED_DIM, padding_idx=len(WORDS))  # the last one is silence
            self.visual = TOWERS[tower]()
        self.log_scale, self.bias = nn.Parameter(torch.tensor(1 / 0.07).log()), nn.Parameter(torch.zeros(()))

    @property
    def logit_scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=100.0)

    def pictures(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.visual(pixels), dim=1)

    def texts(self, words: Tensor) -> Tensor:
        """(..., L) word numbers to unit features (..., D)."""
        return F.normalize(self.words(words).sum(-2), dim=-1)


def bags_of(scenes: Scenes, seed: int | None = None) -> Tensor:
    """(N, 3) word numbers of captions: thing, colour, place; with a seed the last two are left out half of the time."""
    words = np.stack([scenes.category[:, 0], 48 + scenes.colour[:, 0], 58 + scenes.background], 1).astype(np.int64)
    if seed is not None:
        words[:, 1:][np.random.default_rng([seed, 31]).random((len(words), 2)) < 0.5] = len(WORDS)
    return torch.from_numpy(words)


def objective_of(objective: str, names: Tensor) -> Callable[[WordBagClip, tuple[Tensor, Tensor, Tensor]], Tensor]:
    """(net, (pixels, names (B,), words (B, 3))) -> loss; for "labels" cross-entropy over the vectors of the names asked about.

    Raises ClipkitError for an unknown objective.
    """
    checks.one_of("objective", objective, OBJECTIVES)

    def loss(net: WordBagClip, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        pixels, numbers, words = batch
        x = net.pictures(pixels)
        if objective == "labels":
            return F.cross_entropy(net.logit_scale * x @ net.texts(names[:, None]).T, numbers)
        if objective == "sigmoid":
            return sigmoid_pairs(x, net.texts(words), net.logit_scale, net.bias)
        return info_nce(x, net.texts(words), net.logit_scale)

    return loss
