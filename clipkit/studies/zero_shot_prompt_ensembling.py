"""What there is to measure about a pool of prompts: what its scores follow, and how the weights' settings matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from clipkit.metrics import percent_right
from clipkit.studies.zero_shot_prompt_ensembling_bias import rank_correlation
from clipkit.zeroshot.weighting import prompt_scores, prompt_weights, weighted_classifier


def accuracy(features: Tensor, weights: Tensor, labels: Tensor) -> float:
    """Percent of pictures, features (N, D), whose nearest class, weights (C, D), is their label (N,)."""
    return percent_right(features @ weights.T, labels)


def alone(features: Tensor, text_features: Tensor, labels: Tensor) -> np.ndarray:
    """(P,) accuracy of each prompt used alone; text_features (P, C, D)."""
    return np.array([accuracy(features, weights, labels) for weights in text_features])


def follows(scores: Mapping[str, Tensor], own: np.ndarray, frequency: np.ndarray | None, share: np.ndarray | None) -> dict[str, float]:
    """Rank correlations over the prompts of each score (P,) with the accuracy of the prompt alone, under the score's name,
    with the frequency of its words ("words_" before the name) and with the share of pictures that show what it names
    ("concept_"), where these are known; and of the accuracy with the frequency, "words_own"."""
    row = {arm: rank_correlation(score.cpu(), own) for arm, score in scores.items()}
    for kind, values in (("words", frequency), ("concept", share)):
        if values is not None:
            row |= {f"{kind}_{arm}": rank_correlation(score.cpu(), values) for arm, score in scores.items()}
    return row if frequency is None else row | {"words_own": rank_correlation(own, frequency)}


def effective(weights: Tensor) -> float:
    """How many prompts equal weights would spread over: 1 / sum of squared weights.

    >>> import torch
    >>> effective(torch.tensor([0.5, 0.5, 0.0]))
    2.0
    """
    return 1 / (weights**2).sum().item()


def heated(features: Tensor, labels: Tensor, text_features: Tensor, scores: Tensor, temperatures: Sequence[float]) -> dict[str, float]:
    """Accuracy ("heat_T") and effective number of prompts ("effective_T") at temperatures T of the softmax over scores."""
    row = {}
    for heat in temperatures:
        weights = prompt_weights(scores, temperature=heat)
        row[f"heat_{heat:g}"] = accuracy(features, weighted_classifier(text_features, weights), labels)
        row[f"effective_{heat:g}"] = effective(weights)
    return row


def from_few(
    features: Tensor, labels: Tensor, text_features: Tensor, pretrain_features: Tensor, scale: float, sizes: Mapping[str, int]
) -> dict[str, float]:
    """Accuracy on all pictures with weights set by the first so many of them; sizes: arm -> how many. Pictures in random order."""
    row = {}
    for arm, size in sizes.items():
        weights = prompt_weights(prompt_scores(features[: max(1, size)], text_features, pretrain_features, scale=scale))
        row[arm] = accuracy(features, weighted_classifier(text_features, weights), labels)
    return row
