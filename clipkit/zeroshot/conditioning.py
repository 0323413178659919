"""Classification under an inferred context: guess what surrounds the object, then name it with prompts that say so.

Letters: N pictures, C classes, Z composite values of the context.
"""

from __future__ import annotations

import math

from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

POOLS = ("embed", "prob", "lse", "max")


def infer_context(logits: Tensor, tau: float = 1.0) -> Tensor:
    """p(z|x) (N, Z): softmax over contexts of logits / tau.

    Args:
        logits: f(y, z; x) (N, C, Z), summed over classes ("with class"); or f(z; x) (N, Z) of prompts that name no
            class ("without class").
        tau: trust in the inference; large: all contexts alike; math.inf is allowed; near 0: the best one alone.

    Source: arXiv:2308.01313, table 1. The released code exponentiates logits / tau without taking the maximum off
    first, which overflows for small tau; this is done in log-space.
    """
    _check(logits, tau)
    scaled = logits / tau
    return (scaled.logsumexp(1) if logits.ndim == 3 else scaled).softmax(-1)


def conditional_zeroshot(logits: Tensor, tau: float = 1.0, context_logits: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """p(y|x) = sum_z p(z|x) p(y|x,z), and p(z|x).

    Args:
        logits: (N, C, Z) scaled cosines f(y, z; x). tau: temperature of the first step, above 0 (math.inf allowed); the
            second step has none.
        context_logits: (N, Z) for the inference without class; None infers with class.

    Returns: probabilities (N, C), context (N, Z).
    Raises: ClipkitError for wrong shapes, NaN, tau not above 0.
    Source: arXiv:2308.01313, section 5 and algorithm 1.
    """
    if logits.ndim != 3:
        raise ClipkitError(f"conditioning takes logits (N, C, Z), got {tuple(logits.shape)}")
    if context_logits is not None and context_logits.shape != (len(logits), logits.shape[-1]):
        raise ClipkitError(f"context_logits must be (N, Z) = {(len(logits), logits.shape[-1])}, got {tuple(context_logits.shape)}")
    context = infer_context(logits if context_logits is None else context_logits, tau)
    _check(logits, tau)
    return (logits.softmax(1) * context[:, None]).sum(-1), context


def pool_contexts(logits: Tensor, how: str = "prob", tau: float = 1.0) -> Tensor:
    """The same prompts in one step: log-probabilities (N, C), up to a constant a picture.

    Args:
        logits: (N, C, Z).
        how: "prob": mean of each context's probabilities (conditioning at tau = infinity); "lse": log-sum-exp over
            contexts, tau log sum exp(f / tau) (at tau = 1 conditioning with class); "max": the best context of each
            class; "embed": mean of the logits, which is CLIP's mean of embeddings but for the second normalisation.
        tau: for "lse" only, above 0; towards 0 it becomes "max", at math.inf "embed".

    Raises: ClipkitError for an unknown way, wrong shapes, tau not above 0.
    """
    checks.one_of("way of pooling", how, POOLS)
    if logits.ndim != 3:
        raise ClipkitError(f"pooling takes logits (N, C, Z), got {tuple(logits.shape)}")
    _check(logits, tau)
    if how == "prob":
        return logits.log_softmax(1).logsumexp(-1) - math.log(logits.shape[-1])
    if how == "lse" and tau < math.inf:
        return (tau * (logits / tau).logsumexp(-1)).log_softmax(1)
    return (logits.amax(-1) if how == "max" else logits.mean(-1)).log_softmax(1)


def _check(logits: Tensor, tau: float) -> None:
    if logits.ndim not in (2, 3) or 0 in logits.shape[1:]:
        raise ClipkitError(f"context logits must be (N, C, Z) or (N, Z) with no empty axis, got {tuple(logits.shape)}")
    checks.positive(tau=tau if tau != math.inf else None)
    checks.finite(logits, "logits")
