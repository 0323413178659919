"""Tip-X: a second affinity beside the cosine, between what picture and key look like in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import torch
from torch import Tensor

from clipkit import checks
from clipkit.adapt.cache import ALPHAS, BETAS, CHUNK, cache_logits
from clipkit.errors import ClipkitError
from clipkit.heads import Head

GAMMAS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0)  # for a logit scale of 100
SIGNATURES, RESCALES = ("class", "feature"), ("support", "batch")


def log_signatures(features: Tensor, text_weights: Tensor, temperature: float = 0.5, signature: str = "class") -> Tensor:
    """Log-probabilities of softmax(f W^T / T) (N, C): how a feature is spread over the classes' texts.

    signature="feature": softmax(f / T) (N, D) over the entries of the feature itself, which is what
    CapS-Adapter's released code computes (it overwrites f W^T with f); arXiv:2405.16591 and SuS-X have "class".

    Raises ClipkitError: an unknown signature, a temperature not above 0, shapes that do not match, NaN.
    """
    checks.one_of("signature", signature, SIGNATURES)
    checks.positive(temperature=temperature)
    features = checks.features(features)
    if signature == "class":
        features = features @ checks.features(text_weights, "text weights", features.shape[1]).to(features).T
    return (features / temperature).log_softmax(1)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p_i || q_j) (N, M) of log-probabilities (N, S) and (M, S): one product of matrices, at least 0.

    Both are taken relative to the mean of log_q, so that the small difference of two large sums keeps its digits.
    """
    middle = log_q.mean(0)
    p = log_p.exp()
    return ((p * (log_p - middle)).sum(1, keepdim=True) - p @ (log_q - middle).T).clamp(min=0)


def _range(x: Tensor) -> tuple[float, float]:
    return x.min().item(), x.max().item()


