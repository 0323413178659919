"""Class weights from prompts, and the logits they give."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.datasets.templates import fill_templates


@torch.no_grad()
def zeroshot_weights(model, classnames: Sequence[str], templates: Sequence[str], mode: str = "embedding") -> Tensor:
    """Zero-shot classifier weights.

    Args:
        model: a DualEncoder.
        classnames: C names. templates: T prompts with one {} each.
        mode: "embedding": normalise each prompt's feature, average over templates, normalise again (the CLIP
            paper's ensemble); "logit": the average without the second normalisation, so that logits equal the mean
            of the single templates' logits and classes whose templates disagree are scored lower.

    Returns: (C, D) float32 on the model's device.
    Raises: ClipkitError for an unknown mode and for bad names or templates (see `fill_templates`).
    Source: arXiv:2103.00020, section 3.1.4.
    """
    checks.one_of("mode", mode, ("embedding", "logit"))
    prompts = fill_templates(classnames, templates)
    features = model.text_features([p for row in prompts for p in row])  # (C T, D), unit norm
    mean = features.view(len(classnames), len(templates), -1).mean(1)
    return F.normalize(mean, dim=-1) if mode == "embedding" else mean


def zeroshot_logits(features: Tensor, weights: Tensor, scale: Tensor | float = 100.0) -> Tensor:
    """Logits (N, C) = scale * features (N, D) @ weights (C, D)^T.

    Raises: ClipkitError when D differs or features hold NaN (says which row).
    """
    features = checks.features(features, width=weights.shape[-1], at_least=0)
    return scale * features @ weights.to(features).T
