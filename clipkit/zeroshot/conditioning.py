"""Classification under an inferred context: guess what surrounds the object, then name it with prompts that say so.

Letters: N pictures, C classes, Z composite values of the context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.errors import ClipkitError, unknown
from clipkit.zeroshot.classifier import fill_templates

POOLS = ("embed", "prob", "lse", "max")


@dataclass(frozen=True)
class AttributeSpace:
    """Contextual attributes: name -> value -> phrases that say it (an empty phrase says nothing).

    >>> space = AttributeSpace({"place": {"snow": ["in the snow"], "other": [""]}, "size": {"small": ["tiny", "small"]}})
    >>> space.compose()
    [('snow', 'small'), ('other', 'small')]
    >>> space.prompts("a photo of a {}")[0]
    ['a photo of a {}, in the snow, tiny', 'a photo of a {}, in the snow, small']
    """

    attributes: Mapping[str, Mapping[str, Sequence[str]]]

    def __post_init__(self):
        if not self.attributes:
            raise ClipkitError("an attribute space needs at least one attribute")
        for name, values in self.attributes.items():
            for value, phrases in values.items():
                if isinstance(phrases, str) or not len(phrases):
                    raise ClipkitError(f"attribute {name!r}: the value {value!r} needs a list of phrases; [''] says nothing about it")
            if not values:
                raise ClipkitError(f"attribute {name!r} has no values; give at least one")

    def _chosen(self, names: Sequence[str] | None) -> list[str]:
        names = list(self.attributes) if names is None else list(names)
        for name in names:
            if name not in self.attributes:
                raise unknown("attribute", name, self.attributes)
        return names

    def compose(self, names: Sequence[str] | None = None) -> list[tuple[str, ...]]:
        """Composite values, one value of each attribute, in the order of the product; Z is the product of the sizes."""
        return list(product(*(self.attributes[name] for name in self._chosen(names))))

    def prompts(self, template: str, names: Sequence[str] | None = None) -> list[list[str]]:
        """For each composite value its templates, one for every combination of phrases: "TEMPLATE, phrase, phrase".

        An empty phrase adds nothing, and a full stop that ends the template moves to the end.
        """
        stop = "." if template.endswith(".") else ""
        found = []
        for value in self.compose(names):
            phrases = [self.attributes[name][part] for name, part in zip(self._chosen(names), value, strict=True)]
            found.append([", ".join([template.removesuffix("."), *filter(None, row)]) + stop for row in product(*phrases)])
        return found


@torch.no_grad()
def context_weights(model, classnames: Sequence[str], prompts: Sequence[Sequence[str]]) -> Tensor:
    """Text features t_{y,z} (C, Z, D): phrases of one composite value are normalised, averaged, normalised again.

    Args: model: a DualEncoder. classnames: C names. prompts: Z lists of templates, from `AttributeSpace.prompts`.
    Raises: ClipkitError for no composite value, bad names or templates.
    """
    if not len(prompts):
        raise ClipkitError("conditioning needs at least one context value")
    flat = [template for row in prompts for template in row]
    features = model.text_features([text for row in fill_templates(classnames, flat) for text in row])
    features = features.view(len(classnames), len(flat), -1)  # (C, sum of phrases, D)
    parts = features.split([len(row) for row in prompts], dim=1)
    return torch.stack([F.normalize(part.mean(1), dim=-1) for part in parts], dim=1)


def infer_context(logits: Tensor, tau: float = 1.0) -> Tensor:
    """p(z|x) (N, Z): softmax over contexts of logits / tau.

    Args:
        logits: (N, C, Z) f(y, z; x), summed over classes ("with class"); or (N, Z) f(z; x) of prompts that name no
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
    if how not in POOLS:
        raise unknown("way of pooling", how, POOLS)
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
    if not tau > 0:
        raise ClipkitError(f"tau must be above 0, got {tau}; math.inf makes all contexts alike")
    if not torch.isfinite(logits).all():
        raise ClipkitError("the logits hold NaN or infinite values: extract the features again")
