"""The model to a file of vectors (`features:PATH`): it looks up what another model made of pictures and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets.vectors import read_vectors
from clipkit.errors import ClipkitError
from clipkit.kept import fingerprint
from clipkit.models.inputs import as_texts
from clipkit.notices import notice


class NoNetwork(ClipkitError, AttributeError):
    """A file of vectors was asked for what only a network has."""


class VectorModel:
    """The part of `DualEncoder`'s face that finished vectors can show; anything else raises NoNetwork.

    `extract` gives back the vectors of the data set of the same name, and `text_features` those of the file's texts. Where the
    file has no text vectors, each text has a random direction, the same each time: zero-shot is then at chance, and this is said.
    """

    pretrained, image_size, device, notes = "features", 0, torch.device("cpu"), ()

    def __init__(self, name: str):
        dataset, _, self._text, scale = read_vectors(name.partition(":")[2])
        self.name, self.embed_dim, self.logit_scale = name, dataset.array.shape[1], torch.tensor(scale)
        self.fingerprint = fingerprint(["features", self.embed_dim, scale, self._text])
        if self._text is None:
            notice(f"{name} has no text vectors: every text stands for a random direction, so zero-shot is at chance")

    def __getattr__(self, name: str):
        raise NoNetwork(f"{self.__dict__.get('name')} has no {name!r}: it holds finished vectors, and this needs a network")

    def freeze(self) -> VectorModel:
        return self

    def preprocess_batch(self, images) -> Tensor:
        """(N, D) float32 of a vector data set's `images` or their array; ClipkitError for pictures."""
        array = getattr(images, "array", images)
        if getattr(array, "ndim", 0) != 2 or array.shape[1] != self.embed_dim:
            raise ClipkitError(f"{self.name} sees no pictures; give it the data set of the same name: -p dataset {self.name}")
        return torch.tensor(array)

    def encode_image(self, vectors: Tensor) -> Tensor:
        return vectors

    def image_features(self, images, batch: int = 256) -> Tensor:
        return self.preprocess_batch(images)

    def text_features(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """(N, D) float32, unit norm. Raises ClipkitError for a text that the file has no vector of."""
        found = [_direction(text, self.embed_dim) if self._text is None else self._text.get(text) for text in as_texts(texts)]
        if strange := [text for text, vector in zip(texts, found, strict=True) if vector is None]:
            raise ClipkitError(f"{self.name} has no vector of the text {strange[0]!r}, but of {len(self._text)} others")
        return torch.from_numpy(np.stack(found)) if found else torch.empty(0, self.embed_dim)


def _direction(text: str, width: int) -> np.ndarray:
    x = np.random.default_rng(list(hashlib.sha256(text.encode()).digest())).standard_normal(width)
    return (x / np.linalg.norm(x)).astype(np.float32)


def load(name: str, pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> VectorModel:
    """The vectors behind "features:PATH"; the rest is for the face of a loader."""
    return VectorModel(name)
