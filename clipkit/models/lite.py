"""`lite`: an image–text model for real photographs made of two packaged towers and a small learned map.

Lite0 was trained to name 1,000 ImageNet classes, MiniLM to compare sentences; neither has seen the other. The
map between them is fitted on words alone: for the texts of each class (names in prompts, glosses,
descriptions) it predicts that class's row of the image classifier, and so a classifier for any sentence.

    image feature  φ(x) = S V x          x: pooled map of Lite0 (1280), V: principal directions of the classifier
    text feature   w(t) = Aᵀ k(e(t), B)   e: MiniLM (384, unit norm), B: one support vector a class
    k(e, b) = exp((e·b − 1) / h)

How A is fitted: `clipkit.models.lite_fit`. What it reaches: `data/models/lite.card.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError, unknown
from clipkit.models.base import PRECISIONS, DualEncoder, check_images, resolve_device
from clipkit.models.lite_towers import Lite0, SentenceEncoder, WordPieces, packaged_lite0
from clipkit.models.pixels import normalise, resize_crop
from clipkit.paths import data_dir

IMAGE_SIZE = 160
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # TensorFlow's convention, in which these weights were trained
KEEP = 0.875  # of the shorter side of a larger picture, as in the training of these weights
CONTEXT_LENGTH = 64


def kernel(embeddings: Tensor, support: Tensor, bandwidth: Tensor | float) -> Tensor:
    """exp((e·b − 1) / h) of unit vectors (N, W) and (M, W): (N, M), 1 where they agree."""
    return torch.exp((embeddings @ support.T - 1) / bandwidth)


class SentenceMap(nn.Module):
    """The learned map: sentence vectors (N, 384) to the joint space, pooled image features (…, 1280) too."""

    def __init__(self, support: Tensor, coefficients: Tensor, projection: Tensor, bandwidth: float):
        super().__init__()
        self.register_buffer("support", support.float())  # (M, 384)
        self.register_buffer("coefficients", coefficients.float())  # (M, D)
        self.register_buffer("projection", projection.float())  # (D, 1280)
        self.bandwidth = float(bandwidth)

    def text(self, sentences: Tensor) -> Tensor:
        return kernel(F.normalize(sentences, dim=-1), self.support, self.bandwidth) @ self.coefficients

    def image(self, features: Tensor) -> Tensor:
        return features @ self.projection.T


class LiteModule(nn.Module):
    """Both towers and the map as one torch module."""

    def __init__(self, visual: Lite0, text: SentenceEncoder, sentence_map: SentenceMap, logit_scale: float):
        super().__init__()
        self.visual, self.text, self.map = visual, text, sentence_map
        self.logit_scale = nn.Parameter(torch.tensor(float(np.log(logit_scale))))


class LiteEncoder(DualEncoder):
    """`lite` behind the common face. Set `image_size` (a multiple of 32) for larger pictures and finer dense maps."""

    any_size = True

    def __init__(self, module: LiteModule, card: dict | None = None, notes: Sequence[str] = ()):
        super().__init__(module, "lite", "shipped", card, notes)
        self.embed_dim = int(module.map.projection.shape[0])
        self.image_size = IMAGE_SIZE
        self.context_length = CONTEXT_LENGTH
        self._tokenizer = WordPieces(CONTEXT_LENGTH)

    def _image(self, pixels: Tensor) -> Tensor:
        return self.module.map.image(self.module.visual(pixels).mean((2, 3)))

    def _dense(self, pixels: Tensor) -> Tensor:
        # the pooled feature is the mean of the map and the projection is linear, so each cell projects alone
        return self.module.map.image(self.module.visual(pixels).permute(0, 2, 3, 1))

    def _text(self, tokens: Tensor) -> Tensor:
        return self.module.map.text(self.module.text(tokens))

    def _text_from_embeddings(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        return self.module.map.text(self.module.text(tokens, embeddings.to(self.dtype)))

    def token_embeddings(self, tokens: Tensor) -> Tensor:
        return self.module.text.word_embedding(self._checked_tokens(tokens))

    def tokenize(self, texts: Sequence[str] | str) -> Tensor:
        return self._tokenizer([texts] if isinstance(texts, str) else list(texts))

    def preprocess(self, image: Any) -> Tensor:
        return normalise(resize_crop(image, self.image_size, KEEP)[None], MEAN, STD)[0]

    def preprocess_batch(self, images: np.ndarray | Sequence[Any]) -> Tensor:
        if isinstance(images, np.ndarray) and check_images(images).shape[1:3] == (self.image_size, self.image_size):
            return normalise(images, MEAN, STD)
        return super().preprocess_batch(images)

    @property
    def preprocessing(self) -> dict:
        pre = {"size": self.image_size, "mean": list(MEAN), "std": list(STD), "resize": f"shorter side, centre crop {KEEP}"}
        return {**pre, "context_length": self.context_length, "bandwidth": self.module.map.bandwidth}


def load_map(path: Path | None = None) -> tuple[SentenceMap, float]:
    """The shipped map and logit scale from `data/models/lite.safetensors`."""
    from safetensors import SafetensorError, safe_open

    path = path or data_dir() / "models" / "lite_map.safetensors"
    try:
        with safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in ("support", "coefficients", "projection")}
            facts = file.metadata() or {}
        return SentenceMap(**tensors, bandwidth=float(facts["bandwidth"])), float(facts["logit_scale"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ClipkitError(f"the map of lite, {path}, is missing or damaged; restore it from the repository") from error


def load_lite(pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> LiteEncoder:
    """The model `lite`. `pretrained`: nothing (the shipped map) or the path of a map made by `lite_fit.save_map`.

    Raises MissingExtra without the packages of the extra `photos`, ClipkitError for a missing or damaged map.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    where = resolve_device(device)
    if pretrained not in (None, "shipped") and not Path(pretrained).expanduser().is_file():
        raise ClipkitError(f"lite has its weights in packages; pretrained={pretrained!r} is no map file: leave it out")
    visual, text = Lite0(packaged_lite0()), SentenceEncoder.packaged()
    sentence_map, scale = load_map(None if pretrained in (None, "shipped") else Path(pretrained).expanduser())
    module = LiteModule(visual, text, sentence_map, scale).to(where, PRECISIONS[precision])
    card_file = data_dir() / "models" / "lite.card.json"
    card = json.loads(card_file.read_text()) if pretrained in (None, "shipped") and card_file.is_file() else None
    return LiteEncoder(module, card)
