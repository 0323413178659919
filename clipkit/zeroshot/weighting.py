"""Zero-shot prompt ensembling: which prompts of a large pool to trust, told by unlabelled pictures alone.

Logits are linear in the picture's feature, so subtracting mean logits is subtracting a mean feature:

    l_npc - 1/2 (mean_m l_mpc + mean_n l_npc) = s (z_n - 1/2 (mean_m r_m + mean_n z_n)) . t_pc

One vector a data set replaces M x P x C logits of pretraining pictures, and what is left is a maximum over classes,
taken block by block.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

DEBIAS = ("both", "pretrain", "test", "none")
MODES = ("softmax", "raw", "equal")
BLOCK = 2**22  # logits held at a time


@torch.no_grad()
def prompt_scores(
    image_features: Tensor,
    text_features: Tensor,
    pretrain_features: Tensor | None = None,
    *,
    scale: Tensor | float = 100.0,
    debias: str = "both",
    test_features: Tensor | None = None,
    per_image: bool = False,
    block: int = BLOCK,
) -> Tensor:
    """Score of each prompt: its largest centred logit over the classes, averaged over unlabelled pictures.

    Args:
        image_features: (N, D) unit-norm features z of the pictures to classify. text_features: (P, C, D) features t of
            prompt p filled with class c.
        pretrain_features: features r (M, D) of pictures like those of pretraining, or their mean (D,).
        scale: s; scores are in logits, so the softmax over them depends on it.
        debias: mean logits taken off first: "both" (half of each), "pretrain", "test" or "none".
        test_features: pictures whose mean is the test mean; default `image_features`.
        per_image: no average over the pictures.
        block: most logits in memory.

    Returns: (P,), or (N, P) per image; dtype and device of `image_features`.
    Raises: ClipkitError for shapes that do not fit, NaN, an unknown `debias`, or pretraining pictures that are missing.
    Source: arXiv:2302.06235, algorithm 1 and section 3.3; the released code (google/uncertainty-baselines), which
    takes its share of the test pictures for the test mean only (here `test_features`).
    """
    _check(image_features, text_features)
    (n, d), (p, c, _) = image_features.shape, text_features.shape
    z = image_features - centre(image_features if test_features is None else test_features, pretrain_features, debias)
    z = z * scale
    t = text_features.to(image_features)
    scores = z.new_empty((n, p)) if per_image else z.new_zeros(p)
    rows = max(1, min(n, 1024, block // c))  # pictures a block
    prompts = max(1, block // (rows * c))  # prompts a block
    for low in range(0, p, prompts):
        some = t[low : low + prompts].reshape(-1, d).T  # (D, p' C)
        for start in range(0, n, rows):
            highest = (z[start : start + rows] @ some).view(-1, some.shape[1] // c, c).amax(-1)  # (n', p')
            if per_image:
                scores[start : start + rows, low : low + prompts] = highest
            else:
                scores[low : low + prompts] += highest.sum(0) / n
    return scores


def centre(test_features: Tensor, pretrain_features: Tensor | None = None, debias: str = "both") -> Tensor:
    """The feature (D,) to subtract from every picture's: means over test (N, D) and pretraining pictures (M, D) or (D,)."""
    checks.one_of("debias", debias, DEBIAS)
    if debias == "none":
        return test_features.new_zeros(test_features.shape[-1])
    if debias == "test":
        return test_features.mean(0)
    if pretrain_features is None:
        raise ClipkitError(f"debias={debias!r} needs pretrain_features, pictures like those of pretraining; or take debias='test'")
    if pretrain_features.shape[-1] != test_features.shape[-1] or pretrain_features.ndim > 2 or not pretrain_features.numel():
        shapes = f"{tuple(pretrain_features.shape)} and {tuple(test_features.shape)}"
        raise ClipkitError(f"pretrain_features (M, D) or (D,) must share the last dimension of the pictures: {shapes}")
    pretrain = checks.finite(pretrain_features, "pretrain_features").to(test_features)
    pretrain = pretrain.mean(0) if pretrain.ndim == 2 else pretrain
    return pretrain if debias == "pretrain" else (pretrain + test_features.mean(0)) / 2


