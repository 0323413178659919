"""CLIP-Adapter: a small two-layer network that corrects the image feature, mixed with the feature as it was."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.train import minimise, shuffled


def adapt_features(features: Tensor, down: Tensor, up: Tensor, ratio: float) -> Tensor:
    """normalise(ratio ReLU(ReLU(F down^T) up^T) + (1 - ratio) F).

    Args: features (N, D); down (D/r, D); up (D, D/r); ratio in [0, 1].
    Returns: (N, D), unit norm. ReLU layers without bias keep a positive factor, so the length of a feature does not
        matter: the official code, which mixes features before they are normalised, gives the same. What the last
        ReLU lets through is never negative.
    Source: arXiv:2110.04544 (the visual adapter).
    """
    corrected = torch.relu(torch.relu(features @ down.T) @ up.T)
    return F.normalize(ratio * corrected + (1 - ratio) * features, dim=-1)


class CLIPAdapter(Head):
    """logits = scale * adapt_features(F) W^T, trained by cross-entropy on the labelled features.

    Args:
        ratio: share of the correction, in [0, 1]; 0 is zero-shot. The paper chooses it for each data set, its code has 0.2.
        reduction: D / hidden width.
        scale: the model's logit scale.
        steps, lr, batch: AdamW along a cosine to zero; batch None takes all features at each step.
        seed: of the first weights (torch's usual uniform ones) and of the batches.

    Attributes after `fit`: down_ (D/r, D), up_ (D, D/r), text_weights_ (C, D), losses_ (steps,).

    Source: arXiv:2110.04544 and github.com/gaopengcuhk/CLIP-Adapter. Deliberate differences: that file fixes D = 1024
    and leaves the training schedule to a configuration it does not carry; ours is above. Last step, never the best.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        reduction: int = 4,
        scale: float = 100.0,
        steps: int = 200,
        lr: float = 1e-3,
        batch: int | None = None,
        seed: int = 0,
    ):
        checks.share(ratio=ratio)
        checks.at_least(0, steps=steps)
        checks.at_least(1, reduction=reduction, batch=batch)
        checks.positive(lr=lr, scale=scale)
        self.ratio, self.reduction, self.scale, self.steps, self.lr = float(ratio), reduction, float(scale), steps, lr
        self.batch, self.seed = batch, seed

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> CLIPAdapter:
        """Train on (N, D) features and (N,) labels beside (C, D) text weights, unit norm.

        Raises ClipkitError: shapes that do not match, NaN, features not of unit length, a label out of range, D smaller than `reduction`.
        """
        x, y, w, _ = checks.support(features, labels, text_weights)
        D, generator = x.shape[1], torch.Generator().manual_seed(self.seed)
        hidden = D // self.reduction
        if not hidden:
            raise ClipkitError(f"reduction {self.reduction} leaves no hidden unit of {D} dimensions; take a smaller one")
        checks.unit(x)
        down, up = (uniform_weights(*shape, generator).to(x).requires_grad_() for shape in ((hidden, D), (D, hidden)))

        def loss(rows: Tensor | slice) -> Tensor:
            return F.cross_entropy(self.scale * adapt_features(x[rows], down, up, self.ratio) @ w.T, y[rows])

        rows = None if self.batch is None or self.batch >= len(x) else shuffled(len(x), self.batch, generator)
        self.losses_ = minimise(loss, [down, up], self.steps, self.lr, rows)
        self.down_, self.up_, self.text_weights_ = down.detach(), up.detach(), w
        return self

    def features(self, features: Tensor) -> Tensor:
        """Corrected features (N, D), unit norm."""
        return adapt_features(checks.fitted(self, "down_", features), self.down_, self.up_, self.ratio)

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        return self.scale * self.features(features) @ self.text_weights_.T


def uniform_weights(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """(rows, columns) float32 uniform in +-1/sqrt(columns): what torch gives a new linear layer."""
    return (2 * torch.rand(rows, columns, generator=generator) - 1) / columns**0.5
