"""What of a model is tuned: all of it, or, where a training must take seconds, its last layers on what the frozen ones give.

`tuned(model)` gives two towers for `clipkit.adapt.continual`, and the functions that turn pictures and tokens into what they take.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.adapt.retained import encoded
from clipkit.datasets import Dataset, fill_templates
from clipkit.errors import ClipkitError
from clipkit.features import extract
from clipkit.models import towers
from clipkit.models.lit import LitModule
from clipkit.models.lite import LiteEncoder

WORDS_OF_LIT = (999, 30522)  # of its word pieces those below are marks and unused


class WholeTowers(nn.Module):
    """Both towers of a DualEncoder, copied: pixels (N, 3, H, W) and tokens (N, L) to unit-norm features (N, D).

    It stays in evaluation mode, so that a few pictures do not move the statistics of batch norms.
    """

    def __init__(self, model):
        super().__init__()
        self.face = copy.copy(model)
        self.face.module = self.module = copy.deepcopy(model.module).requires_grad_(True)

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.face.encode_image(pixels)

    def encode_text(self, tokens: Tensor) -> Tensor:
        return self.face.encode_text(tokens)

    @property
    def logit_scale(self) -> Tensor:
        return self.face.logit_scale

    def train(self, mode: bool = True) -> WholeTowers:
        return super().train(False)


class LastLayers(nn.Module):
    """The last layer of each tower of an open_clip ViT, and what follows it, tuned; the rest has been computed.

    Pictures are what enters the last block, (N, T, W); texts too, (N, L, W), zero behind the end of text.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.visual = copy.deepcopy(module.visual).requires_grad_(False)
        self.visual.transformer.resblocks = self.visual.transformer.resblocks[-1:]
        self.block, self.ln_final = copy.deepcopy(module.transformer.resblocks[-1]), copy.deepcopy(module.ln_final)
        self.text_projection = nn.Parameter(module.text_projection.detach().clone())
        for part in (self.visual.transformer.resblocks, self.visual.ln_post, self.visual.proj, self.block, self.ln_final):
            part.requires_grad_(True)  # the model may have been frozen
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
    """A linear map behind each tower, tuned; pictures (N, P) and texts (N, S) are features. `pictures` is (D, P), `sentences` (D, S).

    Columns of weights are brought to unit length and their inputs stretched to match, so that one learning rate fits them all.
    """

    def __init__(self, pictures: Tensor, sentences: Tensor, scale: Tensor):
        super().__init__()
        for name, weight in (("pictures", pictures.detach().cpu()), ("sentences", sentences.detach().cpu())):
            length = weight.norm(dim=0).clamp(min=1e-9)
            self.register_buffer(f"{name}_stretch", length)
            setattr(self, name, nn.Parameter(weight / length))
        self.register_buffer("logit_scale", scale.detach().cpu())

    def encode_image(self, x: Tensor) -> Tensor:
        return F.normalize(x * self.pictures_stretch @ self.pictures.T, dim=-1)

    def encode_text(self, x: Tensor) -> Tensor:
        return F.normalize(x * self.sentences_stretch @ self.sentences.T, dim=-1)