def prompt_weights(scores: Tensor, mode: str = "softmax", threshold: float | None = None, temperature: float = 1.0) -> Tensor:
    """Weights that sum to one over the prompts.

    Args:
        scores: (P,) from `prompt_scores`, or (N, P).
        mode: "softmax" of scores / temperature; "raw" scores (all kept ones must be positive); "equal".
        threshold: prompt selection: keep p where (score - median) / MAD > threshold, weight 0 to the others; None keeps
            all. Where none passes, the best one is kept (the released code then has no classifier, accuracy 0). The
            MAD is the plain median of absolute deviations; where it is 0, what lies above the median is infinitely far.

    Returns: weights of the shape of `scores`.
    Raises: ClipkitError: unknown mode, scores that are not finite or without prompts, temperature not above 0, raw
        scores below 0.
    Source: arXiv:2302.06235, sections 3.4 and 3.5; thresholds there: 0.5 for ImageNet and its variants, 2 for others.

    >>> prompt_weights(torch.tensor([1.0, 2.0, 3.0, 9.0]), "equal", threshold=1.5)
    tensor([0., 0., 0., 1.])
    """
    checks.one_of("mode", mode, MODES)
    if scores.ndim not in (1, 2) or not scores.numel():
        raise ClipkitError(f"scores must be (P,) or (N, P) with P at least 1; got shape {tuple(scores.shape)}")
    checks.finite(scores, "scores")
    checks.positive(temperature=temperature)
    kept = torch.ones_like(scores, dtype=torch.bool) if threshold is None else selected(scores, threshold)
    if mode == "softmax":
        return (scores / temperature).masked_fill(~kept, -math.inf).softmax(-1)
    raw = torch.where(kept, scores if mode == "raw" else torch.ones_like(scores), torch.zeros_like(scores))
    if (raw < 0).any() or not (raw.sum(-1) > 0).all():
        raise ClipkitError("raw scores serve as weights only when they are positive; use mode='softmax'")
    return raw / raw.sum(-1, keepdim=True)


def selected(scores: Tensor, threshold: float) -> Tensor:
    """Which prompts pass, bool of the shape of `scores` (P,) or (N, P); always at least the best one."""
    middle = _median(scores)
    away = scores - middle
    mad = _median(away.abs())
    distance = torch.where(mad > 0, away / mad, torch.where(away == 0, away, away.sign() * math.inf))
    best = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, scores.argmax(-1, keepdim=True), True)
    passed = distance > threshold
    return torch.where(passed.any(-1, keepdim=True), passed, best)


def weighted_classifier(text_features: Tensor, weights: Tensor | None = None, normalise: bool = False) -> Tensor:
    """A classifier (C, D): the weighted mean of each class's prompts.

    Args:
        text_features: (P, C, D). weights: (P,), summing to one; None: equal ones.
        normalise: bring each class to length one, as CLIP's ensembles do. Without it the logits are the weighted mean
            of the single prompts' logits, as in the paper and its code.

    Raises: ClipkitError for shapes that do not fit.
    """
    if text_features.ndim != 3 or (weights is not None and weights.shape != text_features.shape[:1]):
        shapes = f"{tuple(text_features.shape)} and {None if weights is None else tuple(weights.shape)}"
        raise ClipkitError(f"weighted_classifier takes (P, C, D) text features and (P,) weights, got {shapes}")
    if weights is None:
        mean = text_features.mean(0)
    else:
        mean = torch.tensordot(weights.to(text_features), text_features, dims=1)
    return torch.nn.functional.normalize(mean, dim=-1) if normalise else mean


def _median(x: Tensor) -> Tensor:
    """Median over the last axis, kept as an axis; the mean of the middle two for an even number, unlike torch's."""
    ordered = x.sort(-1).values
    k = x.shape[-1]
    return (ordered[..., (k - 1) // 2 : (k - 1) // 2 + 1] + ordered[..., k // 2 : k // 2 + 1]) / 2


def _check(image_features: Tensor, text_features: Tensor) -> None:
    image, text = tuple(image_features.shape), tuple(text_features.shape)
    if image_features.ndim != 2 or text_features.ndim != 3 or image[-1] != text[-1] or not image_features.numel() * text_features.numel():
        raise ClipkitError(f"prompt scores take (N, D) image features and (P, C, D) text features, none empty; got {image} and {text}")
    checks.finite(image_features, "image features")
    checks.finite(text_features, "text features")
