"""A class-balanced training set fetched from captioned pictures, and what needs no training at all: logit adjustment."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError


def retrieve_balanced(captions: Tensor, matched: Tensor, prompts: Tensor, k: int, lowest: float = 0.0) -> tuple[Tensor, Tensor]:
    """At most k captioned pictures of each class, those first whose caption is most like the class's prompts.

    Args:
        captions: (N, D) text features of the captions, unit norm. matched: (N, C) bool, may be fetched for the class.
        prompts: (C, D) mean prompt features over names and templates, unit norm.
        lowest: similarity below which nothing is fetched.

    Returns: rows (R,) into the pictures, by class and best first, and their labels (R,). A class without a match has none.
    Raises: ClipkitError for shapes that do not fit, k below 1, or nothing fetched at all.
    Source: arXiv:2401.12425, section 4.2 (caption-to-prompt ranking); lowest = 0 as in the released code.
    """
    captions = checks.features(captions, "captions")
    similarity = captions @ checks.features(prompts, "prompts", captions.shape[1]).to(captions).T  # (N, C)
    checks.same_shape(matched, similarity, what="matches and similarities, a row a caption and a column a class,")
    checks.at_least(1, k=k)
    allowed = matched.bool() & (similarity >= lowest)
    order = similarity.masked_fill(~allowed, -torch.inf).T.sort(dim=1, descending=True, stable=True)  # (C, N)
    keep = order.values[:, :k] > -torch.inf
    if not keep.any():
        raise ClipkitError("no picture was fetched for any class; look at the names, or lower the similarity")
    labels = torch.arange(len(prompts), device=captions.device)[:, None].expand_as(keep)
    return order.indices[:, :k][keep], labels[keep]


def adjusted_logits(logits: Tensor, frequency: Tensor, tau: float = 1.0) -> Tensor:
    """(N, C) logits minus tau * ln of each class's share: what a long-tailed training tilted is tilted back.

    Equal frequencies change nothing. A frequency of zero counts as half a caption.
    Raises: ClipkitError for frequencies that do not fit or are negative.
    Source: Menon et al., arXiv:2007.07314, eq. 9.
    """
    if frequency.shape != logits.shape[-1:] or (frequency < 0).any() or not frequency.sum() > 0:
        raise ClipkitError(f"want one frequency, 0 or more, for each of {logits.shape[-1]} classes; got shape {tuple(frequency.shape)}")
    share = frequency.to(logits).clamp_min(0.5)
    return logits - tau * (share.log() - share.log().mean())
