"""`lite`: an image–text model for real photographs made of two packaged towers and a small learned map.

Lite0 was trained to name 1,000 ImageNet classes, MiniLM to compare sentences; neither has seen the other. They
meet in the space of those classes: a picture is described by how much it resembles each of them, and so is a
sentence. The map that does it for sentences is fitted on words alone.

    image feature  φ(x) = softmax(z(x) / τ) − 1/K      z: Lite0's K = 1,000 logits, τ: softens them
    text feature   w(t) = Aᵀ k(e(t), B)                 e: MiniLM (384, unit norm), B: one support vector a class
    k(e, b) = exp((e·b − 1) / h)

With hard probabilities (τ = 1) and a nearest-neighbour w this is ConSE (Norouzi et al., arXiv:1312.5650); soft
ones keep what the classifier knows of classes that it would not name. How A is fitted:
`python -m builder.recipes.lite` in the repository. What it reaches: `data/models/lite.card.json`.
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

from clipkit.devices import resolve_device
from clipkit.errors import ClipkitError, unknown
from clipkit.models.base import PRECISIONS, DualEncoder
from clipkit.models.inputs import as_texts
from clipkit.models.lite_towers import LiteTower, SentenceEncoder, WordPieces, packaged_lite
from clipkit.models.pixels import normalise, resize_crop
from clipkit.paths import shipped

IMAGE_SIZE = 192
TEMPERATURE = 5.0
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # TensorFlow's convention, in which these weights were trained
KEEP = 0.875  # of the shorter side of a larger picture, as in the training of these weights
CONTEXT_LENGTH = 64


def gaussian_kernel(embeddings: Tensor, support: Tensor, bandwidth: float) -> Tensor:
    """exp((e·b − 1) / h) of unit vectors (N, W) and (M, W): (N, M), 1 where they agree."""
    return torch.exp((embeddings @ support.T - 1) / bandwidth)


def resemblance(logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """softmax(z / τ) − 1/K over the last axis (…, K): above zero for classes resembled more than average.

    >>> resemblance(torch.zeros(1, 4)).tolist()
    [[0.0, 0.0, 0.0, 0.0]]
    """
    return (logits / temperature).softmax(-1) - 1 / logits.shape[-1]


class SentenceMap(nn.Module):
    """The learned map from sentence vectors (N, 384) to the classes they resemble (N, K)."""

    def __init__(self, support: Tensor, coefficients: Tensor, bandwidth: float):
        super().__init__()
        self.register_buffer("support", support.float())  # (M, 384)
        self.register_buffer("coefficients", coefficients.float())  # (M, K)
        self.bandwidth = float(bandwidth)

    def forward(self, sentences: Tensor) -> Tensor:
        return gaussian_kernel(F.normalize(sentences.float(), dim=-1), self.support, self.bandwidth) @ self.coefficients


class LiteModule(nn.Module):
    """Both towers and the map as one torch module."""

    def __init__(self, network: nn.Module, text: SentenceEncoder, sentence_map: SentenceMap, logit_scale: float):
        super().__init__()
        self.classifier = network._fc
        self.embed_dim = int(network._fc.out_features)
        self.visual = LiteTower(network)
        self.text, self.map = text, sentence_map
        self.logit_scale = nn.Parameter(torch.tensor(float(np.log(logit_scale))))

    def image_head(self, pooled: Tensor) -> Tensor:
        """Means of the tower's maps, or its cells, (…, 1280) to features (…, D) float32."""
        return resemblance(self.classifier(pooled).float())

    def text_head(self, sentences: Tensor) -> Tensor:
        """Sentence vectors (N, 384) to features (N, D) float32."""
        return self.map(sentences)


class LiteEncoder(DualEncoder):
    """`lite` behind the common face. Set `image_size` (a multiple of 32) for larger pictures and finer dense maps."""

    any_size, mean, std = True, MEAN, STD

    def __init__(self, module: LiteModule, card: dict | None = None, name: str = "lite", image_size: int = IMAGE_SIZE):
        super().__init__(module, name, "shipped", card)
        self.embed_dim = module.embed_dim
        self.image_size = image_size
        self.context_length = CONTEXT_LENGTH
        self._tokenizer = WordPieces(CONTEXT_LENGTH)

    def _image(self, pixels: Tensor) -> Tensor:
        return self.module.image_head(self.module.visual(pixels).mean((2, 3)))

    def _dense(self, pixels: Tensor) -> Tensor:
        # pooling is a mean and the classifier linear, so each cell has logits of its own, whose mean is the picture's
        return self.module.image_head(self.module.visual(pixels).permute(0, 2, 3, 1))

    def _text(self, tokens: Tensor) -> Tensor:
        return self.module.text_head(self.module.text(tokens))

    def _text_from_embeddings(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        return self.module.text_head(self.module.text(tokens, embeddings.to(self.dtype)))

    def token_embeddings(self, tokens: Tensor) -> Tensor:
        return self.module.text.word_embedding(self._checked_tokens(tokens))

    def tokenize(self, texts: Sequence[str] | str) -> Tensor:
        return self._tokenizer(as_texts(texts))

    def preprocess(self, image: Any) -> Tensor:
        return normalise(resize_crop(image, self.image_size, KEEP)[None], MEAN, STD)[0]

    @property
    def preprocessing(self) -> dict:
        pre = {"size": self.image_size, "mean": list(MEAN), "std": list(STD), "resize": f"shorter side, centre crop {KEEP}"}
        return {**pre, "context_length": CONTEXT_LENGTH, "bandwidth": self.module.map.bandwidth, "temperature": TEMPERATURE}


def load_map(path: Path | None = None) -> tuple[SentenceMap, float]:
    """The map and logit scale of `path`, by default the shipped `data/models/lite_map.safetensors`."""
    from safetensors import SafetensorError, safe_open

    path = path or shipped("models", "lite_map.safetensors")
    try:
        with safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in ("support", "coefficients")}
            facts = file.metadata() or {}
        return SentenceMap(**tensors, bandwidth=float(facts["bandwidth"])), float(facts["logit_scale"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ClipkitError(f"the map of lite, {path}, is missing or damaged; restore it from the repository") from error


def load(name: str = "lite", pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> LiteEncoder:
    """The model `lite`; `name` is always that. `pretrained`: nothing (the shipped map) or the path of a map of `builder.recipes.lite`.

    Raises MissingExtra without the packages of the extra `photos`, ClipkitError for a missing or damaged map.
    """
    path = weights_file("lite", pretrained, precision)
    module = LiteModule(packaged_lite(0), SentenceEncoder.packaged(), *load_map(path))
    return LiteEncoder(placed(module, device, precision), None if path else card_of("lite"))


def weights_file(name: str, pretrained: str | None, precision: str) -> Path | None:
    """The path that `pretrained` names, None for the shipped weights. ClipkitError for no file, or an unknown precision."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    path = None if pretrained in (None, "shipped") else Path(pretrained).expanduser()
    if path is not None and not path.is_file():
        raise ClipkitError(f"{name} has its weights in packages; pretrained={pretrained!r} is no file of its own: leave it out")
    return path


def placed(module: LiteModule, device: str, precision: str) -> LiteModule:
    """On its device and in its precision, but for the map: a sum over a thousand classes, too fine for half precision and small."""
    module.to(resolve_device(device), PRECISIONS[precision]).map.float()
    return module


def card_of(name: str) -> dict | None:
    """The shipped card, None where it is not (yet)."""
    file = shipped("models", f"{name}.card.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
