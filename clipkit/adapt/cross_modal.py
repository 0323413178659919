"""The cross-modal linear head of REAL-Linear: images and prompts in one cross-entropy, half-way back to zero-shot."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.errors import ClipkitError


def wise(start: Tensor, trained: Tensor, share: float) -> Tensor:
    """(1 - share) start + share trained, both (C, D). Source: WiSE-FT, arXiv:2109.01903, eq. 1."""
    if start.shape != trained.shape or not 0 <= share <= 1:
        raise ClipkitError(f"want two heads of one shape and a share in [0, 1]; got {tuple(start.shape)}, {tuple(trained.shape)}, {share}")
    return (1 - share) * start + share * trained


class CrossModalProbe:
    """A linear head without bias, started at the prompts' weights, trained on image and text features side by side.

    Each step takes `batch` images and `batch` prompts, in a random order, the same cross-entropy for both. AdamW, learning
    rate from `warm_lr` up during 50 steps, then half a cosine over all `steps`. The head kept is the mean of start and end.

    Args:
        scale: of the logits; fixed. steps: None for ten rounds over the images, at most 32,000. share: of the trained head.

    Attributes after `fit`: weight_ (C, D), trained_ (C, D).

    Source: arXiv:2401.12425, section 4.2, and its released code, whose settings are the defaults; as there, the cosine
    starts after the warm-up and is not finished at the last step, and the mixed head is not normalised.
    """

    def __init__(
        self,
        scale: float = 100.0,
        steps: int | None = None,
        lr: float = 1e-4,
        weight_decay: float = 0.01,
        batch: int = 32,
        warmup: int = 50,
        warm_lr: float = 1e-5,
        share: float = 0.5,
        seed: int = 0,
    ):
        if not scale > 0 or not lr > 0 or batch < 1 or (steps is not None and steps < 0) or not 0 <= share <= 1:
            raise ClipkitError(
                f"scale, lr, batch must be positive, steps 0 or more, share in [0, 1]; got {scale}, {lr}, {batch}, {steps}, {share}"
            )
        self.scale, self.steps, self.lr, self.weight_decay, self.batch = scale, steps, lr, weight_decay, batch
        self.warmup, self.warm_lr, self.share, self.seed = warmup, warm_lr, share, seed

    def fit(
        self, features: Tensor, labels: Tensor, text_weights: Tensor, texts: Tensor | None = None, text_labels: Tensor | None = None
    ) -> CrossModalProbe:
        """Train on (N, D) image features and (N,) labels, started at (C, D) text weights; all unit norm.

        Args: texts, text_labels: (T, D) single prompts and their classes; without them images alone are used.

        Raises: ClipkitError for shapes that do not fit, NaN, or labels out of range.
        """
        pairs = [(features, labels)] + ([] if texts is None else [(texts, text_labels)])
        for x, y in pairs:
            if x.ndim != 2 or not len(x) or y is None or len(x) != len(y) or x.shape[1] != text_weights.shape[1]:
                raise ClipkitError(
                    f"want (N, D) features with (N,) labels, N at least 1, D = {text_weights.shape[1]}; got {tuple(x.shape)}"
                )
            if not torch.isfinite(x).all():
                raise ClipkitError("the features hold NaN or infinite values; extract them again")
            if y.min() < 0 or y.max() >= len(text_weights):
                raise ClipkitError(f"labels lie in {int(y.min())}..{int(y.max())}, there are {len(text_weights)} classes")
        start = text_weights.detach().to(features)
        weight = start.clone().requires_grad_(True)
        steps = min(32_000, 10 * len(features) // self.batch) if self.steps is None else self.steps
        optimiser = torch.optim.AdamW([weight], lr=self.lr, weight_decay=self.weight_decay)
        generator = torch.Generator().manual_seed(self.seed)
        streams = [_rounds(x.to(features), y.to(features.device), self.batch, generator) for x, y in pairs]
        with torch.enable_grad():
            for step in range(steps):
                optimiser.param_groups[0]["lr"] = self._rate(step, steps)
                x, y = (torch.cat(parts) for parts in zip(*map(next, streams), strict=True))
                loss = F.cross_entropy(self.scale * x @ weight.T, y)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        self.trained_ = weight.detach()
        self.weight_ = wise(start, self.trained_, self.share)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        if not hasattr(self, "weight_"):
            raise ClipkitError("this head is not fitted: call fit(features, labels, text_weights) first")
        return self.scale * features @ self.weight_.to(features).T

    def _rate(self, step: int, steps: int) -> float:
        if step < self.warmup:
            return self.warm_lr if step == 0 else self.lr * step / self.warmup
        return 0.5 * self.lr * (1 + torch.cos(torch.tensor(torch.pi * (step - self.warmup) / steps)).item())


def _rounds(x: Tensor, y: Tensor, batch: int, generator: torch.Generator):
    """Batches for ever, each round in a new order; the last, smaller batch of a round is dropped where there is a full one."""
    while True:
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for rows in order.split(batch):
            if len(rows) == batch or len(x) < batch:
                yield x[rows], y[rows]
