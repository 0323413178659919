"""Two towers over the same frozen picture tokens: one vector a picture, one vector a text, tuned on hard negatives.

The strongest simple rival of a question answerer: the same eyes with the same first lesson, as much data, as many layers, and
false captions in its training that have the words of the true one in another order (NegCLIP). Only one thing is missing: word
meets patch nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.language.transformer import Encoder
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.inputs import as_texts
from clipkit.models.parts import load_part
from clipkit.score.eyes import Eyes, patch_tokens


class TwoTowers(nn.Module):
    """Picture tokens (B, M, D) and texts to unit vectors (B, E).

    Args:
        vocabulary: of the texts. picture_width: D. picture_length: M. width, layers, heads: of each tower. embed_dim: E.
        length: longest text in words, with `<bos>` and `<eos>`.

    With `model` set (the DualEncoder whose patches it reads) it has `image_features` and `text_features`, as `CLIPScore` wants them.
    """

    def __init__(
        self,
        vocabulary: WordVocabulary,
        picture_width: int = 256,
        picture_length: int = 64,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        embed_dim: int = 128,
        length: int = 64,
    ):
        super().__init__()
        self.vocabulary, self.length, self.model = vocabulary, length, None
        self.settings = {
            "picture_width": picture_width, "picture_length": picture_length, "width": width, "layers": layers, "heads": heads,
            "embed_dim": embed_dim, "length": length,
        }  # fmt: skip
        self.eyes = Eyes(vocabulary, picture_width, picture_length, width)
        self.places = nn.Parameter(0.05 * torch.randn(picture_length, width))
        self.positions = nn.Parameter(0.05 * torch.randn(length, width))
        self.image_tower, self.text_tower = Encoder(width, layers, heads), Encoder(width, layers, heads)
        self.image_out, self.text_out = nn.Linear(width, embed_dim), nn.Linear(width, embed_dim)
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))

    @property
    def device(self) -> torch.device:
        return self.places.device

    @property
    def header(self) -> dict:
        """What its file needs besides the weights, see `clipkit.models.parts`."""
        return {"two_towers": self.settings, "words": self.vocabulary.words}

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, M, D) to unit vectors (B, E)."""
        x = self.image_tower(self.eyes.patches(pictures) + self.places)
        return F.normalize(self.image_out(x.mean(1)).float(), dim=-1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, L) to unit vectors (B, E)."""
        if tokens.shape[1] > self.length:
            raise ClipkitError(f"a text has {tokens.shape[1]} tokens, these towers read {self.length}; shorten it")
        mask = tokens != self.vocabulary.pad
        words = self.eyes.words(tokens) * (self.eyes.width**0.5 / 4)
        x = self.text_tower(words + self.positions[: tokens.shape[1]], mask)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(self.text_out(mean).float(), dim=-1)

    @torch.no_grad()
    def image_features(self, images: Any, batch: int = 512) -> Tensor:
        """Unit features (N, E) of pictures, or of their patch tokens (N, M, D)."""
        if not (isinstance(images, Tensor) and images.ndim == 3):
            if self.model is None:
                raise ClipkitError("set `model` to the image–text model whose patches these towers read, or give patch_tokens")
            images = patch_tokens(self.model, images)
        parts = [self.encode_image(part.to(self.device)).cpu() for part in images.split(batch)]
        return torch.cat(parts) if parts else torch.empty(0, self.settings["embed_dim"])

    @torch.no_grad()
    def text_features(self, texts: Sequence[str], batch: int = 512) -> Tensor:
        """Unit features (N, E) of texts."""
        texts = as_texts(texts)
        parts = [self.encode_text(self.vocabulary.encode(texts[i : i + batch]).to(self.device)).cpu() for i in range(0, len(texts), batch)]
        return torch.cat(parts) if parts else torch.empty(0, self.settings["embed_dim"])


def hard_negative_loss(images: Tensor, texts: Tensor, negatives: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE in both directions, with a false text for each picture among the texts it must not choose. Unit vectors (B, E); 0-d.

    Source: arXiv:2210.01936 (NegCLIP), eq. for the image side with B + B texts, the text side with B pictures.
    """
    if images.shape != texts.shape or texts.shape != negatives.shape:
        raise ClipkitError(f"give one text and one negative for each picture, got {tuple(images.shape)}, {tuple(texts.shape)}")
    logits = scale * images @ torch.cat([texts, negatives]).T  # (B, 2B)
    own = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, : len(images)].T, own)) / 2


def load_two_towers(model, name: str = "nano-negclip", device: str = "auto", folder: str | Path | None = None) -> TwoTowers:
    """The shipped towers, or ones saved at the path `name`, over the patches of `model` (nano); float32, in evaluation.

    Its `name` and `fingerprint` are set. Raises ClipkitError when the file is missing or holds something else.
    """

    def build(header: dict) -> TwoTowers:
        return TwoTowers(WordVocabulary(header["words"]), **header["two_towers"])

    module = load_part("two_towers", build, name, device, folder)
    module.model = model
    return module
