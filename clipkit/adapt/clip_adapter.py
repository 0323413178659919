"""CLIP-Adapter: a small two-layer network that corrects the image feature, mixed with the feature as it was."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.adapt.cache import unit_rows
from clipkit.checks import fitted, support
from clipkit.errors import ClipkitError


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


class CLIPAdapter:
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
        if not 0 <= ratio <= 1:
            raise ClipkitError(f"ratio is a share between 0 and 1, got {ratio}")
        if reduction < 1 or steps < 0 or not lr > 0 or not scale > 0 or (batch is not None and batch < 1):
            raise ClipkitError("reduction and batch must be at least 1, steps at least 0, lr and scale positive")
        self.ratio, self.reduction, self.scale, self.steps, self.lr = float(ratio), reduction, float(scale), steps, lr
        self.batch, self.seed = batch, seed

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> CLIPAdapter:
        """Train on (N, D) features and (N,) labels beside (C, D) text weights, unit norm.

        Raises ClipkitError: shapes that do not match, NaN, features not of unit length, a label out of range, D smaller than `reduction`.
        """
        x, y, _ = support(features, labels, text_weights)
        w = text_weights.to(x)
        D, generator = x.shape[1], torch.Generator().manual_seed(self.seed)
        hidden = D // self.reduction
        if not hidden:
            raise ClipkitError(f"reduction {self.reduction} leaves no hidden unit of {D} dimensions; take a smaller one")
        unit_rows(x, "features")
        down, up = (uniform_weights(*shape, generator).to(x).requires_grad_() for shape in ((hidden, D), (D, hidden)))

        def loss(rows: Tensor | slice) -> Tensor:
            return F.cross_entropy(self.scale * adapt_features(x[rows], down, up, self.ratio) @ w.T, y[rows])

        self.losses_ = minimise(loss, [down, up], len(x), self.steps, self.lr, self.batch, generator)
        self.down_, self.up_, self.text_weights_ = down.detach(), up.detach(), w
        return self

    def features(self, features: Tensor) -> Tensor:
        """Corrected features (N, D), unit norm."""
        return adapt_features(fitted(self, "down_", features), self.down_, self.up_, self.ratio)

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        return self.scale * self.features(features) @ self.text_weights_.T


def minimise(loss, weights: list[Tensor], n: int, steps: int, lr: float, batch: int | None, generator: torch.Generator) -> Tensor:
    """Train `weights` in place by AdamW (decay 0.01, eps 1e-4), the rate falling to zero along a cosine.

    Args: loss: rows (a slice or indices into n pictures) -> 0-d tensor; batch None or at least n: all rows at each step.
    Returns: (steps,) losses. The settings are those of the few-shot papers that train a head (Tip-Adapter-F, AMU).
    """
    optimiser = torch.optim.AdamW(weights, lr=lr, weight_decay=0.01, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    rows, losses = iter(()), []
    with torch.enable_grad():
        for _ in range(steps):
            if batch is None or batch >= n:
                chosen = slice(None)
            elif (chosen := next(rows, None)) is None:
                rows = iter(torch.randperm(n, generator=generator).to(weights[0].device).split(batch))
                chosen = next(rows)
            value = loss(chosen)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
            losses.append(value.detach())
    return torch.stack(losses) if losses else weights[0].new_zeros(0)


def uniform_weights(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """(rows, columns) float32 uniform in +-1/sqrt(columns): what torch gives a new linear layer."""
    return (2 * torch.rand(rows, columns, generator=generator) - 1) / columns**0.5
