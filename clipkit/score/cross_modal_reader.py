"""A transformer over the tokens of both towers of a small CLIP, which answers questions; without a layer, its head alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.language.transformer import Encoder


class CrossModalReader(nn.Module):
    """Pictures and questions to scores of a closed list of answers.

    All tokens lie in CLIP's joint space: what each 2 × 2 cells of the convolutional tower's last map add to the picture's vector, and
    the question's vector. They pass `layers` transformer layers; in the first, each starts by looking at those it resembles. The head,
    one hidden layer, reads the mean of the cells, the question's token, and their product: with 0 layers CLIP's own two vectors.
    Args: clip: of `clipkit.pretrain.tiny_clip.small_clip`, shared, not copied; freeze: keep its towers as they are.
    Raises ClipkitError: layers below 0, answers that are none or repeat, a CLIP of another build.
    Source: arXiv:2212.12043, section 5: CLIP's tokens, a Transformer, a classifier over answers.
    """

    def __init__(self, clip, answers: Sequence[str], layers: int = 1, freeze: bool = True, seed: int = 0):
        super().__init__()
        if layers < 0 or not answers or len(set(answers)) < len(answers):
            raise ClipkitError(f"give at least 0 layers and a list of distinct answers; got {layers} and {list(answers)}")
        if not isinstance(clip.module.visual, nn.Sequential) or not hasattr(clip.module, "transformer"):
            raise ClipkitError(f"{clip.name} has no convolutional map and word tokens to read; build one with small_clip")
        self.answers, self.freeze, self.tokenize = tuple(answers), freeze, clip.tokenize
        self.towers, width = clip.module.requires_grad_(not freeze), clip.embed_dim
        cells = clip.module.visual[-1].in_features // clip.module.visual[-4].out_channels // 4
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.places = nn.Parameter(0.1 * torch.randn(cells, width))
            self.encoder = Encoder(width, layers, heads=1)
            self.head = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, len(answers)))
        for block in self.encoder.blocks[:1]:
            nn.init.eye_(block.attend_self.query.weight)
            nn.init.eye_(block.attend_self.key_value.weight[:width])

    def tokens(self, pixels: Tensor, words: Tensor) -> Tensor:
        """Tokens (B, M + 1, W) of preprocessed pixels (B, 3, S, S) and tokenized questions (B, L); gradients flow unless frozen."""
        with torch.no_grad() if self.freeze else nullcontext():
            seen, last = self.towers.visual[:-2](pixels), self.towers.visual[-1]  # (B, C, Y, X)
            cells = torch.einsum("bcyx,wcyx->byxw", seen, last.weight.unflatten(1, seen.shape[1:]))
            cells = cells.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).sum((2, 4)).flatten(1, 2)
            asked = self.towers.encode_text(words)[:, None]
            return torch.cat([x * x.square().mean((1, 2), keepdim=True).rsqrt() for x in (cells, asked)], 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores (B, A) for tokens (B, M + 1, W)."""
        x = self.encoder(tokens + torch.cat([self.places, torch.zeros_like(self.places[:1])]))
        seen, asked = x[:, :-1].mean(1), x[:, -1]
        return self.head(torch.cat([seen, asked, seen * asked], 1))
