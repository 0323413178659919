"""Gaussian discriminant analysis on frozen features: class means, one shared covariance, Bayes' rule, nothing trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.metrics import class_means

SHRINKAGES = ("ks", "ledoit_wolf", "oas", "ridge", "none", "identity")


def ks_precision(covariance: Tensor, n: int) -> Tensor:
    """Precision P (D, D) with P [(n - 1) S + tr(S) I] = D I, for a covariance S (D, D) of n samples.

    The term tr(S) I is a ridge of D / (n - 1) mean eigenvalues of S: it halves the whitening at n = D, and fades. As
    n grows the result tends to D / (n - 1) times the inverse of S, so its scale is a convention and not a likelihood.

    Computed with a Cholesky factor in float64 (float32 on MPS), returned in the dtype of S. With tr(S) = 0, when there
    is nothing to estimate, the result is the identity.

    >>> ks_precision(torch.eye(2), n=3).diagonal().tolist()
    [0.5, 0.5]

    Raises ClipkitError: S not square, not finite, with negative variances, or n below 1.
    Source: arXiv:2402.04087, eq. 5, after Kubokawa and Srivastava, Estimation of the precision matrix of a singular
    Wishart distribution, Journal of Multivariate Analysis 99 (2008).
    """
    covariance = checks.features(covariance, "covariance")
    if covariance.shape[0] != covariance.shape[1] or (covariance.diagonal() < 0).any() or n < 1:
        raise ClipkitError(f"ks_precision wants a (D, D) covariance of n >= 1 samples, got {tuple(covariance.shape)} and n = {n}")
    eye = torch.eye(len(covariance), dtype=_wide(covariance), device=covariance.device)
    trace = covariance.trace().to(eye)
    if trace <= torch.finfo(covariance.dtype).tiny:
        return eye.to(covariance)
    return (len(eye) * _inverse((n - 1) * covariance.to(eye) + trace * eye)).to(covariance)


class GDA(Head):
    """Linear head from class means μ_c and a shared precision P: w_c = P μ_c, b_c = log π_c - μ_c^T P μ_c / 2.

    Its logits are meant to be added to zero-shot ones, `ensemble_logits(zs, head, alpha)`.

    Args:
        shrinkage: how the within-class covariance S becomes a precision. "ks": see `ks_precision`, the paper's.
            "ledoit_wolf", "oas": scikit-learn's estimators on the deviations from the class means. "ridge": inverse of
            S + `ridge` mean eigenvalues. "none": inverse, a pseudo-inverse where S is singular. "identity": the mean
            variance alone, which makes the head a nearest-mean rule.
        prior: "uniform" (the paper's, also for unbalanced supports) or "empirical" (shares of the support). Mind that
            with "ks" the quadratic part is off a likelihood's scale by about D / (n - 1), and so is a prior beside it.
        cov: "pooled" deviations of all classes over n - 1 (not n - C: the released code's choice), or "class_mean", the
            mean of the classes' own covariances, each over n_c - 1 (their base-to-new code); one feature gives none.

    Attributes after `fit`: weight_ (C, D), bias_ (C,), means_ (C, D), covariance_ and precision_ (D, D), counts_ (C,),
    n_ (samples). With one feature a class there is no deviation from the means: `precision_` is then the identity over
    the mean variance of the whole support around its centre (over 1 when that is 0 too), whatever `shrinkage` says.

    >>> x = torch.tensor([[1.0, 0.1], [0.9, -0.1], [0.1, 1.0], [-0.1, 0.9]])
    >>> GDA().fit(x, torch.tensor([0, 0, 1, 1])).predict_logits(x).argmax(1).tolist()
    [0, 0, 1, 1]

    Source: arXiv:2402.04087, eq. 2-6; github.com/mrflogs/ICLR24. That code inverts with a pseudo-inverse in float32,
    and counts ten views of each image as ten samples; here the caller decides which views to pass.
    """

    def __init__(self, shrinkage: str = "ks", prior: str = "uniform", cov: str = "pooled", ridge: float = 0.1):
        checks.one_of("shrinkage", shrinkage, SHRINKAGES)
        checks.one_of("prior", prior, ("uniform", "empirical"))
        checks.one_of("covariance", cov, ("pooled", "class_mean"))
        checks.positive(ridge=ridge)
        self.shrinkage, self.prior, self.cov, self.ridge = shrinkage, prior, cov, float(ridge)

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor | None = None, *, n_classes: int | None = None) -> GDA:
        """Means and precision of (N, D) features with (N,) labels.

        A class without a feature is synthesised from its row of (C, D) text weights (see `extend`, shared precision).

        Raises ClipkitError: shapes that do not match, NaN, a label out of range, a class with neither feature nor text.
        """
        features, labels, text_weights, n_classes = checks.support(features, labels, text_weights, n_classes)
        features = features.detach()
        features = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
        self.means_, self.counts_ = class_means(features, labels, n_classes)
        missing = (self.counts_ == 0).nonzero().flatten()
        if len(missing) and text_weights is None:
            raise ClipkitError(f"class {missing[0].item()} has no features ({len(missing)} such classes): pass text_weights, or drop them")
        self.n_, self.support_ = len(features), features
        deviations = features - self.means_[labels]
        self.covariance_ = self._covariance(deviations, labels)
        self.precision_ = self._precision(deviations)
        if len(missing):
            self.means_[missing] = self._synthesised(text_weights[missing].to(features), 64, 16)[0]
        share = self.counts_.clamp(min=1) / self.counts_.clamp(min=1).sum()
        self._bayes(share.to(features) if self.prior == "empirical" else features.new_full((n_classes,), 1 / n_classes))
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(M, C) logits x^T w_c + b_c of (M, D) features."""
        return checks.fitted(self, "weight_", features) @ self.weight_.T + self.bias_

    def extend(self, text_weights: Tensor, k: int = 64, text_copies: int = 16, precision: str = "new") -> GDA:
        """A head for classes without images, from their (C', D) text weights and the support's features.

        The mean of a new class is that of the k support features most similar to its text t and of `text_copies` times
        t itself. With precision="new" the covariance of those k features *around t* is shrunk by `ks_precision` for each
        class, and the precisions are averaged over the new classes; with "shared" the old classes' precision is kept,
        and the logits of old and new classes may stand side by side.

        Raises ClipkitError: not fitted, shapes that do not match, k or text_copies below 1.
        Source: the base-to-new part of github.com/mrflogs/ICLR24; it uses "new".
        """
        text = checks.fitted(self, "weight_", text_weights)
        checks.at_least(1, k=k, text_copies=text_copies)
        checks.one_of("precision", precision, ("new", "shared"))
        head = GDA(self.shrinkage, "uniform", self.cov, self.ridge)
        head.means_, neighbours = self._synthesised(text, k, text_copies)
        head.support_, head.n_, head.counts_ = self.support_, self.n_, torch.zeros(len(text), dtype=torch.int64, device=text.device)
        head.covariance_, head.precision_ = self.covariance_, self.precision_
        if precision == "new":
            k = neighbours.shape[1]
            around = neighbours - text[:, None]  # (C', k, D)
            total = torch.zeros_like(self.precision_)
            for rows in around:  # one class at a time: (C', D, D) would not fit for many classes
                total += ks_precision(rows.T @ rows / max(k - 1, 1), k)
            head.precision_ = total / len(text)
        head._bayes(text.new_full((len(text),), 1 / len(text)))
        return head

    def _synthesised(self, text: Tensor, k: int, copies: int) -> tuple[Tensor, Tensor]:
        """Means (C', D) of the nearest support features and the text, and those features (C', k, D)."""
        nearest = (text @ self.support_.T).topk(min(k, self.n_), dim=1).indices
        neighbours = self.support_[nearest]
        return (neighbours.sum(1) + copies * text) / (neighbours.shape[1] + copies), neighbours

    def _covariance(self, deviations: Tensor, labels: Tensor) -> Tensor:
        if self.cov == "pooled":
            return deviations.T @ deviations / max(self.n_ - 1, 1)
        several = self.counts_ > 1
        # a sum over classes of R_c^T R_c / (n_c - 1) is one product when every row carries its class's weight
        weight = torch.where(several, 1 / (self.counts_ - 1).clamp(min=1), 0).to(deviations) / several.sum().clamp(min=1)
        return deviations.T @ (deviations * weight[labels, None])

    def _precision(self, deviations: Tensor) -> Tensor:
        S, d = self.covariance_, deviations.shape[1]
        wide = _wide(S)
        eye = torch.eye(d, dtype=wide, device=S.device)
        variance = (S.trace() / d).to(wide)
        if self.counts_.max() < 2 or variance <= torch.finfo(S.dtype).tiny:
            spread = (self.support_ - self.support_.mean(0)).square().mean().to(wide)
            return (eye / torch.where(spread > torch.finfo(S.dtype).tiny, spread, 1)).to(S)
        if self.shrinkage == "ks":
            return ks_precision(S, self.n_)
        S = S.to(wide)
        if self.shrinkage == "none":
            return torch.linalg.pinv(S, hermitian=True, rtol=d * torch.finfo(deviations.dtype).eps).to(deviations)
        if self.shrinkage == "identity":
            return (eye / variance).to(deviations)
        if self.shrinkage == "ridge":
            return _inverse(S + self.ridge * variance * eye).to(deviations)
        share = _library_shrinkage(self.shrinkage, deviations)
        return _inverse((1 - share) * S + share * variance * eye).to(deviations)

    def _bayes(self, prior: Tensor) -> None:
        self.weight_ = self.means_ @ self.precision_
        self.bias_ = prior.log() - (self.weight_ * self.means_).sum(1) / 2


def covariance_spread(features: Tensor, labels: Tensor, axes: int = 8) -> tuple[float, float]:
    """How far the classes are from one covariance: spread of their own variances along the longest shared axes.

    Args:
        features: (N, D). labels: (N,), several features in each class that occurs. axes: at most D.

    Returns: the standard deviation, over classes and axes, of the logarithm of a class's own variance over the shared
        one, and about what sampling gives if all classes are Gaussian with one covariance, √(2 / (n_c - 1)).
    Raises ClipkitError: bad input, or no class with two features.
    """
    features, labels, _, n_classes = checks.support(features, labels)
    means, counts = class_means(features, labels, n_classes)
    several = counts > 1
    if axes < 1 or axes > features.shape[1] or not several.any():
        raise ClipkitError(f"covariance_spread needs 1 to {features.shape[1]} axes and a class with two features, got {axes} axes")
    keep = several[labels]
    deviations = features[keep] - means[labels[keep]]
    longest = torch.linalg.eigh((deviations.T @ deviations).to(_wide(features)))[1][:, -axes:].to(features)
    squares = (deviations @ longest).square()  # (N, axes)
    freedom = (counts[several] - 1).to(features)[:, None]
    own = features.new_zeros(n_classes, axes).index_add(0, labels[keep], squares)[several] / freedom
    ratio = own / (squares.sum(0) / freedom.sum())
    return ratio.clamp(min=torch.finfo(ratio.dtype).tiny).log().std(unbiased=False).item(), (2 / freedom).sqrt().mean().item()


def _library_shrinkage(name: str, deviations: Tensor) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage, oas

    x = deviations.double().cpu().numpy()
    share = ledoit_wolf_shrinkage(x, assume_centered=True) if name == "ledoit_wolf" else oas(x, assume_centered=True)[1]
    # without any noise left to average out the estimators divide 0 by 0
    return float(share) if math.isfinite(share) else 1.0


def _wide(x: Tensor) -> torch.dtype:
    """float64, which MPS does not have."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _inverse(a: Tensor) -> Tensor:
    """Inverse of a symmetric positive definite matrix, by its Cholesky factor."""
    return torch.cholesky_inverse(torch.linalg.cholesky(a))
