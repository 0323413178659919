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

    Tokens of the picture are the cells of the convolutional tower's last map, those of the question what the text tower makes of each
    word. They pass `layers` transformer layers together; all cells and the words' mean then go through one hidden layer to the answers.

    Args:
        clip: a `NanoEncoder` of `clipkit.pretrain.tiny_clip.small_clip`; shared, not copied. freeze: keep its towers as they are.
        layers: of the transformer; with 0, pictures and words meet in the hidden layer only. seed: of the weights.

    Raises ClipkitError: layers below 0, answers that are none or repeat, a CLIP of another build.
    Source: arXiv:2212.12043, section 5: image and text tokens of CLIP, a Transformer, a classifier over answers.
    """

    def __init__(self, clip, answers: Sequence[str], layers: int = 1, freeze: bool = True, width: int = 32, seed: int = 0):
        super().__init__()
        if layers < 0 or not answers or len(set(answers)) < len(answers):
            raise ClipkitError(f"give at least 0 layers and a list of distinct answers; got {layers} and {list(answers)}")
        if not isinstance(clip.module.visual, nn.Sequential) or not hasattr(clip.module, "transformer"):
            raise ClipkitError(f"{clip.name} has no convolutional map and word tokens to read; build one with small_clip")
        self.answers, self.freeze, self.tokenize = tuple(answers), freeze, clip.tokenize
        self.towers = clip.module.requires_grad_(not freeze)
        channels, words = clip.module.visual[-4].out_channels, clip.module.ln_final.normalized_shape[0]
        cells = clip.module.visual[-1].in_features // channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.see, self.read = nn.Linear(channels, width), nn.Linear(words, width)
            self.places = nn.Parameter(0.1 * torch.randn(cells, width))
            self.encoder = Encoder(width, layers, heads=4)
            self.head = nn.Sequential(nn.Linear((cells + 1) * width, 4 * width), nn.GELU(), nn.Linear(4 * width, len(answers)))

    def tokens(self, pixels: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (B, M, C) of pixels (B, 3, S, S), and word tokens (B, L, W) of words (B, L); gradients flow unless frozen."""
        m = self.towers
        with torch.no_grad() if self.freeze else nullcontext():
            cells = m.visual[:-2](pixels).flatten(2).transpose(1, 2)
            x = m.token_embedding(words) + m.positional_embedding[: words.shape[1]]
            return cells, m.ln_final(m.transformer(x, attn_mask=m.attn_mask[: words.shape[1], : words.shape[1]]))

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        """Scores (B, A) for preprocessed pixels (B, 3, S, S) and tokenized questions (B, L), 0 where there is no word."""
        words = words[:, : int((words != 0).sum(1).max())]
        (cells, said), real = self.tokens(pixels, words), words != 0
        x = torch.cat([self.see(cells) + self.places, self.read(said)], 1)
        x = self.encoder(x, torch.cat([real.new_ones(cells.shape[:2]), real], 1))
        seen, asked = x[:, : cells.shape[1]], x[:, cells.shape[1] :]
        asked = (asked * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return self.head(torch.cat([seen.flatten(1), asked], 1))
