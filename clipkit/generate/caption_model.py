"""A captioner over frozen picture tokens: what an image tower sees as a short row of vectors, and a decoder that reads it.

Letters in shapes: N pictures, M tokens a picture, D dimensions of the image–text model, L words, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.generate.references import brief_references
from clipkit.language.transformer import TextDecoder
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.parts import load_part
from clipkit.train import shuffled, train
from clipkit.world import WorldSpec, render, sample_scenes

# One to three objects, mostly several: so that there is more to say than is usually said.
CAPTION_WORLD = {"max_objects": 3, "count_probs": (0.2, 0.4, 0.4)}


@torch.no_grad()
def picture_tokens(model, images, grid: int = 4, batch: int = 128) -> Tensor:
    """(N, 1 + grid², D) float32 on the CPU: the picture's own feature, then its dense features averaged over grid × grid cells.

    Args:
        model: a DualEncoder with dense features. images: as for `image_features`.

    Both come from one pass where the image tower lets its output be seen (open_clip's ViT), else from two.

    Raises: ClipkitError for a model without dense features, or a dense map with fewer cells than `grid` a side.
    """
    seen: list[Tensor] = []
    visual = model.module.visual if hasattr(model.module, "visual") else None
    parts = []
    for pixels in model._batches(images, batch):
        seen.clear()
        hook = visual.register_forward_hook(lambda module, args, output: seen.append(output)) if visual is not None else None
        try:
            dense = model.dense_features(pixels)  # (B, h, w, D)
        finally:
            if hook is not None:
                hook.remove()
        if min(dense.shape[1:3]) < grid:
            raise ClipkitError(f"{model.name} has {dense.shape[1]} × {dense.shape[2]} dense features, fewer than a grid of {grid} a side")
        pooled = seen[-1] if seen and isinstance(seen[-1], Tensor) and seen[-1].ndim == 2 else None
        pooled = model.encode_image(pixels) if pooled is None else F.normalize(pooled.float(), dim=-1)
        cells = F.adaptive_avg_pool2d(dense.permute(0, 3, 1, 2), grid).flatten(2).transpose(1, 2)  # (B, grid², D)
        parts.append(torch.cat([pooled[:, None], cells], dim=1).cpu())
    return torch.cat(parts) if parts else torch.empty(0, 1 + grid * grid, model.embed_dim)


def described(model, n: int, seed: int, k: int = 5):
    """Scenes of CAPTION_WORLD, their picture tokens (n, 17, D) and k references for each."""
    scenes = sample_scenes(WorldSpec(**CAPTION_WORLD), n, seed)
    return scenes, picture_tokens(model, render(scenes).images), brief_references(scenes, k, seed)


class CaptionDecoder(nn.Module):
    """Picture tokens (N, M, D) to words: layer norm, learned places, and a `TextDecoder` that attends to them.

    Args:
        vocabulary: of the captions. picture_width: D. picture_length: M, or more.
        width, layers, heads, length, dropout: of the decoder; length counts `<bos>` and `<eos>`.

    Any row of vectors can be the memory: one feature (M = 1), patch tokens, frames.
    Source: arXiv:2205.13115, section 3.1 (an encoder–decoder there; here the frozen image tower is the encoder).
    """

    def __init__(
        self,
        vocabulary: WordVocabulary,
        picture_width: int = 128,
        picture_length: int = 17,
        width: int = 96,
        layers: int = 2,
        heads: int = 4,
        length: int = 24,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.vocabulary = vocabulary
        self.settings = {
            "picture_width": picture_width, "picture_length": picture_length, "width": width, "layers": layers, "heads": heads,
            "length": length,
        }  # fmt: skip
        self.norm = nn.LayerNorm(picture_width)
        self.places = nn.Parameter(0.02 * torch.randn(picture_length, picture_width))
        self.decoder = TextDecoder(len(vocabulary), width, layers, heads, length, memory_width=picture_width, dropout=dropout)

    @property
    def device(self) -> torch.device:
        return self.places.device

    @property
    def header(self) -> dict:
        """What its file needs besides the weights, see `clipkit.models.parts`."""
        return {"captioner": self.settings, "words": self.vocabulary.words}

    @property
    def length(self) -> int:
        return self.decoder.length

    def memory(self, pictures: Tensor) -> Tensor:
        """What the decoder attends to, (N, M, D), of picture tokens (N, M, D). Raises ClipkitError: NaN, another shape."""
        longest, width = self.places.shape
        if pictures.ndim != 3 or pictures.shape[2] != width or not 1 <= pictures.shape[1] <= longest:
            raise ClipkitError(f"this captioner takes picture tokens (N, at most {longest}, {width}), got {tuple(pictures.shape)}")
        if not torch.isfinite(pictures.sum()):
            raise ClipkitError("the picture tokens hold NaN or infinite values; extract them again")
        return self.norm(pictures.to(self.places)) + self.places[: pictures.shape[1]]

    def logits(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """Scores (N, L, V) of the word after each place of tokens (N, L)."""
        return self.decoder.logits(tokens, self.memory(pictures))

    def logprobs(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """log p(word | words before, picture), (N, L); 0 at `<bos>` and padding. Gradients flow."""
        return self.decoder.logprobs(tokens, self.memory(pictures))

    def loss(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """Mean negative log-probability of a word, `<eos>` counted."""
        return -self.logprobs(pictures, tokens).sum() / (tokens[:, 1:] != self.vocabulary.pad).sum()

    @torch.no_grad()
    def sample(self, pictures: Tensor, k: int = 1, batch: int = 512, **how) -> Tensor:
        """Captions (N · k, L) as tokens, the k of one picture one after the other. `how`: arguments of `TextDecoder.generate`."""
        pictures = pictures.repeat_interleave(k, 0) if k > 1 else pictures
        ends = {"bos": self.vocabulary.bos, "eos": self.vocabulary.eos}
        parts = [self.decoder.generate(self.memory(p), **ends, **how) for p in pictures.split(batch)]
        longest = max((p.shape[1] for p in parts), default=1)
        return torch.cat([F.pad(p, (0, longest - p.shape[1]), value=self.vocabulary.pad) for p in parts])

    def write(self, pictures: Tensor, k: int = 1, **how) -> list[str]:
        """The same as texts; greedy unless `how` says otherwise."""
        return self.vocabulary.decode(self.sample(pictures, k, **how))

    def copy(self) -> CaptionDecoder:
        """Another captioner with the same weights, of its own to train."""
        other = CaptionDecoder(self.vocabulary, **self.settings).to(self.device)
        other.load_state_dict(self.state_dict())
        return other.train(self.training)


def reference_batches(pictures: Tensor, references: Sequence[Sequence[str]], vocabulary: WordVocabulary, batch: int, steps: int, seed: int):
    """`steps` batches (picture tokens, words), each with one reference drawn for each of `batch` pictures; every picture once a round.

    Raises ClipkitError for another number of references than pictures.
    """
    if len(pictures) != len(references) or not len(pictures):
        raise ClipkitError(f"{len(pictures)} pictures but references for {len(references)}: give at least one reference for each")
    encoded = [vocabulary.encode(list(rows)) for rows in references]
    generator = torch.Generator().manual_seed(seed)
    for rows in islice(shuffled(len(pictures), batch, generator, rest="carry"), steps):
        chosen = [encoded[i][int(torch.randint(len(encoded[i]), (1,), generator=generator))] for i in rows.tolist()]
        yield pictures[rows], nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=vocabulary.pad)


def train_captioner(
    captioner: CaptionDecoder,
    pictures: Tensor,
    references: Sequence[Sequence[str]],
    steps: int,
    batch: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
    **options,
):
    """The likelihood stage: references written word by word. `options`: of `clipkit.train.train`. Returns its History."""
    batches = reference_batches(pictures, references, captioner.vocabulary, batch, steps, seed)
    device = captioner.device
    batches = ((p.to(device).float(), t[:, : int((t != captioner.vocabulary.pad).sum(1).max())].to(device)) for p, t in batches)
    return train(captioner, batches, lambda module, b: module.loss(*b), steps, lr=lr, **options)


def load_captioner(name: str = "nano-captioner", device: str = "auto", folder: str | Path | None = None) -> CaptionDecoder:
    """The shipped captioner, or one saved at the path `name`; float32, in evaluation. It reads `picture_tokens` of nano.

    Its `name` and `fingerprint` are set. Raises ClipkitError when the file is missing or holds something else.
    """
    return load_part(
        "captioner", lambda header: CaptionDecoder(WordVocabulary(header["words"]), **header["captioner"]), name, device, folder
    )
