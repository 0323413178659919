"""What the question answerer and its rivals see: a frozen tower's patches, in one space with words.

Letters in shapes: N pictures, B pairs, M picture tokens, D their width, L words, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.towers import blocks

LAYERS = (2, 4)  # blocks of the image tower whose patches are looked at


@torch.no_grad()
def patch_tokens(model, images, layers: Sequence[int] = LAYERS, batch: int = 128) -> Tensor:
    """(N, M, W · len(layers)) float16 on the CPU: what a frozen ViT's patches are after some of its blocks, side by side.

    Every layer's patch is normalised (mean 0, variance 1).

    Args:
        model: a DualEncoder with an open_clip ViT. images: as for `image_features`. layers: numbers of blocks, from 1.

    Raises: ClipkitError for another image tower, or a block it does not have.
    """
    visual = model.module.visual
    stack = blocks(visual)
    grid = getattr(visual, "grid_size", None)
    if grid is None or any(not 1 <= k <= len(stack) for k in layers):
        raise ClipkitError(f"{model.name} has {len(stack)} blocks with a grid of patches {grid}; ask for layers 1 to {len(stack)} of a ViT")
    m, parts = grid[0] * grid[1], []
    for pixels in model._batches(images, batch):
        seen: dict[int, Tensor] = {}
        handles = [stack[k - 1].register_forward_hook(lambda _, args, out, k=k, to=seen: to.__setitem__(k, out)) for k in layers]
        try:
            model.encode_image(pixels)
        finally:
            for handle in handles:
                handle.remove()
        maps = [F.layer_norm(seen[k][:, -m:].float(), seen[k].shape[-1:]) for k in layers]
        parts.append(torch.cat(maps, -1).half().cpu())
    return torch.cat(parts) if parts else torch.empty(0, m, len(layers) * visual.ln_post.normalized_shape[0], dtype=torch.float16)


class Eyes(nn.Module):
    """Picture patches (B, M, D) and words in one space of width W, where a patch lies near the words for what it shows.

    Both the answerer and its rivals look through it; the first lesson (`builder.recipes.regions`) is for it alone.
    """

    def __init__(self, vocabulary: WordVocabulary, picture_width: int, picture_length: int, width: int):
        super().__init__()
        side = round(picture_length**0.5)
        if side * side != picture_length or side % 2:
            raise ClipkitError(f"picture tokens lie on a square grid of even side; {picture_length} do not")
        self.side, self.width, self.shape = side, width, (picture_length, picture_width)
        self.project = nn.Sequential(nn.Linear(picture_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.words = nn.Embedding(len(vocabulary), width)
        self.log_scale = nn.Parameter(torch.tensor(2.5))
        at = torch.arange(picture_length)
        self.register_buffer("where", torch.stack([at % side, at // side], 1) / (side - 1) * 2 - 1, persistent=False)
        nn.init.normal_(self.words.weight, std=width**-0.5)

    def patches(self, pictures: Tensor) -> Tensor:
        """(B, M, W). Raises ClipkitError for another shape, or NaN."""
        if pictures.ndim != 3 or tuple(pictures.shape[1:]) != self.shape:
            m, d = self.shape
            raise ClipkitError(f"this model takes picture tokens (B, {m}, {d}), got {tuple(pictures.shape)}; make them with patch_tokens")
        if not torch.isfinite(pictures.sum(dtype=torch.float32)):
            raise ClipkitError("the picture tokens hold NaN or infinite values; check the pictures")
        return self.project(pictures.to(self.words.weight.dtype))

    def similarity(self, words: Tensor, patches: Tensor) -> Tensor:
        """Scaled cosines (…, L, M) of words (…, L, W) and patches (…, M, W)."""
        return self.log_scale.exp() * F.normalize(words, dim=-1) @ F.normalize(patches, dim=-1).transpose(-1, -2)

    def cells(self, patches: Tensor) -> Tensor:
        """Means of 2 × 2 neighbours, (B, M / 4, W): the picture's tokens in a transformer, at a quarter of the cost."""
        half = self.side // 2
        return patches.unflatten(1, (half, 2, half, 2)).mean((2, 4)).flatten(1, 2)


class LookUp(nn.Module):
    """What each word finds in the picture: the patches it resembles, where and how far apart they lie, how strong the likeness is.

    Two look-ups a word: by its own embedding, and by itself with what the two words before it add ("a red cat", "cat is red"). And
    each word is told how well it fits what its neighbours found: "red" before "cat", the patches that "cat" found.
    """

    FACTS = 6  # strength, extent, centre (2), spread (2)
    REACH = 3  # neighbours on either side

    def __init__(self, width: int):
        super().__init__()
        self.context = nn.Conv1d(width, width, 3)
        self.take, self.tell = nn.Linear(2 * width, width), nn.Linear(2 * self.FACTS + 2 * self.REACH + 1, width)
        nn.init.zeros_(self.context.weight)  # at first the second look-up is the first
        nn.init.zeros_(self.context.bias)

    def in_context(self, words: Tensor) -> Tensor:
        """Each word (B, L, W) with what the two before it add."""
        return words + self.context(F.pad(words.transpose(1, 2), (2, 0))).transpose(1, 2)

    def fit(self, words: Tensor, found: Tensor) -> Tensor:
        """Cosines (B, L, 2 · REACH + 1) of each word (B, L, W) with what the words from REACH before to REACH behind it found."""
        near = F.pad(F.normalize(found, dim=-1), (0, 0, self.REACH, self.REACH)).unfold(1, 2 * self.REACH + 1, 1)
        return (F.normalize(words, dim=-1)[:, :, None] @ near).squeeze(2)

    def forward(self, eyes: Eyes, words: Tensor, patches: Tensor, real: Tensor | None = None) -> Tensor:
        """(B, L, W), to be added to the words (B, L, W) that look at patches (B, M, W). real: (B, L) bool, False for padding."""
        content = F.normalize(patches, dim=-1) * eyes.width**0.5
        where = torch.cat([eyes.where, eyes.where.square()], 1).to(words.dtype)
        found, facts = [], []
        for query in (words, self.in_context(words)):
            likeness = eyes.similarity(query, patches)
            weight = likeness.softmax(-1)
            centre, square = (weight @ where).chunk(2, -1)
            strength = likeness.logsumexp(-1, keepdim=True) - eyes.log_scale.exp()
            extent = -weight.square().sum(-1, keepdim=True).log() / 4  # of the number of patches it rests on
            found.append(weight @ content)
            facts += [strength, extent, centre, (square - centre.square()).clamp(min=1e-6).sqrt()]
        facts.append(2 * self.fit(words, found[0] if real is None else found[0] * real[..., None]))
        return self.take(torch.cat(found, -1)) + self.tell(torch.cat(facts, -1))
