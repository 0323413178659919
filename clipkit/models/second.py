"""A second network to look at the same pictures, for methods that join it to an image–text model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.devices import resolve_device
from clipkit.models.inputs import as_picture
from clipkit.models.lite import IMAGE_SIZE, KEEP, MEAN, STD
from clipkit.models.lite_towers import LiteTower, packaged_lite
from clipkit.models.pixels import normalise, resize_crop


class PooledLite:
    """EfficientNet-Lite0 or -Lite2 before its classifier: photographs to unit-norm features (N, 1280), and no text.

    Lite0 is the tower of `lite`, Lite2 that of `lit`; both learnt the 1,000 classes of ImageNet from labels, each on its own.
    Pictures are brought to 192 pixels, as for `lite`. It has what features need of `DualEncoder`.
    """

    pretrained, any_size, image_size, embed_dim = "shipped", True, IMAGE_SIZE, 1280

    def __init__(self, size: int, device: str = "auto"):
        self.name, self.device = f"lite{size}", resolve_device(device)
        self.tower = LiteTower(packaged_lite(size)).to(self.device)

    def preprocess_batch(self, images: np.ndarray | Sequence[Any]) -> Tensor:
        """(N, 3, S, S) float32."""
        return torch.cat([normalise(resize_crop(as_picture(i), self.image_size, KEEP)[None], MEAN, STD) for i in images])

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) to (N, 1280), unit norm."""
        return F.normalize(self.tower(pixels.to(self.device)).mean((2, 3)), dim=1)

    def image_features(self, images: Any) -> Tensor:
        """(N, 1280) on the CPU, of uint8 (N, H, W, 3), PIL pictures or a Dataset's `.images`."""
        return self.encode_image(self.preprocess_batch([images[i] for i in range(len(images))])).cpu()

    @property
    def fingerprint(self) -> str:
        weights = (t.detach().cpu().contiguous().numpy().tobytes() for t in self.tower.state_dict().values())
        return hashlib.sha256(b"".join([f"{self.name}|{self.image_size}".encode(), *weights])).hexdigest()


def second_network(name: str | None, model: str, dataset: str, pretrained: str | None = None, device: str = "auto"):
    """The network `name`: lite0, lite2 or one of `load_model`; None takes one that knows pictures like those of the data set.

    That is nano-dino for the world; for photographs lite2, or lite0 where lite2 is the tower of the model itself, `lit`.
    Raises what `load_model` raises, MissingExtra without the package.
    """
    from clipkit.models import load_model

    if name is None and dataset == "world":
        return load_model("nano-dino", device=device)
    name = name or ("lite0" if model == "lit" else "lite2")
    return PooledLite(int(name[-1]), device) if name in ("lite0", "lite2") else load_model(name, pretrained, device=device)
