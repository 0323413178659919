"""Choosing descriptions that set a class apart from an image's other likely classes, without training (DisCLIP)."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.metrics import class_means
from clipkit.zeroshot.descriptions import choose_weight

CAPTION_WEIGHTS = tuple(0.25 * i for i in range(160))  # the released code's sweep: 0 to 39.75


def class_similarities(features: Tensor, labels: Tensor, descriptions: Tensor, n_classes: int) -> Tensor:
    """M (P, C): mean similarity of each description (P, D) to the labelled images (N, D) of each class.

    Only class means of the image features enter. Raises: ClipkitError for a class without an image or a label out of range.
    """
    features, labels, _, _ = checks.support(features, labels, n_classes=n_classes)
    means, size = class_means(features, labels, n_classes)
    if not size.all():
        raise ClipkitError(f"class {int(size.argmin())} has no labelled image; every class needs at least one")
    return descriptions.to(features) @ means.T


def select_descriptions(similarity: Tensor, neighbours: Tensor, m: int, margin: float = 0.0, chunk: int = 4096) -> Tensor:
    """For each image and each of its k likely classes, the descriptions that fit that class best among the k.

    A description is a candidate for c when M[p, c] - M[p, c'] >= margin for every other c' of the neighbourhood;
    candidates are ranked by the mean of these differences.

    Args:
        similarity: M (P, C). neighbours: (N, k) int64, different classes in each row. m: most descriptions a class.

    Returns: (N, k, m) int64 rows of M, best first, -1 where there are fewer.
    Raises: ClipkitError for m below 1, or neighbours out of range.

    Computed once for each set of neighbours, of which there are few. Source: arXiv:2412.11917; CompVis/DisCLIP, method.py.
    """
    checks.at_least(1, m=m)
    if neighbours.ndim != 2 or not len(neighbours) or neighbours.min() < 0 or neighbours.max() >= similarity.shape[1]:
        raise ClipkitError(f"neighbours must be (N, k) class numbers below {similarity.shape[1]}, got shape {tuple(neighbours.shape)}")
    order = neighbours.argsort(1)
    sets, back = torch.unique(neighbours.gather(1, order), dim=0, return_inverse=True)  # (U, k)
    k, most = sets.shape[1], min(m, len(similarity))
    chosen = torch.full((len(sets), k, m), -1, dtype=torch.int64, device=similarity.device)
    for start in range(0, len(sets), chunk):
        fit = similarity[:, sets[start : start + chunk]].permute(1, 2, 0)  # (U, k, P)
        difference = fit.unsqueeze(2) - fit.unsqueeze(1)  # (U, k, k, P), class minus rival
        own = torch.eye(k, dtype=torch.bool, device=fit.device)[None, :, :, None]
        passes = ((difference >= margin) | own).all(2)  # (U, k, P)
        score = difference.mean(2).masked_fill(~passes, -torch.inf)
        best, index = score.sort(dim=-1, descending=True, stable=True)
        chosen[start : start + chunk, :, :most] = torch.where(best[..., :most] > -torch.inf, index[..., :most], -1)
    return torch.empty_like(chosen[back]).scatter_(1, order[..., None].expand(-1, -1, m), chosen[back])


def share_true(chosen: Tensor, neighbours: Tensor, true: Tensor) -> tuple[float, float]:
    """Of the chosen descriptions (N, k, m), the share that is true of its class; and the share in the whole pool of the same classes.

    Args: neighbours (N, k); true (C, P) bool. Raises: ClipkitError when nothing was chosen.
    """
    real = chosen >= 0
    if not real.any():
        raise ClipkitError("no description was chosen, so none can be true; lower the margin")
    own = neighbours.unsqueeze(-1).expand_as(chosen)[real]
    rate = true.float()
    return rate[own, chosen[real]].mean().item(), rate[own].mean().item()


class DescriptionSelector(Head):
    """The classifier of DisCLIP on frozen features: caption score plus the mean score of the selected descriptions.

    Args:
        descriptions: (P, D) text features of the pool, unit norm, without class names.
        assigned: (C, P) bool, the lists the classes came with; their first m (in the order of the pool) stand in where
            nothing is selected.
        k: likely classes an image. m: descriptions a class. margin: see `select_descriptions`.
        weight: of the caption; `choose_weight` sets it on validation features.

    Attributes after `fit`: text_weights_ (C, D), similarity_ (P, C).

    Source: arXiv:2412.11917. The released code reports the weight that is best on the test set; we choose on validation.
    """

    def __init__(self, descriptions: Tensor, assigned: Tensor, k: int = 3, m: int = 5, margin: float = 0.0, weight: float = 1.0):
        checks.at_least(1, k=k, m=m)
        if descriptions.ndim != 2 or assigned.shape[-1] != len(descriptions):
            raise ClipkitError(f"want descriptions (P, D), assigned (C, P); got {tuple(descriptions.shape)}, {tuple(assigned.shape)}")
        self.descriptions, self.assigned, self.k, self.m, self.margin, self.weight = descriptions, assigned.bool(), k, m, margin, weight

    def fit(self, features: Tensor, labels: Tensor, text_weights: Tensor) -> DescriptionSelector:
        """Labelled image features (N, D), labels (N,), caption features (C, D) of the class names."""
        if len(text_weights) != len(self.assigned):
            raise ClipkitError(f"there are captions of {len(text_weights)} classes and descriptions of {len(self.assigned)}")
        self.text_weights_ = text_weights.to(features)
        self.similarity_ = class_similarities(features, labels, self.descriptions, len(text_weights))
        own = self.assigned.to(features.device).float() * torch.arange(len(self.descriptions), 0, -1, device=features.device)
        first = own.topk(min(self.m, own.shape[1]), dim=1)
        self._own = torch.full((len(own), self.m), -1, dtype=torch.int64, device=features.device)
        self._own[:, : first.indices.shape[1]] = torch.where(first.values > 0, first.indices, -1)
        return self

    def neighbours(self, features: Tensor) -> Tensor:
        """(N, k) most likely classes by caption."""
        return (features @ checks.fitted(self, "text_weights_").to(features).T).topk(min(self.k, len(self.assigned)), dim=1).indices

    def chosen(self, neighbours: Tensor) -> Tensor:
        """(N, k, m) descriptions in use, -1 for none: the selected, or else the first of the class's own list."""
        checks.fitted(self, "text_weights_")
        picked = select_descriptions(self.similarity_, neighbours, self.m, self.margin)
        return torch.where((picked >= 0).any(-1, keepdim=True), picked, self._own[neighbours])

    def parts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Caption scores and description scores, both (N, C), -inf outside the neighbourhood."""
        near = self.neighbours(features)
        picked = self.chosen(near)
        flat, real = picked.clamp_min(0).flatten(1), picked >= 0
        each = (features @ self.descriptions.to(features).T).gather(1, flat).view(picked.shape)  # (N, k, m)
        mean = (each * real).sum(-1) / real.sum(-1).clamp_min(1)
        caption = (features @ self.text_weights_.to(features).T).gather(1, near)
        empty = torch.full((len(features), len(self.assigned)), -torch.inf, dtype=features.dtype, device=features.device)
        return empty.scatter(1, near, caption), empty.scatter(1, near, mean)

    def choose_weight(self, features: Tensor, labels: Tensor, weights=CAPTION_WEIGHTS) -> DescriptionSelector:
        """Set `weight` to the one that is right most often on validation features (N, D)."""
        caption, mean = self.parts(features)
        outside = caption.isinf()
        self.weight = choose_weight(caption.masked_fill(outside, -1e6), mean.masked_fill(outside, -1e6), labels, weights)
        return self

    def predict_logits(self, features: Tensor) -> Tensor:
        """(N, C): weight * caption + mean of descriptions, -inf outside the k likely classes."""
        caption, mean = self.parts(features)
        return torch.where(caption.isinf(), caption, self.weight * caption.masked_fill(caption.isinf(), 0) + mean)
