"""Tip-Adapter: the few labelled features are kept as they are, and a test feature asks the ones near it for their label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.errors import ClipkitError

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
    features, keys = matrix(features, "features"), matrix(keys, "keys")
    if features.shape[1] != keys.shape[1]:
        raise ClipkitError(f"features have {features.shape[1]} dimensions, the keys {keys.shape[1]}: take both from one model")
    unit_rows(features, "features")
    if not beta >= 0:
        raise ClipkitError(f"beta must be at least 0, got {beta}")
    keys = keys.to(features)
    values = cache_values(values, len(keys), n_classes).to(features.device)
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


class TipAdapter:
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
        if not (alpha >= 0 and beta >= 0 and scale > 0):
            raise ClipkitError(f"alpha and beta must be at least 0 and scale positive, got {alpha}, {beta}, {scale}")
        self.alpha, self.beta, self.scale, self.normalise_by_shots = float(alpha), float(beta), float(scale), normalise_by_shots

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> TipAdapter:
        """Keep (M, D) features and (M,) labels beside (C, D) text weights, all unit norm.

        Raises ClipkitError: shapes that do not match, NaN, features that are not of unit length, a label out of range.
        """
        keys, weights = unit_rows(features, "features"), matrix(text_weights, "text weights")
        if keys.shape[1] != weights.shape[1]:
            raise ClipkitError(f"features have {keys.shape[1]} dimensions, text weights {weights.shape[1]}: take both from one model")
        self.labels_ = cache_values(labels, len(keys), len(weights)).to(keys.device)
        self.keys_, self.text_weights_ = keys, weights.to(keys)
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
        labels = cache_values(labels, len(features), len(self._fitted().text_weights_)).to(self.keys_.device)
        if labels.ndim != 1:
            raise ClipkitError("search needs one integer label a row")
        shots = len(self.keys_) / len(self.labels_.unique()) if self.normalise_by_shots and self.labels_.ndim == 1 else 1.0
        alphas = [a * self.scale / 100 * shots for a in ALPHAS] if alphas is None else list(alphas)
        if not alphas or not len(betas):
            raise ClipkitError("search needs at least one alpha and one beta")
        rows = []
        for beta in sorted(betas):
            zero_shot, votes = self._parts(features, beta)
            for alpha in sorted(alphas):
                right = 100 * ((zero_shot + alpha * votes).argmax(1) == labels).double().mean().item()
                rows.append((-right, alpha, beta))
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
        features = unit_rows(features, "features").to(self._fitted().keys_)
        labels = cache_values(labels, len(features), len(self.text_weights_)).to(features.device)
        if labels.ndim != 1 or epochs < 1 or batch < 1:
            raise ClipkitError("finetune needs one integer label a row, and epochs and batch of at least 1")
        fixed, self.keys_ = self.keys_, self.keys_.clone().requires_grad_()
        try:
            optimiser = torch.optim.AdamW([self.keys_], lr=lr, eps=eps)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * -(-len(features) // batch))
            order = torch.Generator().manual_seed(seed)
            with torch.enable_grad():
                for _ in range(epochs):
                    for rows in torch.randperm(len(features), generator=order).to(features.device).split(batch):
                        loss = F.cross_entropy(self.predict_logits(features[rows]), labels[rows])
                        optimiser.zero_grad()
                        loss.backward()
                        optimiser.step()
                        schedule.step()
            fixed = self.keys_.detach()
        finally:
            self.keys_ = fixed
        return self

    def _parts(self, features: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """Zero-shot logits and votes, (N, C) each."""
        weights = self._fitted().text_weights_
        features = matrix(features, "features").to(weights)
        votes = cache_logits(features, self.keys_, self.labels_, beta, n_classes=len(weights), normalise_by_shots=self.normalise_by_shots)
        return self.scale * features @ weights.T, votes

    def _fitted(self) -> TipAdapter:
        if not hasattr(self, "keys_"):
            raise ClipkitError("this adapter is not fitted: call fit(features, labels, text_weights) first")
        return self


def matrix(x: Tensor, what: str) -> Tensor:
    """`x` if it is a finite floating-point (N, D) tensor with N at least 1. Raises ClipkitError otherwise."""
    if not isinstance(x, Tensor) or x.ndim != 2 or not len(x) or not x.is_floating_point():
        got = f"{tuple(x.shape)} {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ClipkitError(f"{what}: want a floating-point tensor (N, D) with N at least 1, got {got}")
    bad = (~torch.isfinite(x)).any(1).nonzero().flatten()
    if len(bad):
        raise ClipkitError(f"{what}: {len(bad)} rows hold NaN or infinite values, the first is row {bad[0].item()}; extract them again")
    return x


def unit_rows(x: Tensor, what: str) -> Tensor:
    """`matrix(x)` if every row is of unit length, to the rounding of half precision. Raises ClipkitError otherwise."""
    length = matrix(x, what).detach().float().norm(dim=1)
    off = (length - 1).abs()
    if off.max() > 0.02:
        row = int(off.argmax())
        raise ClipkitError(f"{what} must be of unit length, row {row} has length {length[row]:.3g}; use F.normalize({what}, dim=-1)")
    return x


def cache_values(values: Tensor, n: int, n_classes: int | None = None) -> Tensor:
    """(n,) int64 labels in [0, n_classes), or finite (n, n_classes) soft labels, as given. Raises ClipkitError otherwise."""
    values = torch.as_tensor(values)
    if values.ndim == 2 and values.is_floating_point():
        values = matrix(values, "soft labels")
        if len(values) != n or values.shape[1] != (n_classes or values.shape[1]):
            raise ClipkitError(f"soft labels: want ({n}, {n_classes or 'C'}), got {tuple(values.shape)}")
        return values
    if values.ndim != 1 or len(values) != n or values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ClipkitError(f"labels: want ({n},) integers or ({n}, C) soft labels, got {tuple(values.shape)} {values.dtype}")
    values = values.long()
    low, high = int(values.min()), int(values.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        raise ClipkitError(f"labels must lie between 0 and {(n_classes or high + 1) - 1}, got {low} to {high}")
    return values
