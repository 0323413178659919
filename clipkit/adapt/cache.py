"""Tip-Adapter: the few labelled features are kept as they are, and a test feature asks the ones near it for their label."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.metrics import percent_right
from clipkit.train import minimise, shuffled

CHUNK = 2**22  # entries of the block "queries x keys" that are held at a time
ALPHAS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0)  # for a logit scale of 100
BETAS = (0.5, 1.0, 2.0, 3.5, 5.5, 8.0, 12.0, 20.0, 30.0, 50.0)


def cache_logits(
    features: Tensor,
    keys: Tensor,
    values: Tensor,
    beta: float,
    *,
    n_classes: int | None = None,
    normalise_by_shots: bool = False,
) -> Tensor:
    """exp(-beta (1 - F K^T)) L: every key votes for its class, the louder the nearer it is.

    Args:
        features: (N, D), unit norm. keys: (M, D), unit norm.
        values: (M,) integer labels in [0, n_classes), or (M, C) soft labels.
        beta: at least 0; how fast a vote fades with distance. n_classes: C, by default the largest label plus one.
        normalise_by_shots: divide each class's votes by its number of keys (its sum of soft labels), so that one
            alpha serves for all numbers of shots. The paper's code does not.

    Returns: (N, C), dtype and device of `features`; differentiable in features and keys. Labels are summed by
        class, a block of rows at a time: neither an (N, M) nor a one-hot (M, C) matrix is ever held.
    Raises ClipkitError: shapes that do not match, NaN, features that are not of unit length (their votes could be infinite),
        a label out of range, a negative beta.
    Source: arXiv:2207.09519, eq. 4-6.
    """
    keys = checks.features(keys, "keys")
    features = checks.unit(checks.features(features, width=keys.shape[1]))
    checks.at_least(0, beta=beta)
    keys, values = keys.to(features), _values(values, len(keys), n_classes).to(features.device)
    if values.ndim == 1:
        n_classes = int(values.max()) + 1 if n_classes is None else n_classes
        counts = torch.bincount(values, minlength=n_classes).to(features)
    else:
        n_classes, values = values.shape[1], values.to(features)
        counts = values.sum(0)
    votes = []
    for rows in features.split(max(1, CHUNK // len(keys))):
        near = (beta * (rows @ keys.T - 1)).exp()
        votes.append(near @ values if values.ndim == 2 else near.new_zeros(len(rows), n_classes).index_add(1, values, near))
    votes = torch.cat(votes)
    if not torch.isfinite(votes).all():  # keys that fine-tuning made a little longer are fine, others are not
        raise ClipkitError("the votes are infinite: the keys are too long; bring them to unit length with F.normalize(keys, dim=-1)")
    return votes / torch.where(counts > 0, counts, 1) if normalise_by_shots else votes


class TipAdapter(Head):
    """logits = scale F W^T + alpha exp(-beta (1 - F K^T)) L. Training-free; `finetune` makes it Tip-Adapter-F.

    Args: alpha, beta: at least 0. scale: the model's logit scale. normalise_by_shots: see `cache_logits`.

    Attributes after `fit`: keys_ (M, D), labels_ (M,), text_weights_ (C, D). After `search`: `chosen_`.

    A class without a key keeps its zero-shot logit and gets no votes.

    >>> x, w = torch.eye(2), torch.eye(2)
    >>> TipAdapter(alpha=1.0, beta=1.0, scale=1.0).fit(x, torch.tensor([0, 1]), w).predict_logits(x).argmax(1).tolist()
    [0, 1]

    Source: arXiv:2207.09519, eq. 6, and github.com/gaopengcuhk/Tip-Adapter. Deliberate differences: that code
    multiplies by 100 whatever the model (here: `scale`), searches a hand-set range of alpha and beta for each data
    set (here: one grid), and keeps the fine-tuning epoch that is best on the test set (here: the last one).
    """

    def __init__(self, alpha: float = 1.0, beta: float = 5.5, scale: float = 100.0, normalise_by_shots: bool = False):
        checks.at_least(0, alpha=alpha, beta=beta)
        checks.positive(scale=scale)
        self.alpha, self.beta, self.scale, self.normalise_by_shots = float(alpha), float(beta), float(scale), normalise_by_shots

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> TipAdapter:
        """Keep (M, D) features and (M,) labels beside (C, D) text weights, all unit norm.

        Raises ClipkitError: shapes that do not match, NaN, features that are not of unit length, a label out of range.
        """
        self.keys_ = checks.unit(checks.features(features))
        self.text_weights_ = checks.features(text_weights, "text weights", self.keys_.shape[1]).to(self.keys_)
        self.labels_ = _values(labels, len(self.keys_), len(self.text_weights_)).to(self.keys_.device)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) unit-norm features."""
        zero_shot, votes = self._parts(features, self.beta)
        return zero_shot + self.alpha * votes

    def search(self, features: Tensor, labels: Tensor, alphas: Sequence[float] | None = None, betas: Sequence[float] = BETAS) -> TipAdapter:
        """Set alpha and beta to the pair with the best accuracy on (N, D) validation features and (N,) labels.

        The grid is BETAS x ALPHAS, the latter times scale / 100 and, with `normalise_by_shots`, times the mean
        number of keys a class. It holds alpha = 0, so that plain zero-shot can win. Of equals the smallest alpha is
        kept, then the smallest beta. Never give it test features.
        """
        features = checks.fitted(self, "keys_", features)
        labels = checks.labels(labels, len(features), len(self.text_weights_)).to(self.keys_.device)
        shots = len(self.keys_) / len(self.labels_.unique()) if self.normalise_by_shots and self.labels_.ndim == 1 else 1.0
        alphas = [a * self.scale / 100 * shots for a in ALPHAS] if alphas is None else list(alphas)
        if not alphas or not len(betas):
            raise ClipkitError("search needs at least one alpha and one beta")
        rows = []
        for beta in sorted(betas):
            zero_shot, votes = self._parts(features, beta)
            for alpha in sorted(alphas):
                rows.append((-percent_right(zero_shot + alpha * votes, labels), alpha, beta))
        right, self.alpha, self.beta = min(rows)
        self.chosen_ = {"alpha": self.alpha, "beta": self.beta, "validation": -right}
        return self

    def finetune(
        self,
        features: Tensor,
        labels: Tensor,
        epochs: int = 20,
        lr: float = 1e-3,
        eps: float = 1e-4,
        batch: int = 256,
        seed: int = 0,
    ) -> TipAdapter:
        """Tip-Adapter-F: train the keys by cross-entropy on (N, D) features and (N,) labels, values frozen.

        AdamW with its default weight decay of 0.01, learning rate falling to zero along a cosine, a step at a time;
        alpha and beta stay what they are (search them again afterwards). The features may be the support itself or
        other views of it. The last epoch's keys are kept; they are no longer unit norm, as in the paper's code.
        """
        features = checks.unit(checks.fitted(self, "keys_", features))
        labels = checks.labels(labels, len(features), len(self.text_weights_)).to(features.device)
        checks.at_least(1, epochs=epochs, batch=batch)
        fixed, self.keys_ = self.keys_, self.keys_.clone().requires_grad_()
        steps, rows = epochs * -(-len(features) // batch), shuffled(len(features), batch, torch.Generator().manual_seed(seed))
        try:
            minimise(
                lambda some: F.cross_entropy(self.predict_logits(features[some]), labels[some]),
                [self.keys_], steps, lr, rows, partial(torch.optim.AdamW, eps=eps),
            )  # fmt: skip
            fixed = self.keys_.detach()
        finally:
            self.keys_ = fixed
        return self

    def _parts(self, features: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """Zero-shot logits and votes, (N, C) each."""
        features = checks.fitted(self, "keys_", features)
        weights = self.text_weights_
        votes = cache_logits(features, self.keys_, self.labels_, beta, n_classes=len(weights), normalise_by_shots=self.normalise_by_shots)
        return self.scale * features @ weights.T, votes


def _values(values: Tensor, n: int, n_classes: int | None = None) -> Tensor:
    """(n,) integer labels, or (n, C) soft ones, as given."""
    values = checks.tensor(values, "labels")
    if values.ndim != 2:
        return checks.labels(values, n, n_classes)
    if len(values) != n:
        raise ClipkitError(f"soft labels: want ({n}, {n_classes or 'C'}), got {tuple(values.shape)}")
    return checks.features(values, "soft labels", n_classes)
