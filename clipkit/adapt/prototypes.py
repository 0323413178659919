"""Heads that are class means: the nearest mean, and its blend with the text weights."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.heads import Head
from clipkit.metrics import class_means


class NearestClassMean(Head):
    """Cosine to the mean feature of each class: logits = scale F m^T, m the normalised means.

    A class without a feature falls back to its text weight, or to a logit of minus infinity when there are none.

    Attributes after `fit`: weight_ (C, D), unit norm; counts_ (C,).

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> NearestClassMean(scale=1.0).fit(x, torch.tensor([0, 1])).predict_logits(x).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, scale: float = 100.0):
        checks.positive(scale=scale)
        self.scale = float(scale)

    def fit(
        self, features: Tensor, labels: Tensor, text_weights: Tensor | None = None, *, n_classes: int | None = None
    ) -> NearestClassMean:
        """Means of (N, D) features by (N,) labels. (C, D) text weights stand in for classes that have none.

        Raises ClipkitError: shapes that do not match, NaN, a label out of range.
        """
        features, labels, text_weights, n_classes = checks.support(features, labels, text_weights, n_classes)
        means, self.counts_ = class_means(features, labels, n_classes)
        means = F.normalize(means, dim=1)
        if text_weights is not None:
            means = means.where(self.counts_[:, None] > 0, F.normalize(text_weights, dim=1))
        self.weight_, self._has_text = means, text_weights is not None
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        logits = self.scale * checks.fitted(self, "weight_", features) @ self.weight_.T
        return logits if self._has_text else logits.masked_fill(self.counts_ == 0, -float("inf"))


class PrototypeBlend(Head):
    """The cheapest strong baseline: w_c ∝ λ W_c + (1 - λ) m_c, text weight and normalised class mean.

    Without a given `text_share` λ = 1 / (1 + n_c / 4): at four shots text and mean weigh the same, and a class
    without a feature keeps its text weight. λ = 1 is zero-shot and λ = 0 the nearest class mean.

    Attributes after `fit`: weight_ (C, D), unit norm.
    """

    def __init__(self, scale: float = 100.0, text_share: float | None = None):
        checks.positive(scale=scale)
        checks.share(text_share=text_share)
        self.scale, self.text_share = float(scale), text_share

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> PrototypeBlend:
        """Blend (C, D) unit-norm text weights with the means of (N, D) features by (N,) labels.

        Raises ClipkitError: shapes that do not match, NaN, a label out of range.
        """
        features, labels, text_weights, n_classes = checks.support(features, labels, text_weights)
        means, counts = class_means(features, labels, n_classes)
        share = 1 / (1 + counts.to(means)[:, None] / 4)
        if self.text_share is not None:
            share = share.new_full(share.shape, self.text_share).where(counts[:, None] > 0, 1.0)
        self.weight_ = F.normalize(share * text_weights + (1 - share) * F.normalize(means, dim=1), dim=1)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        return self.scale * checks.fitted(self, "weight_", features) @ self.weight_.T
