"""A modern Hopfield network as an associative memory: a query comes back as a weighted mean of what is stored.

One step of retrieval is attention without learnt projections: the queries ask, the stored patterns are keys and values.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError


def retrieval_weights(query: Tensor, stored: Tensor, beta: Tensor | float, hidden: Tensor | None = None) -> Tensor:
    """How much of each stored pattern comes back for each query: softmax(beta * cosine), (N, M), rows sum to 1.

    Args:
        query: (N, D) float, unit norm. stored: (M, D), unit norm.
        beta: inverse temperature of the memory, positive; small recalls the mean of all, large the nearest one.
        hidden: (N, M) bool, patterns that a query may not recall (itself, say); None for none.

    Raises: ClipkitError for shapes that do not match, a beta that is not positive, or a query with everything hidden.

    Source: Ramsauer et al., arXiv:2008.02217, eq. 3, with all projections left out, as CLOOB, arXiv:2110.11316, has it.
    """
    if query.ndim != 2 or stored.ndim != 2 or query.shape[1] != stored.shape[1] or not len(stored):
        raise ClipkitError(f"retrieval wants (N, D) queries and (M, D) stored patterns, got {tuple(query.shape)} and {tuple(stored.shape)}")
    checks.positive(beta=beta)
    # half precision would round the exponents, and autocast would bring it back
    with torch.autocast(query.device.type, enabled=False):
        energy = beta * full(query) @ full(stored).T  # (N, M)
        if hidden is not None:
            if hidden.shape != energy.shape:
                raise ClipkitError(f"hidden must be {tuple(energy.shape)}, a row for each query; got {tuple(hidden.shape)}")
            if hidden.all(1).any():
                raise ClipkitError("a query with every pattern hidden can recall nothing; store more patterns, or hide fewer")
            energy = energy.masked_fill(hidden, -torch.inf)
        return energy.softmax(1)


def retrieve(query: Tensor, stored: Tensor, beta: Tensor | float, hidden: Tensor | None = None) -> Tensor:
    """What the memory answers: the weighted mean of the stored patterns, brought back to unit norm, (N, D).

    Arguments and errors as in `retrieval_weights`. Gradients flow to the queries and to the stored patterns.

    >>> stored = torch.eye(2)
    >>> retrieve(torch.tensor([[0.6, 0.8]]), stored, 1e3).round(decimals=3)  # sharp: the nearest pattern
    tensor([[0., 1.]])
    """
    weights = retrieval_weights(query, stored, beta, hidden)
    with torch.autocast(query.device.type, enabled=False):
        return F.normalize(weights @ full(stored), dim=1)


class Recalled(NamedTuple):
    """Both modalities as each memory recalls them, (B, D) each: images and texts by the images, images and texts by the texts."""

    image_by_image: Tensor  # U_x
    text_by_image: Tensor  # U_y
    image_by_text: Tensor  # V_x
    text_by_text: Tensor  # V_y


def recall(
    image_features: Tensor, text_features: Tensor, beta: Tensor | float, hide_self: bool = False, beta_text: Tensor | float | None = None
) -> Recalled:
    """The four retrievals of CLOOB from one batch of (B, D) unit-norm pairs.

    Args:
        beta: of both memories; `beta_text`, if given, of the memory of texts.
        hide_self: when an image asks the images (a text the texts) it cannot recall itself. The paper leaves it in.

    Raises: ClipkitError as `retrieve`, and when the shapes differ.
    """
    x, y = image_features, text_features
    checks.same_shape(x, y, what="features (B, D) of pairs")
    own = torch.eye(len(x), dtype=torch.bool, device=x.device) if hide_self else None
    other = beta if beta_text is None else beta_text
    return Recalled(retrieve(x, x, beta, own), retrieve(y, x, beta), retrieve(x, y, other), retrieve(y, y, other, own))


def self_weight(beta: float, n: int, cosine: float) -> float:
    """Share of itself that a query gets back from a store of n in which it lies, all others at the same cosine.

    >>> round(self_weight(8, 512, 0.0), 2), round(self_weight(8, 512, 0.5), 2)
    (0.85, 0.1)
    """
    if n < 1 or not beta > 0 or not -1 <= cosine <= 1:
        raise ClipkitError(f"self_weight wants n of at least 1, a positive beta and a cosine in -1..1; got {n}, {beta}, {cosine}")
    others = torch.tensor(beta * (cosine - 1), dtype=torch.float64).exp()
    return float(1 / (1 + (n - 1) * others))


def full(features: Tensor) -> Tensor:
    """Half precision raised to float32; float32 and float64 as they are."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
