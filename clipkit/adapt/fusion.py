"""Logit bias: what a few-shot method adds to the zero-shot scores, and how much of it to take.

Most heads on CLIP features can be written zero-shot logits + weight x bias. They differ in the features the bias
looks at, in the predictor that makes it, and in the weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

KINDS = ("kurtosis", "entropy", "margin", "none")
PAPER_REFERENCE = {"kurtosis": 250.0, "entropy": 0.0, "margin": 1.0, "none": 1.0}
LEAST_MARGIN = 0.01  # below it two classes count as tied: a weight must stay finite


def zscore(scores: Tensor) -> Tensor:
    """Each row of (N, C) brought to mean 0 and unbiased standard deviation 1; a constant row becomes zeros.

    Source: arXiv:2404.08958, and `logit_normalize` of its code (which gives NaN for a constant row).
    """
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ClipkitError(f"z-scores over classes need (N, C) scores with at least two classes, got {tuple(scores.shape)}")
    centred = scores - scores.mean(1, keepdim=True)
    std = centred.square().sum(1, keepdim=True).div(scores.shape[1] - 1)
    return centred * torch.where(std > 0, std, 1).rsqrt()


def uncertainty_statistic(probs: Tensor, kind: str = "kurtosis") -> Tensor:
    """One number (N, 1) for each row of probabilities (N, C).

    kind: "kurtosis", the fourth moment of the row's own probabilities, z-scored with the unbiased deviation: between
        1.5 and 3 for most flat rows, about C - 4 for a certain one; a row that is flat to the last digit gets the
        least value possible, ((C - 1)/C)^2. "entropy", divided by log C, from 0 (certain) to 1 (flat).
        "margin", the largest probability minus the second. "none", ones.

    Raises ClipkitError: an unknown kind, fewer than two classes, rows that are not probabilities.
    """
    checks.one_of("kind of uncertainty", kind, KINDS)
    probs = checks.probabilities(probs)
    if probs.shape[1] < 2:
        raise ClipkitError("uncertainty needs the probabilities of at least two classes")
    C = probs.shape[1]
    if kind == "kurtosis":
        moment = zscore(probs).pow(4).mean(1, keepdim=True)
        return moment.clamp_min(((C - 1) / C) ** 2)
    if kind == "entropy":
        return torch.special.entr(probs).sum(1, keepdim=True) / torch.log(probs.new_tensor(float(C)))
    if kind == "margin":
        two = probs.topk(2, dim=1).values
        return two[:, :1] - two[:, 1:]
    return probs.new_ones(len(probs), 1)


def uncertainty_weight(probs: Tensor, kind: str = "kurtosis", rho: float = 0.4, ref: float | Tensor | None = None) -> Tensor:
    """kappa (N, 1): above 1 where the zero-shot probabilities (N, C) are less certain than the reference, below 1 where more.

    kurtosis: (m4 / ref)^-rho.   entropy: exp(rho (H - ref)).   margin: (max(gap, 0.01) / ref)^-rho.   none: 1.

    Args:
        rho: at least 0; 0 weighs all alike.
        ref: the value of `uncertainty_statistic` that gets the weight 1. None takes the median of these rows;
            `PAPER_REFERENCE[kind]` is what the paper's code has, its 250 being meant for the 1,000 classes of ImageNet.

    Raises ClipkitError: see `uncertainty_statistic`; a negative rho, a reference that is not positive.

    >>> uncertainty_weight(torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]]), "entropy").flatten().diff() < 0
    tensor([True])

    Source: arXiv:2404.08958 (uncertainty-based fusion); `uncertainty` in its code, whose kinds "moment" and "entropy" are these
    with the reference fixed. Its "top5" takes the gap to the fifth class, our margin the gap to the second.
    """
    checks.at_least(0, rho=rho)
    value = uncertainty_statistic(probs, kind)
    if kind == "none":
        return value
    if kind == "margin":
        value = value.clamp_min(LEAST_MARGIN)
    ref = value.median() if ref is None else torch.as_tensor(ref, dtype=value.dtype, device=value.device)
    if not torch.isfinite(ref).all() or (ref < 0).any() or (kind != "entropy" and (ref == 0).any()):
        raise ClipkitError(f"the reference of {kind} must be a positive number, got {ref.tolist()}")
    return (rho * (value - ref)).exp() if kind == "entropy" else (value / ref).pow(-rho)


def complementarity(predicted_a: Tensor, predicted_b: Tensor, labels: Tensor) -> dict[str, float]:
    """How two classifiers' errors overlap, as shares of the N pictures.

    Args: predicted_a, predicted_b, labels: (N,) integers.
    Returns: accuracy_a, accuracy_b; only_a, only_b (right alone); both; neither; disagreement (different answers);
        union (an oracle that picks the right one of the two: both + only_a + only_b).
    """
    a, b, y = (checks.labels(v, len(labels)) for v in (predicted_a, predicted_b, labels))
    right_a, right_b = a == y.to(a), b == y.to(b)
    shares = {
        "accuracy_a": right_a,
        "accuracy_b": right_b,
        "both": right_a & right_b,
        "only_a": right_a & ~right_b,
        "only_b": ~right_a & right_b,
        "neither": ~(right_a | right_b),
        "disagreement": a != b,
        "union": right_a | right_b,
    }
    return {name: share.double().mean().item() for name, share in shares.items()}
