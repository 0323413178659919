"""What of a model is tuned when a training must take seconds: its last layers, on what the frozen ones made of the inputs.

`tuned(model)` gives two towers for `clipkit.adapt.continual`, and the functions that turn pictures and tokens into what they take.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.adapt.continual import WholeTowers
from clipkit.adapt.retained import encoded
from clipkit.datasets import Dataset, fill_templates
from clipkit.errors import ClipkitError
from clipkit.features import extract
from clipkit.models import towers
from clipkit.models.lit import LitModule
from clipkit.models.lite import LiteEncoder

WORDS_OF_LIT = (999, 30522)  # of its word pieces those below are marks and unused


class LastLayers(nn.Module):
    """The last layer of each tower of an open_clip ViT, and what follows it, tuned; the rest has been computed.

    Pictures are what enters the last block, (N, T, W); texts too, (N, L, W), zero behind the end of text.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.visual, self.block = copy.deepcopy(module.visual).requires_grad_(False), copy.deepcopy(module.transformer.resblocks[-1])
        self.visual.transformer.resblocks = self.visual.transformer.resblocks[-1:].requires_grad_(True)
        self.visual.ln_post.requires_grad_(True), self.visual.proj.requires_grad_(True)
        self.ln_final, self.text_projection = copy.deepcopy(module.ln_final), nn.Parameter(module.text_projection.detach().clone())
        self.register_buffer("mask", module.attn_mask.clone())
        self.register_buffer("logit_scale", module.logit_scale.detach().exp())

    def encode_image(self, x: Tensor) -> Tensor:
        pooled = self.visual._pool(self.visual.transformer.resblocks[0](x))[0]
        return F.normalize(pooled @ self.visual.proj, dim=-1)

    def encode_text(self, x: Tensor) -> Tensor:
        ends = (x != 0).any(2).sum(1) - 1
        length = int(ends.max()) + 1
        x = self.block(x[:, :length], attn_mask=self.mask[:length, :length])
        return F.normalize(towers.project_text(self, x[torch.arange(len(x)), ends]), dim=-1)


class LinearHeads(nn.Module):
    """The two heads of `lit`, tuned; pictures (N, P) and texts (N, S) are what the locked towers give, and a one for the bias.

    Columns of weights are brought to unit length and their inputs stretched to match, so that one learning rate fits them all.
    """

    def __init__(self, heads: nn.Module):
        super().__init__()
        for name, head in (("pictures", heads.pictures), ("sentences", heads.sentences)):
            weight = torch.cat([head.weight, head.bias[:, None]], 1).detach().cpu()
            length = weight.norm(dim=0).clamp(min=1e-9)
            self.register_buffer(f"{name}_stretch", length)
            setattr(self, name, nn.Parameter(weight / length))
        self.register_buffer("logit_scale", heads.logit_scale.detach().cpu().exp())

    def encode_image(self, x: Tensor) -> Tensor:
        return F.normalize(x * self.pictures_stretch @ self.pictures.T, dim=-1)

    def encode_text(self, x: Tensor) -> Tensor:
        return F.normalize(x * self.sentences_stretch @ self.sentences.T, dim=-1)


class LockedParts(LiteEncoder):
    """`lit` without its heads: unit-norm features that hold what a head reads and a one, from which any head can be computed."""

    def _image(self, pixels: Tensor) -> Tensor:
        return F.pad(self.module.picture_parts(self.module.visual(pixels).mean((2, 3))), (0, 1), value=1.0)

    def _text(self, tokens: Tensor) -> Tensor:
        return F.pad(self.module.sentence_parts(self.module.text(tokens)), (0, 1), value=1.0)

    @property
    def preprocessing(self) -> dict:
        return {**super().preprocessing, "part": "before the heads"}


@dataclass(frozen=True, eq=False)
class Tuned:
    """What of a model is tuned: `towers`, and how data and tokens become what they take. `words`: ids of tokens (M,)."""

    model: object
    tune: str
    towers: nn.Module
    images: Callable[[Dataset], Tensor]
    texts: Callable[[Tensor], Tensor]
    words: Tensor

    def prompts(self, names: Sequence[str], template: str) -> Tensor:
        return self.texts(self.model.tokenize([row[0] for row in fill_templates(names, [template])]))


def tuned(model, tune: str = "last") -> Tuned:
    """The heads of `lit`, the last layers of an open_clip ViT, or with tune="all" whole towers. Raises ClipkitError for others."""
    module = model.module
    if isinstance(module, LitModule):
        parts = LockedParts(module, None, model.name, model.image_size)
        images, words = (lambda data: extract(parts, data, batch=16).image), torch.arange(*WORDS_OF_LIT)
        texts = lambda tokens: encoded(parts.encode_text, tokens).detach().cpu()  # noqa: E731
        return Tuned(model, "heads", LinearHeads(module.heads), images, texts, words)
    if not towers.can_pack(module) or type(module.visual).__name__ != "VisionTransformer":
        raise ClipkitError(f"{model.name} has no two towers whose last layer this page could tune; take nano, lit or a ViT of open_clip")
    words = torch.arange(towers.word_embedding(module).num_embeddings)
    pixels = lambda data: model.preprocess_batch(data.array if data.array is not None else [data.images[i] for i in range(len(data))])  # noqa: E731
    if tune == "all":
        return Tuned(model, tune, WholeTowers(model), pixels, lambda tokens: tokens, words)
    images = lambda data: _entering(module.visual.transformer.resblocks[-1], model.encode_image, pixels(data))  # noqa: E731

    def texts(tokens: Tensor) -> Tensor:
        x, ends = _entering(module.transformer.resblocks[-1], model.encode_text, tokens), tokens.argmax(1)
        return x * (torch.arange(x.shape[1]) <= ends[:, None])[..., None]

    return Tuned(model, tune, LastLayers(module), images, texts, words)


@torch.no_grad()
def _entering(layer: nn.Module, encode: Callable[[Tensor], Tensor], inputs: Tensor, batch: int = 64) -> Tensor:
    """What enters a layer while many inputs are encoded; rows are brought to one length."""
    found = []
    for part in inputs.split(batch):
        with towers.captured_inputs([layer]) as seen:
            encode(part)
        found.append(seen[0])
    longest = max(x.shape[1] for x in found)
    return torch.cat([F.pad(x, (0, 0, 0, longest - x.shape[1])) for x in found])
