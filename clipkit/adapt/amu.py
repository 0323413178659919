"""AMU-Tuning: a linear classifier on another network's features, added where zero-shot CLIP is unsure."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.adapt.clip_adapter import uniform_weights
from clipkit.adapt.fusion import KINDS, PAPER_REFERENCE, uncertainty_statistic, uncertainty_weight, zscore
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.metrics import class_means
from clipkit.train import minimise, shuffled

STARTS = ("mean", "random")


def amu_loss(theta: Tensor, auxiliary: Tensor, zero_shot: Tensor, kappa: Tensor, labels: Tensor, lam: float, alpha: float) -> Tensor:
    """lam CE(s0 + alpha kappa z, y) + (1 - lam) CE(z, y) with z the z-scored scores of the auxiliary branch.

    Args: theta (C, E); auxiliary (N, E) unit norm; zero_shot (N, C) logits s0; kappa (N, 1); labels (N,).
    Source: arXiv:2404.08958 (multi-branch training).
    """
    own = zscore(auxiliary @ theta.T)
    return lam * F.cross_entropy(zero_shot + alpha * kappa * own, labels) + (1 - lam) * F.cross_entropy(own, labels)


class AMU(Head):
    """logits = scale F W^T + alpha kappa(x) zscore(A Theta^T), F from CLIP and A from another network.

    Args:
        lam: weight of the fused branch's loss against the auxiliary branch's own, in [0, 1].
        alpha: at least 0; how much of the bias is added, in training and in `predict_logits`.
        uncertainty, rho: kind and power of kappa, see `uncertainty_weight`.
        reference: "support" divides by the median over the labelled pictures (labels are not used for it), "paper"
            takes `PAPER_REFERENCE`, a number is taken as it is.
        start: first Theta: "mean" of each class, or "random" as a new linear layer has it. (Zeros have no z-score.)
        centre: subtract the mean of the labelled pictures from the auxiliary features and bring them back to unit norm.
            Where they crowd in one direction, a z-score blows up small differences and training becomes unsteady.
        scale: CLIP's logit scale.
        steps, lr, batch: AdamW (decay 0.01, eps 1e-4) along a cosine; batch None takes all pictures at each step.
        seed: of random starts and of the batches' order.

    Attributes after `fit`: theta_ (C, E), centre_ (E,), text_weights_ (C, D), reference_ (float), losses_ (steps,).

    Source: arXiv:2404.08958 and github.com/TJU-sjyj/AMU-Tuning. Deliberate differences: that code multiplies by 100
    whatever the model (here `scale`), has 250 as kurtosis reference whatever C (here the support's median), trains on
    fresh crops (here on the features given), keeps the epoch that is best on the test set (here the last step); its
    uncertainty is "none" unless asked for, and its lam 1 unless given (its README gives 0.35). It divides each
    class's sum by the mean number of shots, we by the class's own; with equal shots they agree.
    """

    def __init__(
        self,
        lam: float = 0.35,
        alpha: float = 0.5,
        rho: float = 0.4,
        uncertainty: str = "kurtosis",
        reference: str | float = "support",
        start: str = "mean",
        centre: bool = False,
        scale: float = 100.0,
        steps: int = 200,
        lr: float = 1e-3,
        batch: int | None = None,
        seed: int = 0,
    ):
        checks.share(lam=lam)
        checks.at_least(0, alpha=alpha, rho=rho, steps=steps)
        checks.at_least(1, batch=batch)
        checks.positive(scale=scale, lr=lr)
        checks.one_of("kind of uncertainty", uncertainty, KINDS)
        checks.one_of("start", start, STARTS)
        if isinstance(reference, str):
            checks.one_of("reference", reference, ("support", "paper"))
        self.lam, self.alpha, self.rho, self.uncertainty, self.reference = float(lam), float(alpha), float(rho), uncertainty, reference
        self.start, self.centre, self.scale, self.steps, self.lr = start, centre, float(scale), steps, lr
        self.batch, self.seed = batch, seed

    def fit(self, features: Tensor, auxiliary: Tensor, labels: Tensor, text_weights: Tensor) -> AMU:
        """Train on CLIP features (N, D), the other network's (N, E), labels (N,), text weights (C, D), all unit norm.

        Raises ClipkitError: shapes that do not match, NaN, features not of unit length, a label out of range, a class without
            a picture (with start "mean"), one class only.
        """
        x, y, w, C = checks.support(features, labels, text_weights)
        checks.unit(x)
        a = checks.features(auxiliary, "auxiliary features").to(x)
        _same_pictures(x, a)
        if C < 2:
            raise ClipkitError("AMU needs at least two classes: scores are compared with the mean over classes")
        self.centre_ = a.mean(0) if self.centre else a.new_zeros(a.shape[1])
        a = self.centred(a)
        generator = torch.Generator().manual_seed(self.seed)
        theta = self._start(a, y, C, generator)
        self.text_weights_, self.theta_ = w, theta
        zero_shot = self.scale * x @ w.T
        self.reference_ = self._reference(zero_shot.softmax(1))
        kappa, theta = self.kappa(x), theta.clone().requires_grad_()

        def loss(rows: Tensor | slice) -> Tensor:
            return amu_loss(theta, a[rows], zero_shot[rows], kappa[rows], y[rows], self.lam, self.alpha)

        rows = None if self.batch is None or self.batch >= len(x) else shuffled(len(x), self.batch, generator)
        self.losses_ = minimise(loss, [theta], self.steps, self.lr, rows)
        self.theta_ = theta.detach()
        return self

    def centred(self, auxiliary: Tensor) -> Tensor:
        """(N, E) auxiliary features as Theta sees them."""
        return F.normalize(auxiliary - self.centre_, dim=1) if self.centre else auxiliary

    def _start(self, a: Tensor, y: Tensor, n_classes: int, generator: torch.Generator) -> Tensor:
        if self.start == "random":
            return uniform_weights(n_classes, a.shape[1], generator).to(a)
        means, counts = class_means(a, y, n_classes)  # not normalised again, as in the paper's code
        if not counts.all():
            raise ClipkitError(f"class {counts.argmin().item()} has no labelled picture to start from: give one, or take start='random'")
        return means

    def _reference(self, probs: Tensor) -> float:
        if self.reference == "support":
            return uncertainty_statistic(probs, self.uncertainty).median().clamp_min(1e-2 if self.uncertainty == "margin" else 0.0).item()
        return PAPER_REFERENCE[self.uncertainty] if self.reference == "paper" else float(self.reference)

    def kappa(self, features: Tensor) -> Tensor:
        """(N, 1) weights of the bias, from the zero-shot probabilities of (N, D) CLIP features."""
        return uncertainty_weight(self._zero_shot(features).softmax(1), self.uncertainty, self.rho, self.reference_)

    def own_logits(self, auxiliary: Tensor) -> Tensor:
        """(N, C) z-scored scores of the auxiliary branch alone."""
        return zscore(self.centred(checks.fitted(self, "theta_", auxiliary)) @ self.theta_.T)

    def bias(self, features: Tensor, auxiliary: Tensor) -> Tensor:
        """kappa(x) zscore(A Theta^T), (N, C): what is added to the zero-shot logits, before alpha."""
        _same_pictures(features, auxiliary)
        return self.kappa(features) * self.own_logits(auxiliary)

    def predict_logits(self, features: Tensor, auxiliary: Tensor) -> Tensor:
        """(N, C) fused logits."""
        return self._zero_shot(features) + self.alpha * self.bias(features, auxiliary)

    def _zero_shot(self, features: Tensor) -> Tensor:
        return self.scale * checks.fitted(self, "text_weights_", features) @ self.text_weights_.T


def _same_pictures(features: Tensor, auxiliary: Tensor) -> None:
    if len(features) != len(auxiliary):
        raise ClipkitError(f"{len(features)} CLIP features and {len(auxiliary)} auxiliary ones: give both networks the same pictures")
