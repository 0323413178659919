"""Many texts with one beginning, encoded once: the shared words are computed a single time for all texts.

In a causal text tower a word never looks ahead, so what a tower makes of a common beginning is the same in every
text. Here the endings are laid side by side behind the beginning in one long row, each at the positions it would have
alone, and a mask lets each ending see the beginning and itself only. The features are the same numbers (up to the
order of additions); a prompt learner with 16 shared words before 48 names saves five sixths of the work.

Letters: P words of the beginning, S of the longest ending, C texts, W width, D joint dimensions, G endings a row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.models.towers import can_pack, project_text

ROW = 256  # words of endings a row: attention grows with the square of a row, and shorter rows repeat the beginning more often


def encode_packed(module: nn.Module, beginning: Tensor, endings: Tensor, lengths: Tensor) -> Tensor:
    """Raw text features (C, D) of texts `beginning` + `endings[c, :lengths[c]]`, gradients included.

    Args:
        module: a tower for which `can_pack` is true.
        beginning: word embeddings (P, W), start token included. endings: (C, S, W), padded; at `lengths[c] - 1` stands
            the end of text. lengths: (C,) int64, from 1 to S.
    Raises ClipkitError for another tower, or texts longer than its context.
    """
    if not can_pack(module):
        raise ClipkitError(f"a text tower of type {type(module).__name__} cannot share a beginning; encode the texts one by one")
    (p, width), (c, s, _) = beginning.shape, endings.shape
    if p + s > len(module.positional_embedding):
        raise ClipkitError(f"texts of {p + s} tokens do not fit the context of {len(module.positional_embedding)}; shorten the prompts")
    dtype = module.transformer.get_cast_dtype()
    position = module.positional_embedding[: p + s].to(dtype)
    g = max(1, min(c, ROW // s))  # endings a row
    rows = -(-c // g)
    tails = F.pad(endings.to(dtype) + position[p:], (0, 0, 0, 0, 0, rows * g - c)).reshape(rows, g * s, width)
    x = torch.cat([(beginning.to(dtype) + position[:p]).expand(rows, p, width), tails], dim=1)  # (rows, P + G S, W)
    x = module.transformer(x, attn_mask=_mask(p, g, s, x))
    x = x[:, p:].reshape(rows * g, s, width)[torch.arange(c, device=x.device), lengths - 1]  # (C, W), each at its end of text
    return project_text(module, x)


def _mask(p: int, g: int, s: int, like: Tensor) -> Tensor:
    """Additive (P + G S, P + G S): causal inside beginning and endings, endings see the beginning, never each other."""
    part = torch.cat([like.new_zeros(p, dtype=torch.int64), 1 + torch.arange(g, device=like.device).repeat_interleave(s)])
    seen = (part[:, None] == part[None, :]) | (part[None, :] == 0)
    seen &= torch.ones_like(seen).tril()
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, float("-inf"))
