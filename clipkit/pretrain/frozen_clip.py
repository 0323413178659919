"""A CLIP of two small heads: a frozen image tower's features on one side, the words of a caption on the other.

Only the heads are trained, so a training takes seconds and can be long enough for a loss to saturate. What a frozen tower
sees is a limit on all arms alike; which of it a head *keeps* is decided by the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.train import shuffled

EMBED_DIM, WIDTH = 64, 256  # joint dimensions; hidden units


class ProjectionHeads(nn.Module):
    """An MLP on image features (B, F), and one on the mean of a caption's word vectors; both end on the unit sphere.

    Args:
        features: F. vocabulary: number of tokens; token 0 is padding.
        embed_dim, width: of the joint space, and of the hidden layers. logit_scale: at the start; learnt if `learnt`.
        seed: of the weights; the caller's random numbers are left alone. Two heads that differ in the scale alone start equal.
    """

    def __init__(
        self,
        features: int,
        vocabulary: int,
        seed: int = 0,
        embed_dim: int = EMBED_DIM,
        width: int = WIDTH,
        logit_scale: float = 1 / 0.07,
        learnt: bool = False,
    ):
        super().__init__()
        checks.positive(logit_scale=logit_scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.image = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, embed_dim))
            self.words = nn.EmbeddingBag(vocabulary, embed_dim, mode="mean", padding_idx=0)
            self.text = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, width), nn.GELU(), nn.Linear(width, embed_dim))
        self.log_scale = nn.Parameter(torch.tensor(float(logit_scale)).log(), requires_grad=learnt)

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature, 0-d; at most 100, as in CLIP."""
        return self.log_scale.exp().clamp(max=100.0)

    def encode_image(self, features: Tensor) -> Tensor:
        """(B, F) to (B, D), unit norm."""
        return F.normalize(self.image(features), dim=1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 to (B, D), unit norm; the order of the words is lost."""
        return F.normalize(self.text(self.words(tokens)), dim=1)

    def forward(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode_image(features), self.encode_text(tokens)


class VectorHeads(ProjectionHeads):
    """The same for texts that are vectors (B, T) of a text tower: a linear map of them in the place of the mean of word vectors."""

    def __init__(self, features: int, texts: int, seed: int = 0, **options):
        super().__init__(features, 1, seed, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.Linear(texts, self.text[0].normalized_shape[0])


def tokenize_each(tokenize: Callable[[list[str]], Tensor], texts: Sequence[str]) -> Tensor:
    """(N, L) tokens of N texts; those that are equal are tokenized once."""
    different, place = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
    return tokenize(different.tolist())[torch.from_numpy(place)]


def feature_batches(features: Tensor, tokens: Tensor, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (batch, F) features and (batch, L) tokens for ever, each pass in its own order; the order depends on `seed` alone.

    Raises: ClipkitError when the two differ in length, or do not fill a batch.
    """
    if len(features) != len(tokens):
        raise ClipkitError(f"{len(features)} pictures and {len(tokens)} captions are no pairs; give one caption a picture")
    if len(features) < batch:
        raise ClipkitError(f"{len(features)} pairs do not fill a batch of {batch}; give more pairs or a smaller batch")
    for rows in shuffled(len(features), batch, torch.Generator().manual_seed(seed), "drop"):
        rows = rows.to(features.device)
        yield features[rows], tokens[rows]


@torch.no_grad()
def class_weights(heads: ProjectionHeads, tokenize, names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """(C, D) unit-norm classifier: the mean of each name's prompts, as for any CLIP.

    Args: tokenize: texts -> (N, L) int64.
    """
    prompts = [template.format(name) for name in names for template in templates]
    device = heads.log_scale.device
    features = heads.encode_text(tokenize(prompts).to(device)).view(len(names), len(templates), -1)
    return F.normalize(features.mean(1), dim=1)