def _widest(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


class TipX(Head):
    """logits = scale f W^T + alpha exp(-beta (1 - A)) L + gamma psi(-D) L, A cosines to the keys, D divergences.

    Training-free. gamma = 0 is Tip-Adapter. Because D is linear in log q, summing it over a class's keys needs only
    the sum of their log-signatures: the third term is a linear classifier on softmax(f W^T / T).

    Args:
        alpha, beta, gamma: at least 0. scale: the model's logit scale.
        temperature, signature: see `log_signatures`.
        rescale: psi brings -D to the range of the cosines. "batch": by the smallest and largest divergence and cosine of
            these N x M pairs, as in the papers' code, so that a picture's affinity depends on its company; "support": by
            those of the keys among themselves, so that it does not (and the affinity can leave the range).

    Attributes after `fit`: keys_ (M, D), labels_ (M,), text_weights_ (C, D). After `search`: chosen_.

    Source: arXiv:2211.16198, eq. 5, and github.com/vishaal27/SuS-X. Deliberate differences: that code leaves D = 0
    for the last N mod 100 test rows, rescales the test divergences to the cosines of the validation pictures, and
    multiplies by 100 whatever the model. It takes -psi(D) for psi(-D), which adds the same number to every affinity: no
    prediction changes while each class has the same number of keys.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 5.5,
        gamma: float = 1.0,
        scale: float = 100.0,
        temperature: float = 0.5,
        signature: str = "class",
        rescale: str = "support",
    ):
        checks.at_least(0, alpha=alpha, beta=beta, gamma=gamma)
        checks.positive(scale=scale)
        checks.one_of("way to rescale", rescale, RESCALES)
        self.alpha, self.beta, self.gamma, self.scale = float(alpha), float(beta), float(gamma), float(scale)
        self.temperature, self.signature, self.rescale = temperature, signature, rescale

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> TipX:
        """Keep (M, D) features and (M,) labels beside (C, D) text weights, all unit norm.

        Raises ClipkitError: shapes that do not match, NaN, features that are not of unit length, a label out of range.
        """
        self.keys_, self.labels_, self.text_weights_, _ = checks.support(features, labels, text_weights)
        checks.unit(self.keys_)
        log_q = log_signatures(self.keys_, self.text_weights_, self.temperature, self.signature)
        self._log_q, self._middle, self._support_range = log_q, log_q.mean(0), None
        zeros = log_q.new_zeros(len(self.text_weights_), log_q.shape[1])
        self._sums = zeros.index_add(0, self.labels_, log_q - self._middle)  # (C, S)
        self._counts = torch.bincount(self.labels_, minlength=len(self.text_weights_)).to(log_q)  # (C,)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of (N, D) unit-norm features."""
        features = checks.unit(checks.fitted(self, "keys_", features))
        zero_shot, kl = self._without_votes(features)
        return zero_shot + self.gamma * kl + self.alpha * self._votes(features)

    def search(
        self,
        features: Tensor,
        labels: Tensor,
        alphas: Sequence[float] | None = None,
        betas: Sequence[float] = BETAS,
        gammas: Sequence[float] | None = None,
        **more: Sequence[float],
    ) -> TipX:
        """Set alpha, beta and gamma to the best accuracy on (N, D) validation features and (N,) labels.

        The grid is ALPHAS x BETAS x GAMMAS, the first and the last times scale / 100. Of equals the smallest alpha is
        kept, then gamma, then what `more` names, then beta: what is nearest to zero-shot. The papers' code tries 200,000
        triples on a hand-set range.
        """
        features = checks.unit(checks.fitted(self, "keys_", features))
        labels = checks.labels(labels, len(features), len(self.text_weights_)).to(self.keys_.device)
        alphas = sorted(a * self.scale / 100 for a in ALPHAS) if alphas is None else sorted(alphas)
        gammas = sorted(g * self.scale / 100 for g in GAMMAS) if gammas is None else sorted(gammas)
        if not (alphas and gammas and len(betas) and all(len(v) for v in more.values())):
            raise ClipkitError("search needs at least one value of each number it searches")
        best: tuple | None = None
        block = max(1, CHUNK // (len(features) * len(self.text_weights_)))  # alphas that are tried at a time
        for rest in product(*map(sorted, more.values())):
            for name, value in zip(more, rest, strict=True):
                setattr(self, name, float(value))
            zero_shot, kl = self._without_votes(features)
            bases = [(gamma, zero_shot + gamma * kl) for gamma in gammas]
            for beta in sorted(betas):
                self.beta = float(beta)
                votes = self._votes(features)
                for at in range(0, len(alphas), block):
                    scaled = votes.new_tensor(alphas[at : at + block])[:, None, None] * votes  # (alphas, N, C)
                    for gamma, base in bases:
                        hits = ((base + scaled).argmax(2) == labels).sum(1).tolist()
                        some = [(-right, a, gamma, *rest, beta) for right, a in zip(hits, alphas[at : at + block], strict=True)]
                        best = min(some) if best is None else min(best, *some)
        right, *values = best
        self.chosen_ = dict(zip(("alpha", "gamma", *more, "beta"), map(float, values), strict=True))
        for name, value in self.chosen_.items():
            setattr(self, name, value)
        self.chosen_["validation"] = 100 * -right / len(labels)
        return self

    def _without_votes(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-shot logits and the summed divergence affinity, (N, C) each."""
        return self.scale * features @ self.text_weights_.T, self._kl_sums(features)

    def _votes(self, features: Tensor) -> Tensor:
        """(N, C): exp(-beta (1 - A)) L."""
        return cache_logits(features, self._mixed_keys(), self.labels_, self.beta, n_classes=len(self.text_weights_))

    def _mixed_keys(self) -> Tensor:
        """(M, D): A = f times these."""
        return self.keys_

    def _kl_sums(self, features: Tensor) -> Tensor:
        """(N, C): psi(-D) summed over the keys of each class."""
        log_p = log_signatures(features, self.text_weights_, self.temperature, self.signature)
        p = log_p.exp()
        own = (p * (log_p - self._middle)).sum(1, keepdim=True)
        divergence = own * self._counts - p @ self._sums.T
        if self.rescale == "batch":
            low, high = self._kl_range(log_p)
        else:
            self._support_range = low, high = self._support_range or self._kl_range(self._log_q)
        bottom, top = self._affinity_range(features if self.rescale == "batch" else self.keys_)
        slope = (top - bottom) / (high - low) if high > low else 0.0
        return top * self._counts - slope * (divergence - low * self._counts)

    def _kl_range(self, log_p: Tensor) -> tuple[float, float]:
        return _widest(_range(kl_divergence(part, self._log_q)) for part in log_p.split(max(1, CHUNK // len(self.keys_))))

    def _affinity_range(self, features: Tensor) -> tuple[float, float]:
        keys = self._mixed_keys().T
        return _widest(_range(part @ keys) for part in features.split(max(1, CHUNK // len(self.keys_))))
