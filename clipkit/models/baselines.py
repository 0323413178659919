"""Encoders that nobody trained: pixels along their principal directions, and a network as it was initialised.

They are the controls of pages that ask what a trained encoder is worth. They show the part of `DualEncoder`'s face
that features need (fingerprint, preprocess_batch, encode_image), so that `extract` and `draw` take them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.models.inputs import as_picture


class PixelPCA:
    """Pictures made small, and described by their strongest directions: (N, 3, S, S) -> (N, D) unit norm.

    Args:
        images: the pictures (no labels) on which mean and directions are found; uint8 (N, H, W, 3) or PIL pictures.
        dims: D, at most the number of pictures and 3 S². size: S, pixels a side.

    Raises ClipkitError: fewer pictures than `dims`, or `dims` above 3 S².
    """

    name, pretrained, any_size = "pixel-pca", "fitted", False

    def __init__(self, images: Any, dims: int = 64, size: int = 16):
        self.image_size, self.embed_dim, self.device = size, dims, torch.device("cpu")
        flat = self.preprocess_batch(images).flatten(1).double()  # (N, 3 S^2)
        if not 1 <= dims <= min(flat.shape):
            raise ClipkitError(
                f"{dims} directions asked of {len(flat)} pictures with {flat.shape[1]} values: give more pictures or fewer dims"
            )
        self.mean = flat.mean(0)
        directions = torch.linalg.svd(flat - self.mean, full_matrices=False).Vh[:dims]
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        self.directions = directions * largest.sign()  # (D, 3 S^2), each signed so that its largest entry is positive

    @classmethod
    def of(cls, dataset: Any, n: int = 400, dims: int = 64, size: int = 16) -> PixelPCA:
        """Fitted on at most n pictures of a `Dataset`, the same ones each time."""
        chosen = np.random.default_rng(0).permutation(len(dataset))[:n]
        return cls([dataset.images[int(i)] for i in chosen], min(dims, len(chosen)), size)

    def preprocess_batch(self, images: np.ndarray | Sequence[Any]) -> Tensor:
        """(N, 3, S, S) float32 in [0, 1]: each picture squeezed to a square."""
        shape = (self.image_size, self.image_size)
        pictures = [as_picture(i) for i in images]
        small = [np.asarray(p.resize(shape, Image.Resampling.BOX)) for p in pictures]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) to (N, D) float32, unit norm."""
        return F.normalize((pixels.flatten(1).double() - self.mean) @ self.directions.T, dim=1).float()

    def image_features(self, images: Any) -> Tensor:
        """(N, D) of uint8 (N, H, W, 3), PIL pictures or a Dataset's `.images`."""
        return self.encode_image(self.preprocess_batch([images[i] for i in range(len(images))]))

    @property
    def fingerprint(self) -> str:
        rounded = np.round(torch.cat([self.mean[None], self.directions]).numpy(), 6)
        return hashlib.sha256(b"pixel-pca" + rounded.tobytes()).hexdigest()


def untrained(name: str = "nano-conv", seed: int = 0, device: str = "cpu"):
    """A packaged model with fresh weights, the same for the same seed; torch's own generator is left as it was."""
    from clipkit.models import load_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_model(name, "random", device=device)
