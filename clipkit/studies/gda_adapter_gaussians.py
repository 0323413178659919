"""Gaussian classes whose means and covariance are known, and the accuracy that Bayes' rule reaches on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right


@dataclass(frozen=True, eq=False)
class KnownGaussians:
    """C Gaussian classes in D dimensions with one covariance.

    Attributes: means (C, D), covariance (D, D), root (D, D) with root root^T = covariance; all float64.
    """

    means: Tensor
    covariance: Tensor
    root: Tensor

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n features of each class, class by turns: (n C, D) float64 and (n C,) int64. A smaller n is the start of a larger one."""
        if n < 1:
            raise ClipkitError(f"n must be at least 1, got {n}")
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(len(self.means)).repeat(n)
        noise = torch.stack([torch.randn(self.means.shape, generator=generator, dtype=torch.float64) for _ in range(n)])
        return self.means[labels] + noise.flatten(0, 1) @ self.root.T, labels

    def bayes_logits(self, features: Tensor) -> Tensor:
        """Logits (N, C) of the best classifier there is, for equal priors."""
        weight = torch.linalg.solve(self.covariance, self.means.T).T
        return features.to(weight) @ weight.T - (weight * self.means).sum(1) / 2


def known_gaussians(n_classes: int = 10, d: int = 64, decay: float = 1.5, distance: float = 4.5, seed: int = 0) -> KnownGaussians:
    """Classes with a covariance whose eigenvalues fall like i^-decay (mean 1) along random axes.

    The means scatter along every axis in proportion to the noise there, so that every axis carries the same
    information, `distance` being the typical Mahalanobis distance of two means. A rule that measures plain distances
    sees the few long axes only.

    Raises ClipkitError for sizes below 1 or a negative decay or distance.
    """
    if min(n_classes, d) < 1 or min(decay, distance) < 0:
        raise ClipkitError(f"n_classes and d must be at least 1, decay and distance at least 0; got {n_classes}, {d}, {decay}, {distance}")
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    spectrum = torch.arange(1, d + 1, dtype=torch.float64) ** -decay
    root = axes * (spectrum * d / spectrum.sum()).sqrt()
    means = torch.randn(n_classes, d, generator=generator, dtype=torch.float64) * distance / (2 * d) ** 0.5
    return KnownGaussians(means @ root.T, root @ root.T, root)


def learning_curves(heads: Mapping[str, object], sizes: Sequence[int], seeds: Sequence[int], n_test: int = 200, **world) -> list[dict]:
    """Accuracy of heads on known Gaussians against examples a class, with "bayes_rule" as the ceiling.

    Args:
        heads: arm -> estimator with fit(features, labels) and predict_logits. sizes: examples a class.
        seeds: each has its own world, support and test examples, `n_test` a class. world: of `known_gaussians`.

    Returns: a row {"seed", "shots", "arm", "value"} for each, value in percent.
    """
    rows = []
    for seed in seeds:
        truth = known_gaussians(seed=seed, **world)
        (x, y), (test, labels) = truth.sample(max(sizes), 2 * seed), truth.sample(n_test, 2 * seed + 1)
        for k in sizes:
            few = slice(k * len(truth.means))
            logits = {arm: head.fit(x[few], y[few]).predict_logits(test) for arm, head in heads.items()}
            for arm, guess in (logits | {"bayes_rule": truth.bayes_logits(test)}).items():
                right = percent_right(guess, labels)
                rows.append({"seed": seed, "shots": k, "arm": arm, "value": right})
    return rows
