"""`lit`: a contrastively trained image–text model of photographs with locked towers, as in LiT (arXiv:2111.07991).

Both towers come from packages and stay as they are; two linear heads and the temperature are what InfoNCE has tuned,
on captioned photographs and on pictures with the names and descriptions of what they show.

    image  H_i [pooled(x); φ(x)]      pooled: Lite2's mean map (1280), φ: what the picture resembles (1000)
    text   H_t [e(t); w(t)]           e: MiniLM's sentence (384), w: the classes that the sentence resembles (1000)

φ and w are `lite`'s two features, at unit norm: with heads that read nothing else the model would be `lite`. How the
heads were trained: `make pretrain NAME=lit` (`builder.recipes.lit`). What it reaches and what not: `data/models/lit.card.json`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.models.lite import LiteEncoder, LiteModule, card_of, load_map, placed, weights_file
from clipkit.models.lite_towers import SentenceEncoder, packaged_lite
from clipkit.models.parts import load_part

NAME, IMAGE_SIZE = "lit", 224


class LitHeads(nn.Module):
    """What is trained: a head for pictures, one for sentences, and the temperature (the log of its inverse, as in CLIP)."""

    def __init__(self, pictures: int, sentences: int, dim: int, logit_scale: float = 15.0):
        super().__init__()
        self.header = {NAME: {"pictures": pictures, "sentences": sentences, "dim": dim}}
        self.pictures, self.sentences = nn.Linear(pictures, dim), nn.Linear(sentences, dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))


class LitModule(LiteModule):
    """The locked towers of `lite`, with Lite2 for pictures, and two heads; (…, 1280) and (N, 384) to features (…, D)."""

    def __init__(self, heads: LitHeads):
        super().__init__(packaged_lite(2), SentenceEncoder.packaged(), load_map()[0], 1.0)
        self.requires_grad_(False)
        self.heads, self.logit_scale = heads, heads.logit_scale
        self.embed_dim = heads.pictures.out_features

    def picture_parts(self, pooled: Tensor) -> Tensor:
        """What the head of pictures reads, (…, 2280) float32: the tower's mean map, and φ at unit norm."""
        return torch.cat([pooled.float(), F.normalize(super().image_head(pooled), dim=-1)], -1)

    def sentence_parts(self, sentences: Tensor) -> Tensor:
        """What the head of sentences reads, (N, 1384) float32: the sentence and w, both at unit norm."""
        return torch.cat([F.normalize(sentences.float(), dim=-1), F.normalize(super().text_head(sentences), dim=-1)], -1)

    def image_head(self, pooled: Tensor) -> Tensor:
        return self.heads.pictures(self.picture_parts(pooled))

    def text_head(self, sentences: Tensor) -> Tensor:
        return self.heads.sentences(self.sentence_parts(sentences))


def load(name: str = NAME, pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> LiteEncoder:
    """The model `lit`, whatever `name` says. `pretrained`: nothing, or the path of heads that `make pretrain NAME=lit` wrote.

    Raises MissingExtra without the packages of the extra `photos`, ClipkitError for missing or damaged heads.
    """
    path = weights_file(NAME, pretrained, precision)
    heads = load_part(NAME, lambda header: LitHeads(**header[NAME]), str(path or NAME), "cpu")
    module = placed(LitModule(heads), device, precision)
    module.heads.float()
    return face(module, None if path else card_of(NAME))


def face(module: LitModule, card: dict | None = None) -> LiteEncoder:
    """The module behind the common face of all models."""
    return LiteEncoder(module, card, NAME, IMAGE_SIZE)
