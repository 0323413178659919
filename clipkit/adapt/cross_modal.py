"""The cross-modal linear head of REAL-Linear: images and prompts in one cross-entropy, half-way back to zero-shot."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.heads import Head
from clipkit.train import minimise, shuffled


def wise(start: Tensor, trained: Tensor, share: float) -> Tensor:
    """(1 - share) start + share trained, both (C, D). Source: WiSE-FT, arXiv:2109.01903, eq. 1."""
    checks.same_shape(start, trained, what="two heads to be mixed")
    checks.share(share=share)
    return (1 - share) * start + share * trained


class CrossModalProbe(Head):
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
        checks.positive(scale=scale, lr=lr)
        checks.at_least(0, steps=steps)
        checks.at_least(1, batch=batch)
        checks.share(share=share)
        self.scale, self.steps, self.lr, self.weight_decay, self.batch = scale, steps, lr, weight_decay, batch
        self.warmup, self.warm_lr, self.share, self.seed = warmup, warm_lr, share, seed

    def fit(
        self, features: Tensor, labels: Tensor, text_weights: Tensor, texts: Tensor | None = None, text_labels: Tensor | None = None
    ) -> CrossModalProbe:
        """Train on (N, D) image features and (N,) labels, started at (C, D) text weights; all unit norm.

        Args: texts: (T, D) single prompts; text_labels: (T,) their classes; without them images alone are used.

        Raises: ClipkitError for shapes that do not fit, NaN, or labels out of range.
        """
        x, y, start, _ = checks.support(features, labels, text_weights)
        pairs = [(x, y)]
        if texts is not None:
            t, own, _, _ = checks.support(texts, text_labels, start)
            pairs.append((t.to(x), own.to(x.device)))
        start = start.detach()
        weight = start.clone().requires_grad_(True)
        steps = min(32_000, 10 * len(x) // self.batch) if self.steps is None else self.steps
        generator = torch.Generator().manual_seed(self.seed)
        streams = [shuffled(len(x), self.batch, generator, "drop") for x, _ in pairs]

        def loss(_) -> Tensor:
            rows = [next(stream) for stream in streams]
            x, y = (torch.cat([part[k][some] for part, some in zip(pairs, rows, strict=True)]) for k in (0, 1))
            return F.cross_entropy(self.scale * x @ weight.T, y)

        optimiser = partial(torch.optim.AdamW, weight_decay=self.weight_decay)
        minimise(loss, [weight], steps, self.lr, None, optimiser, lambda step: self._rate(step, steps))
        self.trained_ = weight.detach()
        self.weight_ = wise(start, self.trained_, self.share)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) features."""
        return self.scale * checks.fitted(self, "weight_", features) @ self.weight_.T

    def _rate(self, step: int, steps: int) -> float:
        if step < self.warmup:
            return self.warm_lr / self.lr if step == 0 else step / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / steps))
