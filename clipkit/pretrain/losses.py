"""Contrastive losses on unit-norm features; the fast form beside the plain one it must equal."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.errors import ClipkitError


def info_nce(image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE: each image must pick its own text among the batch, each text its own image.

    Args:
        image_features, text_features: (B, D), float, unit norm; row i of one belongs to row i of the other.
        logit_scale: inverse temperature, a positive number or 0-d tensor.

    Returns: 0-d tensor, nats; log(B) for features that know nothing.

    Raises: ClipkitError when the shapes differ.

    Source: CLIP, arXiv:2103.00020, figure 3; the loss is the mean of both directions.
    """
    if image_features.shape != text_features.shape or image_features.ndim != 2:
        raise ClipkitError(
            f"info_nce wants two (B, D) tensors of one shape, got {tuple(image_features.shape)} and {tuple(text_features.shape)}"
        )
    logits = logit_scale * image_features @ text_features.T  # (B, B)
    target = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def info_nce_reference(image_features: Tensor, text_features: Tensor, logit_scale: float) -> Tensor:
    """The same loss as the paper writes it, pair by pair: slow, for reading and for tests."""
    B = len(image_features)
    total = image_features.new_zeros(())
    for i in range(B):
        to_texts = torch.stack([logit_scale * image_features[i] @ text_features[j] for j in range(B)])
        to_images = torch.stack([logit_scale * text_features[i] @ image_features[j] for j in range(B)])
        total = total - torch.log(to_texts[i].exp() / to_texts.exp().sum())
        total = total - torch.log(to_images[i].exp() / to_images.exp().sum())
    return total / (2 * B)
