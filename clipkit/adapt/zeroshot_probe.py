"""ZS-LP: a linear probe that starts from the text weights, and CLAP, which also keeps it near them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.metrics import class_means
from clipkit.train import cosine_schedule, shuffled


class ZeroShotProbe(Head):
    """Cosine classifier trained by cross-entropy from the zero-shot weights on.

    logits = scale F w^T with every w_c brought to unit length; SGD with momentum 0.9, no weight decay, one first
    epoch at 1e-5, then a cosine down to zero. With zero epochs it is zero-shot. penalty="clap" adds the mean over
    classes of λ_c |w_c - W_c|², where λ_c is the mean zero-shot probability of the right class over the features of
    class c: classes that zero-shot knows are held, others may move.

    Args:
        scale: the model's logit scale, kept as it is.
        lr, epochs, batch: of SGD; the released code's values. seed: of the batches. penalty: "none" or "clap".

    Attributes after `fit`: weight_ (C, D) unit norm; multipliers_ (C,), zeros without a penalty; a class without
    features has multiplier 1: nothing speaks for moving it.

    Source: arXiv:2312.12730, sections 3 and 4; github.com/jusiro/CLAP. Differences: that code penalises distances of
    unnormalised text features and trains on twenty augmented views of each picture; here the text weights have unit
    norm, and the caller decides which views to pass. Its default keeps the multipliers constant, and so do we.
    """

    def __init__(
        self,
        scale: float = 100.0,
        lr: float = 0.1,
        epochs: int = 300,
        batch: int = 256,
        penalty: str = "none",
        seed: int = 0,
    ):
        checks.one_of("penalty", penalty, ("none", "clap"))
        checks.positive(scale=scale, lr=lr)
        checks.at_least(0, epochs=epochs)
        checks.at_least(1, batch=batch)
        self.scale, self.lr, self.epochs, self.batch, self.penalty, self.seed = float(scale), float(lr), epochs, batch, penalty, seed

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> ZeroShotProbe:
        """Train on (N, D) unit-norm features and (N,) labels from (C, D) text weights on.

        Raises ClipkitError: shapes that do not match, NaN, features not of unit length, a label out of range, a loss that diverges.
        """
        features, labels, text_weights, n_classes = checks.support(features, labels, text_weights)
        checks.unit(features)
        features, start = features.detach(), F.normalize(text_weights.detach(), dim=1)
        self.multipliers_ = self._multipliers(features, labels, start, n_classes)
        weight, speed = start.clone(), torch.zeros_like(start)
        order = shuffled(len(features), self.batch, torch.Generator().manual_seed(self.seed))
        for epoch in range(self.epochs):
            # a first epoch that hardly moves the weights, then a cosine from lr to 0
            rate = 1e-5 if epoch == 0 else self.lr * cosine_schedule(epoch, self.epochs)
            for _ in range(-(-len(features) // self.batch)):
                rows = next(order)
                speed.mul_(0.9).add_(self._slope(features[rows], labels[rows], weight, start))
                weight.sub_(speed, alpha=rate)
        if not torch.isfinite(weight).all():
            raise ClipkitError(f"the probe's weights diverged at learning rate {self.lr:.3g}; pass a smaller lr")
        self.weight_ = F.normalize(weight, dim=1)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        return self.scale * checks.fitted(self, "weight_", features) @ self.weight_.T

    def _slope(self, features: Tensor, labels: Tensor, weight: Tensor, start: Tensor) -> Tensor:
        """Gradient (C, D) of the loss at `weight`, written out: a third of automatic differentiation's time for such small matrices."""
        length = weight.norm(dim=1, keepdim=True)
        unit = weight / length
        error = (self.scale * features @ unit.T).softmax(1)  # p - onehot, (B, C)
        error[torch.arange(len(labels), device=labels.device), labels] -= 1
        slope = (self.scale / len(labels)) * error.T @ features  # to the unit vectors
        slope = (slope - (slope * unit).sum(1, keepdim=True) * unit) / length  # through u = v / |v|
        return slope if self.penalty == "none" else slope + (2 / len(weight)) * self.multipliers_[:, None] * (weight - start)

    def _multipliers(self, features: Tensor, labels: Tensor, start: Tensor, n_classes: int) -> Tensor:
        if self.penalty == "none":
            return start.new_zeros(n_classes)
        right = (self.scale * features @ start.T).softmax(1).gather(1, labels[:, None])  # (N, 1)
        means, counts = class_means(right, labels, n_classes)
        return means[:, 0].where(counts > 0, 1.0)
