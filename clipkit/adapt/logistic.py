"""Logistic regression on standardised features, added to zero-shot: the trained head that knows the spread of each axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.adapt.selection import ALPHAS, ensemble_logits, equal_spread, select_alpha
from clipkit.errors import ClipkitError
from clipkit.heads import Head

DECAYS = (1.0, 0.1, 0.01, 0.001, 0.0001)


class LogisticHead(Head):
    """logits = scale F W^T + alpha (A z + a), z the features standardised by the support.

    A and a minimise mean cross-entropy + decay / 2 |A|² from zero (L-BFGS), for every decay in `decays`. `fit` leaves
    the middle decay and the alpha of equal spread times shots / 4, as the selection protocol "fixed" has it; `search`
    chooses both on validation pictures.

    Attributes after `fit`: text_weights_ (C, D), weights_ (len(decays), C, D), biases_ (len(decays), C), chosen_.

    Unlike scikit-learn's, the weight of a class without features is fitted too (it is pushed away from all others').
    """

    def __init__(self, scale: float = 100.0, decays: Sequence[float] = DECAYS, max_iter: int = 40):
        if not len(decays):
            raise ClipkitError("a logistic head needs at least one decay")
        checks.positive(scale=scale, decays=min(decays))
        checks.at_least(1, max_iter=max_iter)
        self.scale, self.decays, self.max_iter = float(scale), tuple(sorted(decays, reverse=True)), max_iter

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> LogisticHead:
        """Fit (N, D) features and (N,) labels beside (C, D) text weights.

        Raises ClipkitError: shapes that do not match, NaN, a label out of range.
        """
        features, labels, text_weights, n_classes = checks.support(features, labels, text_weights)
        features, self.text_weights_ = features.detach(), text_weights.detach()
        self._mean = features.mean(0)
        spread = features.std(0, unbiased=False)
        self._spread = torch.where(spread > torch.finfo(features.dtype).eps, spread, 1)  # an axis that never moves
        z = (features - self._mean) / self._spread
        weight, bias = features.new_zeros(n_classes, features.shape[1]), features.new_zeros(n_classes)
        found = []
        for decay in self.decays:  # from strong to weak, each started where the last one ended
            weight, bias = _minimise(z, labels, weight, bias, decay, self.max_iter)
            found.append((weight, bias))
        self.weights_, self.biases_ = (torch.stack(part) for part in zip(*found, strict=True))
        self._choose(len(self.decays) // 2, 1.0)
        share = len(features) / n_classes / 4
        self._choose(len(self.decays) // 2, share * equal_spread(self._zero_shot(features), self._own(features, self._index)))
        return self

    def search(self, features: Tensor, labels: Tensor) -> LogisticHead:
        """Keep the decay and alpha with the best accuracy on (M, D) validation features; of equals strong decay, small alpha."""
        features = checks.fitted(self, "text_weights_", features)
        labels = checks.labels(labels, len(features), len(self.text_weights_)).to(features.device)
        rows, zero_shot = [], self._zero_shot(features)
        for index in range(len(self.decays)):
            own = self._own(features, index)
            alpha = select_alpha(zero_shot, own, labels, ALPHAS)
            rows.append(((ensemble_logits(zero_shot, own, alpha).argmax(1) == labels).sum().item(), -index, alpha))
        _, index, alpha = max(rows)
        self._choose(-index, alpha)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(M, C) logits of (M, D) features."""
        features = checks.fitted(self, "text_weights_", features)
        return ensemble_logits(self._zero_shot(features), self._own(features, self._index), self.chosen_["alpha"])

    def _choose(self, index: int, alpha: float) -> None:
        self._index, self.chosen_ = index, {"decay": self.decays[index], "alpha": alpha}

    def _zero_shot(self, features: Tensor) -> Tensor:
        return self.scale * features @ self.text_weights_.T

    def _own(self, features: Tensor, index: int) -> Tensor:
        return (features - self._mean) / self._spread @ self.weights_[index].T + self.biases_[index]


def _minimise(z: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, decay: float, max_iter: int) -> tuple[Tensor, Tensor]:
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=max_iter, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(z @ weight.T + bias, labels) + decay / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    return weight.detach(), bias.detach()
