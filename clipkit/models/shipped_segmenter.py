"""The shipped promptable segmenter: weights and card in `data/models`, in float16."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clipkit.models.cards import load_card
from clipkit.models.parts import load_part, save_part

if TYPE_CHECKING:
    from clipkit.dense.segmenter import Segmenter


def save_segmenter(module: Segmenter, card: dict, folder: str | Path, name: str) -> Path:
    """Write `<name>.safetensors` (float16, the architecture in its header) and `<name>.card.json`; returns the first's path."""
    return save_part(module, {"segmenter": module.settings}, card, folder, name)


def load_segmenter(name: str = "nano-sam", device: str = "auto", folder: str | Path | None = None) -> Segmenter:
    """A shipped segmenter, or one saved at the path `name`, frozen, in float32; its `fingerprint` changes with its weights.

    Raises ClipkitError when the file is missing or holds something else.
    """
    from clipkit.dense.segmenter import Segmenter

    return load_part("segmenter", lambda header: Segmenter(**header["segmenter"]), name, device, folder).requires_grad_(False)


def load_segmenter_card(name: str = "nano-sam") -> dict:
    """How a shipped segmenter was made and how good it is."""
    return load_card(name)


def to_pixels(images) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in 0..1, what a segmenter takes."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
