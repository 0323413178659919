"""A CLIP small enough to be trained while a page runs: three convolutions and one transformer layer, seconds on a processor.

At 32 pixels and a few ten thousand pictures convolutions find shapes sooner than a vision transformer does.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.pretrain.frozen_clip import tokenize_each
from clipkit.train import shuffled

SIDE, EMBED_DIM, CONTEXT = 32, 64, 12  # pixels; joint dimensions; tokens: a short caption has at most 12


def small_tower(width: int = 24, embed_dim: int = EMBED_DIM) -> nn.Sequential:
    """Pixels (N, 3, 32, 32) to (N, embed_dim): 32 -> 16 -> 8 -> 4 pixels a side, then one linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, width, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * width * (SIDE // 8) ** 2, embed_dim),
    )


class AttentionBlock(nn.Module):
    """One layer of a vision transformer, attention spelt out: on a processor its backward pass is several times as fast."""

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads, self.norms = heads, nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.back = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norms[0](x)).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (N, heads, T, d) each
        seen = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        x = x + self.back(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norms[1](x))


class PatchTower(nn.Module):
    """A vision transformer for 32 pixels: patches of 8, two layers of width 64, all cells side by side as in the other tower."""

    def __init__(self, width: int = 64, layers: int = 2):
        super().__init__()
        self.cut, self.place = nn.Conv2d(3, width, 8, 8), nn.Parameter(0.02 * torch.randn((SIDE // 8) ** 2, width))
        self.blocks = nn.ModuleList(AttentionBlock(width) for _ in range(layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Flatten(), nn.Linear((SIDE // 8) ** 2 * width, EMBED_DIM))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.cut(pixels).flatten(2).mT + self.place
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def small_clip(seed: int, logit_scale: float | None = None, device: str | torch.device = "cpu"):
    """An untrained `NanoEncoder`: `small_tower`, and open_clip's text tower (one layer, width 64) over the shipped vocabulary.

    Args:
        seed: of the weights. Models that differ only in `logit_scale` start from the same ones.
        logit_scale: None: learnt, from 1 / 0.07 on, as CLIP does; a positive number: stays at it.

    Raises: ClipkitError for a logit scale that is not positive.
    """
    from clipkit.models import NanoEncoder, build_nano, load_tokenizer
    from clipkit.paths import shipped

    if logit_scale is not None and not logit_scale > 0:
        raise ClipkitError(f"logit_scale must be a positive number, or None to learn it; got {logit_scale}")
    merges = shipped("models", "nano_bpe.txt.gz")
    vocabulary = load_tokenizer(merges, CONTEXT).vocab_size
    config = {
        "name": "small",
        "embed_dim": EMBED_DIM,
        # open_clip wants an image tower of its own; the smallest is built, and replaced
        "vision_cfg": {"image_size": SIDE, "layers": 1, "width": 32, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": CONTEXT, "width": 64, "heads": 2, "layers": 1, "vocab_size": vocabulary},
        "tokenizer": {"merges": merges.name, "context_length": CONTEXT},
        "preprocess": {"size": SIDE, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    # The caller's own stream of random numbers goes on as if no model had been made.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_nano(config)
        module.visual = small_tower()
    if logit_scale is not None:
        module.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)).log(), requires_grad=False)
    return NanoEncoder(module.to(device), config)


def caption_batches(model, dataset, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (pixels (batch, 3, S, S), tokens (batch, L)) of a data set for ever, on the model's device.

    Each pass has its own random order, which depends on `seed` alone: two batch sizes that divide the number of
    pictures see the same pairs in the same order. Pictures are read once and kept in memory; first captions are used.

    Raises: ClipkitError when there are no captions, or fewer pictures than a batch.
    """
    if dataset.captions is None:
        raise ClipkitError(f"contrastive training needs captions, and {dataset.name} has none; take one with captions, such as world")
    if len(dataset) < batch:
        raise ClipkitError(f"{len(dataset)} pictures do not fill a batch of {batch}; give more pictures or a smaller batch")
    images = [dataset.images[i] for i in range(len(dataset))] if dataset.array is None else dataset.array
    pixels = model.preprocess_batch(images).to(model.device)
    tokens = tokenize_each(model.tokenize, [captions[0] for captions in dataset.captions]).to(model.device)
    for rows in shuffled(len(pixels), batch, torch.Generator().manual_seed(seed), rest="drop"):
        yield pixels[rows], tokens[rows]
