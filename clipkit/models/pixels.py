"""From uint8 pictures to normalised tensors, the same numbers one by one or in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipkit.models.inputs import as_picture


def normalise(array: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W): value / 255, minus mean, over std, channel by channel.

    >>> float(normalise(np.full((1, 1, 1, 3), 255, np.uint8), (0.5,) * 3, (0.25,) * 3)[0, 0, 0, 0])
    2.0
    """
    x = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(torch.float32)
    m = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1)
    s = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1)
    return x.div_(255).sub_(m).div_(s)


def resize_crop(image: Any, size: int, keep: float = 1.0) -> np.ndarray:
    """PIL picture to uint8 (size, size, 3): RGB (see `as_picture`), shorter side to `size`, centre crop.

    A larger picture is shrunk to `size / keep` first, so that the crop keeps the middle `keep` of its shorter side
    (0.875 is the custom of ImageNet classifiers). A picture of the right size is returned as it is. Whole-number
    reductions use box averaging (exact), everything else antialiased bicubic.
    """
    from PIL import Image

    image = as_picture(image)
    width, height = image.size
    short = min(width, height)
    if short != size:
        wanted = round(size / keep) if short > size else size
        whole = short > wanted and width % wanted == 0 and height % wanted == 0
        target = (max(size, round(width * wanted / short)), max(size, round(height * wanted / short)))
        image = image.resize(target, Image.Resampling.BOX if whole else Image.Resampling.BICUBIC)
        width, height = target
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))
