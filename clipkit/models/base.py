"""The one face every image–text model shows: `DualEncoder`.

A subclass brings two raw towers, a tokenizer and a preprocessing; this file adds what is the same for
all: checks of the input, unit norm, batched no-grad conveniences, and a fingerprint of weights and
preprocessing that changes when either does.

Letters in shapes: N pictures or texts, D joint dimensions, L tokens, W width of the text tower,
H × W pixels of a picture, h × w cells of the dense grid, T tokens of the image tower.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.models.inputs import as_texts, check_many
from clipkit.models.pixels import normalise

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DualEncoder(ABC):
    """Two towers into one space. `module` is the torch module; `freeze()` it for prompt learning.

    Attributes: `name`, `pretrained` (tag, path, "shipped" or "random"), `embed_dim` D, `image_size` (pixels
    a side), `context_length` L, `card` (dict, how a shipped model was made), `notes` (what was assumed on loading).
    """

    name: str
    pretrained: str
    embed_dim: int
    image_size: int
    context_length: int
    module: nn.Module
    any_size: bool = False  # True: the image tower takes any H × W, not only image_size × image_size
    mean: Sequence[float] | None = None  # with `std`, a channel each: all that `preprocess` does to a picture of image_size
    std: Sequence[float] | None = None

    def __init__(self, module: nn.Module, name: str, pretrained: str, card: dict | None = None, notes: Sequence[str] = ()):
        self.module = module.eval()
        self.name = name
        self.pretrained = pretrained
        self.card = card or {}
        self.notes = list(notes)
        self._fingerprint: tuple[Any, str] | None = None

    # What a subclass brings -------------------------------------------------------------------

    @abstractmethod
    def _image(self, pixels: Tensor) -> Tensor:
        """Raw image features (N, D) of checked pixels."""

    @abstractmethod
    def _text(self, tokens: Tensor) -> Tensor:
        """Raw text features (N, D) of tokens (N, L)."""

    @abstractmethod
    def _dense(self, pixels: Tensor) -> Tensor:
        """Raw dense features (N, h, w, D) of checked pixels."""

    @abstractmethod
    def _text_from_embeddings(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        """Raw text features (N, D) from word embeddings (N, L, W)."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str] | str) -> Tensor:
        """Texts to tokens (N, L) int64, cut at the context length."""

    @abstractmethod
    def preprocess(self, image: Any) -> Tensor:
        """One PIL picture to pixels (3, H, W) float32, as the weights expect them."""

    @abstractmethod
    def token_embeddings(self, tokens: Tensor) -> Tensor:
        """Word embeddings (N, L, W) of tokens (N, L), before positions are added."""

    def attention(self, pixels: Tensor) -> list[Tensor]:
        """Attention maps of the image tower, one (N, heads, T, T) a layer. Raises ClipkitError without attention."""
        raise ClipkitError(f"{self.name} has no attention maps: its image tower is not a vision transformer; use a ViT")

    @property
    @abstractmethod
    def preprocessing(self) -> dict:
        """JSON-able description of preprocessing and tokenizer; part of the fingerprint."""

    # What is the same for all -----------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type the image tower takes: that of its convolutions (norms may stay in float32)."""
        convolutions = (m.weight.dtype for m in self.module.modules() if isinstance(m, nn.Conv2d))
        return next(convolutions, None) or next(self.module.parameters()).dtype

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature (0-d, already exponentiated): logits = logit_scale · image · text."""
        return self.module.logit_scale.float().exp().reshape(())

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) float32 to unit-norm features (N, D) float32. Gradients flow."""
        return F.normalize(self._image(self._checked(pixels)).float(), dim=-1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L) int64 to unit-norm features (N, D) float32. Gradients flow."""
        return F.normalize(self._text(self._checked_tokens(tokens)).float(), dim=-1)

    def encode_token_embeddings(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        """Unit-norm features (N, D) of word embeddings (N, L, W), for prompt learning. Gradients flow.

        `tokens` (N, L) tell the tower where the text ends. `encode_token_embeddings(token_embeddings(t), t)`
        equals `encode_text(t)`.
        """
        tokens = self._checked_tokens(tokens)
        if embeddings.ndim != 3 or embeddings.shape[:2] != tokens.shape:
            raise ClipkitError(f"embeddings {tuple(embeddings.shape)} do not fit tokens {tuple(tokens.shape)}: give (N, L, W) for (N, L)")
        return F.normalize(self._text_from_embeddings(embeddings.to(self.device), tokens).float(), dim=-1)

    def dense_features(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) to one unit-norm feature a cell, (N, h, w, D), in the joint space. Gradients flow."""
        return F.normalize(self._dense(self._checked(pixels)).float(), dim=-1)

    def preprocess_batch(self, images: np.ndarray | Sequence[Any]) -> Tensor:
        """uint8 array (N, H, W, 3) or PIL pictures to pixels (N, 3, H, W); equals `preprocess` one by one."""
        from PIL import Image

        if isinstance(images, np.ndarray):
            if check_images(images).shape[1:3] == (self.image_size, self.image_size) and self.mean is not None:
                return normalise(images, self.mean, self.std)  # nothing to resize
            images = [Image.fromarray(a) for a in images]
        if not len(check_many(images)):
            return torch.empty(0, 3, self.image_size, self.image_size)
        return torch.stack([self.preprocess(i) for i in images])

    @torch.no_grad()
    def text_features(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """Unit-norm features (N, D) of texts, on the CPU, without gradients. Raises ClipkitError for what is no text (NaN, None)."""
        texts = as_texts(texts)
        parts = [self.encode_text(self.tokenize(texts[i : i + batch])).cpu() for i in range(0, len(texts), batch)]
        return torch.cat(parts) if parts else torch.empty(0, self.embed_dim)

    @torch.no_grad()
    def image_features(self, images: Any, batch: int = 256) -> Tensor:
        """Unit-norm features (N, D) on the CPU, without gradients.

        `images`: uint8 array (N, H, W, 3), a sequence of PIL pictures or uint8 arrays (H, W, 3) (a Dataset's `.images`
        too), or pixels (N, 3, H, W) that are preprocessed already. Raises ClipkitError for one bare picture, or a path.
        """
        parts = [self.encode_image(p).cpu() for p in self._batches(images, batch)]
        return torch.cat(parts) if parts else torch.empty(0, self.embed_dim)

    def _batches(self, images: Any, batch: int) -> Iterator[Tensor]:
        array = getattr(images, "array", None)
        images = check_many(images) if array is None else array
        sliceable = isinstance(images, (np.ndarray, Tensor))
        for start in range(0, len(images), batch):
            stop = min(start + batch, len(images))
            part = images[start:stop] if sliceable else [images[i] for i in range(start, stop)]
            yield part if isinstance(part, Tensor) else self.preprocess_batch(part)

    def freeze(self) -> DualEncoder:
        """No gradients for the weights (they still flow to the inputs); returns itself."""
        self.module.requires_grad_(False)
        return self

    @property
    def fingerprint(self) -> str:
        """sha256 over weights and preprocessing; computed once, and anew after the weights change in place."""
        state = self.module.state_dict(keep_vars=True)
        version = tuple((id(t), t._version) for t in state.values())
        if self._fingerprint is None or self._fingerprint[0] != version:
            digest = hashlib.sha256(json.dumps(self.preprocessing, sort_keys=True).encode())
            for key in sorted(state):
                t = state[key].detach().cpu().contiguous()
                digest.update(f"{key}|{t.dtype}|{tuple(t.shape)}".encode())
                digest.update(t.reshape(-1).view(torch.uint8).numpy().data)
            self._fingerprint = (version, digest.hexdigest())
        return self._fingerprint[1]

    def _checked(self, pixels: Tensor) -> Tensor:
        if not isinstance(pixels, Tensor) or pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            got = f"{tuple(pixels.shape)} {pixels.dtype}" if isinstance(pixels, Tensor) else type(pixels).__name__
            raise ClipkitError(f"{self.name} takes pixels as a float tensor (N, 3, H, W), got {got}; use model.preprocess_batch(images)")
        size = (self.image_size, self.image_size)
        if not self.any_size and tuple(pixels.shape[2:]) != size:
            raise ClipkitError(
                f"{self.name} takes pictures of {size[0]} × {size[1]} pixels, got {pixels.shape[2]} × {pixels.shape[3]}; "
                "use model.preprocess_batch(images)"
            )
        if pixels.numel() and not torch.isfinite(pixels.detach().sum()):  # one NaN anywhere makes the sum NaN
            raise ClipkitError("the pixels hold NaN or infinite values; check the pictures and their normalisation")
        return pixels.to(self.device, self.dtype)

    def _checked_tokens(self, tokens: Tensor) -> Tensor:
        if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point():
            raise ClipkitError(f"{self.name} takes tokens as an integer tensor (N, L); use model.tokenize(texts)")
        return tokens.to(self.device, torch.int64)

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.module.parameters()) / 1e6
        facts = f"{self.embed_dim} dims, {self.image_size} px, {size:.1f} M, {self.device}"
        return f"{type(self).__name__}({self.name!r}, {self.pretrained!r}, {facts})"


def check_images(images: np.ndarray) -> np.ndarray:
    """The array itself if it is uint8 (N, H, W, 3); ClipkitError else."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ClipkitError(f"pictures come as a uint8 array (N, H, W, 3), got {images.dtype} {images.shape}")
    return images
