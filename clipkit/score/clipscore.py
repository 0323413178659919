"""Scores from two vectors: the cosine of a picture's and a text's feature, in the scalings that are in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.score.protocol import checked_texts


def clip_score(image_features: Tensor, text_features: Tensor, w: float = 2.5) -> Tensor:
    """w · max(cos, 0) of picture i and text i, (N,). Features (N, D) of any length.

    Papers on picture generation often print the bare cosine under the same name (w = 1).

    Source: arXiv:2104.08718, section 3.

    >>> import torch
    >>> clip_score(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()
    [2.5, 0.0]
    """
    image_features = checks.features(image_features, "image features")
    text_features = checks.features(text_features, "text features", image_features.shape[1])
    return w * F.cosine_similarity(image_features, text_features, dim=-1).clamp(min=0)


class CLIPScore:
    """w · max(cos, 0) by a model with `image_features(images)` and `text_features(texts)`, both (N, D): a DualEncoder, TwoTowers …

    Args:
        w: factor. prefix: put before every text; the reference code has "A photo depicts ", for models that know photographs.
        clip: no score below 0. For ranking set it False: it would tie what is unlike.
    """

    def __init__(self, model, w: float = 2.5, prefix: str = "", clip: bool = True):
        self.model, self.w, self.prefix, self.clip = model, w, prefix, clip

    def see(self, images: Any) -> Tensor:
        """Unit features (M, D)."""
        return self.model.image_features(images)

    def _both(self, seen: Any, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        seen = seen if isinstance(seen, Tensor) and seen.ndim == 2 else self.see(seen)
        return seen, self.model.text_features([self.prefix + t for t in checked_texts(texts)])

    def _scaled(self, cosine: Tensor) -> Tensor:
        return self.w * (cosine.clamp(min=0) if self.clip else cosine)

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        images, words = self._both(seen, texts)
        if len(images) != len(words):
            raise ClipkitError(f"{len(images)} pictures and {len(words)} texts are no pairs; give as many of each")
        return self._scaled((images * words).sum(-1))

    def __call__(self, seen: Any, texts: Sequence[str]) -> Tensor:
        images, words = self._both(seen, texts)
        return self._scaled(images @ words.T)