class LayerHeads(nn.Module):
    """What a model says, mapped linearly, plus a linear map of what its layers hold; at the start the one changes nothing and the
    other is zero. Pictures (N, D + P) and texts (N, D + S): features and layers. `standardise` makes one learning rate fit all.
    """

    def __init__(self, dim: int, pictures: int, sentences: int, scale: Tensor):
        super().__init__()
        for name, width in (("pictures", pictures), ("sentences", sentences)):
            setattr(self, name, nn.Parameter(torch.eye(dim)))
            setattr(self, f"{name}_layers", nn.Parameter(torch.zeros(dim, width)))
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_spread", torch.ones(width))
        self.register_buffer("logit_scale", scale.detach().cpu())

    def standardise(self, images: Tensor, texts: Tensor) -> LayerHeads:
        """Take mean and spread of the layers from pictures and texts to learn from; itself."""
        for name, x in (("pictures", images), ("sentences", texts)):
            layers = x[:, len(getattr(self, name)) :]
            getattr(self, f"{name}_mean").copy_(layers.mean(0))
            getattr(self, f"{name}_spread").copy_(layers.std(0).clamp(min=1e-6) * layers.shape[1] ** 0.5)
        return self

    def _encode(self, name: str, x: Tensor) -> Tensor:
        own = getattr(self, name)
        layers = (x[:, len(own) :] - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_spread")
        return F.normalize(x[:, : len(own)] @ own.T + layers @ getattr(self, f"{name}_layers").T, dim=-1)

    def encode_image(self, x: Tensor) -> Tensor:
        return self._encode("pictures", x)

    def encode_text(self, x: Tensor) -> Tensor:
        return self._encode("sentences", x)


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


TUNES = ("heads", "layers", "last", "all")


def tuned(model, tune: str = "heads") -> Tuned:
    """A linear map behind each tower, which for `lit` is its own head ("heads"), with what the layers of a ViT of open_clip hold beside
    it ("layers": mean and spread of the tokens that enter each), its last layers ("last"), or all.

    Raises ClipkitError: another `tune`, a model that has no such part.
    """
    checks.one_of("part to tune", tune, TUNES)
    module, words = model.module, WORDS_OF_LIT if isinstance(model, LiteEncoder) else None
    if tune == "heads":
        face, weights = model, [torch.eye(model.embed_dim)] * 2  # at the start the map changes nothing
        if isinstance(module, LitModule):
            face = LockedParts(module, None, model.name, model.image_size)
            weights = [torch.cat([h.weight, h.bias[:, None]], 1) for h in (module.heads.pictures, module.heads.sentences)]
        heads, read = LinearHeads(*weights, model.logit_scale), torch.no_grad()(lambda tokens: encoded(face.encode_text, tokens).cpu())
        return Tuned(model, tune, heads, lambda data: extract(face, data, batch=16).image, read, _words(model, words))
    if not towers.can_pack(module) or type(module.visual).__name__ != "VisionTransformer":
        raise ClipkitError(f"{model.name} is no ViT of open_clip, whose layers this page could tune; leave out -p tune")

    def pixels(data: Dataset) -> Tensor:
        return model.preprocess_batch(data.array if data.array is not None else [data.images[i] for i in range(len(data))])

    if tune == "layers":
        seen, read = module.visual.transformer.resblocks[1:], module.transformer.resblocks

        def said(tokens: Tensor) -> Tensor:
            keep = torch.arange(tokens.shape[1]) <= tokens.argmax(1)[:, None]
            return _with_layers(read, model.encode_text, tokens, keep)

        widths = (2 * sum(block.ln_1.normalized_shape[0] for block in blocks) for blocks in (seen, read))
        heads = LayerHeads(model.embed_dim, *widths, model.logit_scale)
        return Tuned(model, tune, heads, lambda data: _with_layers(seen, model.encode_image, pixels(data)), said, _words(model, words))

    if tune == "all":
        return Tuned(model, tune, WholeTowers(model), pixels, lambda tokens: tokens, _words(model, words))

    def texts(tokens: Tensor) -> Tensor:
        x, ends = _entering(module.transformer.resblocks[-1], model.encode_text, tokens), tokens.argmax(1)
        return x * (torch.arange(x.shape[1]) <= ends[:, None])[..., None]

    def images(data: Dataset) -> Tensor:
        return _entering(module.visual.transformer.resblocks[-1], model.encode_image, pixels(data))

    return Tuned(model, tune, LastLayers(module), images, texts, _words(model, words))


def _words(model, ids: tuple[int, int] | None) -> Tensor:
    """Ids of tokens that may be drawn: a range, or all that the model's embedding has."""
    return torch.arange(*ids) if ids else torch.arange(towers.word_embedding(model.module).num_embeddings)


@torch.no_grad()
def _with_layers(layers: Sequence[nn.Module], encode: Callable[[Tensor], Tensor], inputs: Tensor, keep: Tensor | None = None) -> Tensor:
    """(N, D + 2 W len(layers)): the features, then mean and standard deviation over the tokens (N, T) to keep that enter each layer."""
    found = []
    for start in range(0, len(inputs), 64):
        part = inputs[start : start + 64]
        with towers.captured_inputs([*layers]) as seen:
            features = encode(part)
        for x in seen:
            w = x.new_ones(x.shape[:2]) if keep is None else keep[start : start + 64, : x.shape[1]].to(x)
            w = (w / w.sum(1, keepdim=True))[..., None]
            mean = (w * x).sum(1)
            features = torch.cat([features, mean, (w * (x - mean[:, None]).square()).sum(1).sqrt()], 1)
        found.append(features.cpu())
    return torch.cat(found)


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
