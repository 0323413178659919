"""Classes without labels as a mixture of Gaussians with one covariance, fitted by EM from zero-shot posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

PRIORS = ("uniform", "estimated")
EMPTY = 1e-6  # a class with less than this share of one picture has nothing to take a mean of


@dataclass(frozen=True, eq=False)
class Mixture:
    """A fitted mixture; `predict_logits` gives log π_c - (x - μ_c)^T P (x - μ_c) / 2 without what all classes share.

    Attributes: means_ (C, D), precision_ (D, D), shares_ (C,), posterior_ (N, C) of the pictures it was fitted on,
    likelihoods_: mean log-likelihood of a picture before each M-step but the first.
    """

    means_: Tensor
    precision_: Tensor
    shares_: Tensor
    posterior_: Tensor
    likelihoods_: tuple[float, ...]

    def predict_logits(self, features: Tensor) -> Tensor:
        """(M, C) logits of (M, D) features; their softmax is the posterior."""
        features = checks.fitted(self, "means_", features)
        weight = self.means_ @ self.precision_
        return features @ weight.T + self.shares_.clamp(min=1e-30).log() - 0.5 * (weight * self.means_).sum(1)


def gmm_em(
    features: Tensor,
    posterior: Tensor,
    n_iter: int = 20,
    prior: str = "uniform",
    ridge: float | None = None,
    labelled: tuple[Tensor, Tensor] | None = None,
    classes: Sequence[int] | None = None,
    tol: float = 0.0,
) -> Mixture:
    """EM for a mixture of C Gaussians with a shared covariance, started from given posteriors.

    Args:
        features: (N, D) unlabelled. posterior: (N, C), rows sum to 1; zero-shot probabilities, say.
        n_iter: M-steps; each is followed by an E-step. 0 is not allowed: there would be no mixture.
        prior: "uniform", or "estimated" (class shares by maximum likelihood; they can run away from rare classes).
        ridge: added to the covariance, in mean eigenvalues; None for D / (N - 1), what `ks_precision` adds.
        labelled: features (L, D) and labels (L,) whose posteriors stay fixed (semi-supervised).
        classes: the only ones that unlabelled pictures can belong to; None for all.
        tol: stop when a picture's mean log-likelihood gains less.

    A class that no picture belongs to keeps the mean it had; from the start it has the mean of all pictures.
    With ridge=0 the likelihood never falls. Computed in float64, returned in the dtype of the features.

    Raises ClipkitError: shapes that do not match, NaN, rows that do not sum to 1, n_iter below 1, a singular covariance.
    Source: arXiv:2402.04087, the unsupervised extension (EM from zero-shot; its code is not released, so starting point
    and shrinkage are ours); Dempster, Laird and Rubin, J. R. Stat. Soc. B 39 (1977).
    """
    features, posterior = checks.features(features), checks.probabilities(posterior, "posterior")
    x, r = features.double(), posterior.double()
    if len(x) != len(r):
        raise ClipkitError(f"{len(x)} pictures and {len(r)} rows of the posterior do not go together; give one a picture")
    checks.at_least(1, n_iter=n_iter)
    checks.at_least(0, ridge=ridge)
    checks.one_of("prior", prior, PRIORS)
    n, closed = len(x), torch.ones(r.shape[1], dtype=torch.bool, device=x.device)
    if classes is None:
        closed[:] = False
    else:
        closed[torch.as_tensor(classes, device=x.device)] = False
    if labelled is not None:
        known = checks.features(labelled[0], "labelled features", x.shape[1])
        y = checks.labels(labelled[1], len(known), r.shape[1]).to(x.device)
        x = torch.cat([x, known.to(x)])
        r = torch.cat([r, torch.nn.functional.one_hot(y, r.shape[1]).to(r)])
    d, c = x.shape[1], r.shape[1]
    ridge = d / max(1, len(x) - 1) if ridge is None else ridge
    means, likelihoods = x.mean(0).expand(c, d), []
    for _ in range(n_iter):
        mass = r.sum(0)  # (C,) M-step
        means = torch.where(mass[:, None] > EMPTY, r.T @ x / mass.clamp(min=EMPTY)[:, None], means)
        shares = mass / len(x) if prior == "estimated" else x.new_full((c,), 1 / c)
        factor = _factor(_covariance(x, r, means), ridge)
        logits = _log_joint(x, means, shares, factor)  # E-step
        likelihoods.append(logits[:n].logsumexp(1).mean().item())
        r = torch.cat([logits[:n].masked_fill(closed, -torch.inf).softmax(1), r[n:]])
        if len(likelihoods) > 1 and likelihoods[-1] - likelihoods[-2] < tol:
            break
    precision = torch.cholesky_inverse(factor)
    results = [t.to(features) for t in (means, precision, shares, r[:n])]
    return Mixture(*results, tuple(likelihoods))


def _covariance(x: Tensor, r: Tensor, means: Tensor) -> Tensor:
    """(D, D) mean over pictures and classes of r (x - μ)(x - μ)^T, expanded so that no (N, C, D) is made."""
    x = x - (centre := x.mean(0))
    m = means - centre
    cross = x.T @ (r @ m)
    return (x.T @ (r.sum(1, keepdim=True) * x) - cross - cross.T + (m.T * r.sum(0)) @ m) / r.sum()


def _factor(covariance: Tensor, ridge: float) -> Tensor:
    eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    factor, wrong = torch.linalg.cholesky_ex(covariance + ridge * covariance.trace() / len(covariance) * eye)
    if wrong or not torch.isfinite(factor).all():
        raise ClipkitError(f"the covariance of {len(covariance)} dimensions is singular; give ridge a positive value, or more pictures")
    return factor


def _log_joint(x: Tensor, means: Tensor, shares: Tensor, factor: Tensor) -> Tensor:
    """(N, C) log π_c + log N(x; μ_c, Σ), Σ = L L^T."""
    white = torch.linalg.solve_triangular(factor, torch.cat([x, means]).T, upper=False).T  # L^-1 x
    square = torch.cdist(white[: len(x)], white[len(x) :]).square()
    constant = 0.5 * x.shape[1] * torch.tensor(2 * torch.pi).log() + factor.diagonal().log().sum()
    return shares.clamp(min=1e-300).log() - 0.5 * square - constant
