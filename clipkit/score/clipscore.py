"""Scores from two vectors: the cosine of a picture's and a text's feature, in the scalings that are in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.score.protocol import checked_texts


def _checked(**features: Tensor) -> None:
    for name, x in features.items():
        if not isinstance(x, Tensor) or x.ndim != 2:
            raise ClipkitError(f"{name} are features (N, D), got {tuple(getattr(x, 'shape', ()))}")
        if not torch.isfinite(x).all():
            raise ClipkitError(f"{name} hold NaN or infinite values; check the features")
    if len({x.shape[1] for x in features.values()}) > 1:
        raise ClipkitError("the features differ in width: " + ", ".join(f"{n} {tuple(x.shape)}" for n, x in features.items()))


def clip_score(image_features: Tensor, text_features: Tensor, w: float = 2.5) -> Tensor:
    """w · max(cos, 0) of picture i and text i, (N,). Features (N, D) of any length.

    Papers on picture generation often print the bare cosine under the same name (w = 1).

    Source: arXiv:2104.08718, section 3.

    >>> clip_score(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()
    [2.5, 0.0]
    """
    _checked(image_features=image_features, text_features=text_features)
    return w * F.cosine_similarity(image_features, text_features, dim=-1).clamp(min=0)


def ref_clip_score(image_features: Tensor, text_features: Tensor, references: Sequence[Tensor], clip: bool = True) -> Tensor:
    """Harmonic mean of `clip_score` and the best cosine with a reference text, (N,); 0 where both are 0.

    Args:
        references: for each of N texts its references (R_n, D), R_n ≥ 1.
        clip: cosines with references are not below 0, as in the paper; False: as in the authors' code, where they may be.

    Source: arXiv:2104.08718, section 3. The second part has no factor w in the authors' code, and we follow that.
    """
    a = clip_score(image_features, text_features)
    if len(references) != len(a) or any(len(r) == 0 for r in references):
        raise ClipkitError(f"give at least one reference for each of the {len(a)} texts")
    b = torch.stack([F.cosine_similarity(t[None], r, dim=-1).max() for t, r in zip(text_features, references, strict=True)])
    b = b.clamp(min=0) if clip else b
    total = a + b
    return torch.where(total == 0, torch.zeros_like(a), 2 * a * b / torch.where(total == 0, torch.ones_like(a), total))


def directional_similarity(before: Tensor, after: Tensor, text_before: Tensor, text_after: Tensor) -> tuple[Tensor, int]:
    """Cosine of the change of pictures and the change of texts, (N,), and how many pictures or texts did not change (0 there).

    Source: arXiv:2108.00946, eq. 2, on unit features.
    """
    _checked(before=before, after=after, text_before=text_before, text_after=text_after)
    unit = lambda x: F.normalize(x, dim=-1)  # noqa: E731
    seen, said = unit(after) - unit(before), unit(text_after) - unit(text_before)
    still = (seen.norm(dim=-1) < 1e-6) | (said.norm(dim=-1) < 1e-6)
    return torch.where(still, torch.zeros(len(seen)).to(seen), F.cosine_similarity(seen, said, dim=-1)), int(still.sum())


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
