"""The real SAM, from Hugging Face's `transformers`, behind the face that the stand-in shows: `encode` pictures, `decode` prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.dense.proxy import resize
from clipkit.errors import ClipkitError, MissingExtra

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MASK_FACTOR = 0.005  # of the coarse probability, as a mask prompt: the released code of arXiv:2411.09219


@dataclass
class SamEmbedding:
    """`features` (B, C, g, g) of the squares SAM saw; `attention` (B, H, N, N) and `values` (B, H, N, d) of the last layer, cut to the
    h × w = N cells that hold the picture, rows not brought back to a sum of 1; `size` of the pictures, `scale` of SAM's pixels to theirs.
    """

    features: Tensor
    attention: Tensor
    values: Tensor
    grid: tuple[int, int]
    size: tuple[int, int]
    scale: float


class HuggingFaceSam(nn.Module):
    """A `transformers.SamModel`. Pictures are scaled so that their longer side is SAM's 1,024 pixels, and padded below and right.

    Args: model: a SamModel that was loaded with attn_implementation="eager" (fused attention gives no weights).
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model.eval()
        vision = model.config.vision_config
        self.side, self.patch, self.heads = vision.image_size, vision.patch_size, vision.num_attention_heads
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> SamEmbedding:
        """Pixels (B, 3, H, W) in 0..1 to a `SamEmbedding`. Raises ClipkitError for another shape, or a model without attention weights."""
        if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise ClipkitError(f"SAM takes pixels (B, 3, H, W) in 0..1, got {tuple(pixels.shape)} {pixels.dtype}")
        scale = self.side / max(size := tuple(pixels.shape[-2:]))
        inner = tuple(round(n * scale) for n in size)
        x = F.interpolate(pixels, size=inner, mode="bilinear", antialias=True, align_corners=False)
        x = F.pad((x - self.mean) / self.std, (0, self.side - inner[1], 0, self.side - inner[0]))
        kept: list[Tensor] = []
        last = self.model.vision_encoder.layers[-1].attn.qkv
        handle = last.register_forward_hook(lambda module, args, output: kept.append(output))
        try:
            found = self.model.vision_encoder(x, output_attentions=True)
        finally:
            handle.remove()
        if not found.attentions or found.attentions[-1] is None:
            raise ClipkitError("this SAM gives no attention weights; load it with attn_implementation='eager'")
        cells, b, (h, w) = self.side // self.patch, len(x), (n // self.patch for n in inner)
        attention = found.attentions[-1].reshape(b, self.heads, *[cells] * 4)[:, :, :h, :w, :h, :w].reshape(b, self.heads, h * w, h * w)
        value = kept[0].reshape(b, cells, cells, 3, self.heads, -1)[:, :h, :w, 2].permute(0, 3, 1, 2, 4).flatten(2, 3)
        return SamEmbedding(found.last_hidden_state, attention, value, (h, w), size, scale)

    @torch.no_grad()
    def decode(self, embedding: SamEmbedding, image: Tensor, boxes: Tensor, points: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Masks for Q prompts, one mask each; arguments and returns as `clipkit.dense.segmenter.Segmenter.decode`."""
        q, (h, w) = len(image), embedding.size
        wide = 4 * embedding.features.shape[-1]  # side of a mask prompt, and of what comes out
        inner = tuple(round(n * embedding.scale * wide / self.side) for n in embedding.size)
        coarse = F.pad(resize(masks[:, None], inner), (0, wide - inner[1], 0, wide - inner[0]))
        found = self.model(
            image_embeddings=embedding.features[image],
            input_points=(points * embedding.scale)[:, None, None],
            input_labels=torch.ones(q, 1, 1, dtype=torch.int64, device=points.device),
            input_boxes=(boxes * embedding.scale)[:, None],
            input_masks=MASK_FACTOR * torch.where(coarse > 0.5, coarse, 0),
            multimask_output=False,
        )
        logits = found.pred_masks[:, 0, :, : inner[0], : inner[1]]
        return resize(logits, (h, w))[:, 0], found.iou_scores[:, 0, 0].clamp(0, 1)


def load_sam(path: str | Path, device: str = "auto") -> HuggingFaceSam:
    """SAM from a local folder in Hugging Face's format (`facebook/sam-vit-base` and its kin).

    Raises MissingExtra without `transformers`, ClipkitError for a folder that holds no SAM.
    """
    from clipkit.compat import ensure_torchvision
    from clipkit.devices import resolve_device

    ensure_torchvision()  # transformers imports it
    try:
        from transformers import SamModel
    except ImportError as error:
        raise MissingExtra("transformers", "photos") from error
    if not (Path(path) / "config.json").is_file():
        raise ClipkitError(f"{path} is no folder with a SAM of Hugging Face (no config.json); download facebook/sam-vit-base there first")
    try:
        model = SamModel.from_pretrained(str(path), attn_implementation="eager", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClipkitError(f"{path} holds no readable SAM: {str(error).splitlines()[0]}") from error
    return HuggingFaceSam(model).to(resolve_device(device)).requires_grad_(False)
