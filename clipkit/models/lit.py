"""`lit`: a contrastively trained image–text model of photographs with locked towers, as in LiT (arXiv:2111.07991).

Both towers come from packages and stay as they are; two linear heads and the temperature are what InfoNCE has tuned,
on captioned photographs and on pictures with the names and descriptions of what they show.

    image  H_i [pooled(x); φ(x)]      pooled: means of Lite2's last map (1280) and of three blocks (680),
                                      φ: what the picture resembles (1000, on S directions)
    text   H_t [e(t); w(t)]           e: means of the words after layers of MiniLM (4 · 384),
                                      w: the classes that its sentence resembles (1000, on S)

φ and w are `lite`'s two features, at unit norm: with heads that read nothing else the model would be `lite`. Earlier layers
keep what the towers' own tasks, classes and paraphrases, do not need: colours, places, single words. How the heads were
trained: `make pretrain NAME=lit` (`builder.recipes.lit`). What it reaches and what not: `data/models/lit.card.json`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.models.lite import LiteEncoder, LiteModule, card_of, load_map, placed, weights_file
from clipkit.models.lite_towers import WIDTH, LiteTower, SentenceEncoder, packaged_lite
from clipkit.models.parts import load_part

NAME, IMAGE_SIZE = "lit", 224
BLOCKS = (20, 19, 14)  # the last of three stages of Lite2
LAYERS_READ = (6, 4, 2, 0)  # of MiniLM; 0: the words before its first layer


class BlockTower(nn.Module):
    """Lite2's last map and means of those of BLOCKS on its grid: pixels (N, 3, H, W) to maps (N, 1960, H/32, W/32)."""

    def __init__(self, tower: LiteTower):
        super().__init__()
        self.network = tower.network

    def forward(self, pixels: Tensor) -> Tensor:
        net, maps = self.network, []
        x = net._swish(net._conv_stem(pixels.contiguous(memory_format=torch.channels_last)))  # the norms are folded in
        for block in net._blocks:
            x = block(x)
            maps.append(x)
        return torch.cat([net._swish(net._conv_head(x)), *(F.adaptive_avg_pool2d(maps[i], x.shape[2:]) for i in BLOCKS)], 1)


class LayerSentences(SentenceEncoder):
    """MiniLM's mean over the words of a sentence after each of LAYERS_READ: tokens (N, L) to (N, 1536), its sentence vector first."""

    def forward(self, tokens: Tensor, embeddings: Tensor | None = None) -> Tensor:
        length = max(1, int((tokens != 0).sum(1).max())) if len(tokens) else 1
        x = self.word_embedding(tokens[:, :length]) if embeddings is None else embeddings[:, :length]
        padding = tokens[:, :length] == 0
        layers = [self.norm(x + self.position[:length])]
        for layer in self.encoder.layers:
            layers.append(layer(layers[-1], src_key_padding_mask=padding))
        keep = (~padding).unsqueeze(-1).to(x.dtype)
        return torch.cat([(layers[i] * keep).sum(1) / keep.sum(1).clamp(min=1) for i in LAYERS_READ], -1)


class LitHeads(nn.Module):
    """What is trained: a head for pictures, one for sentences, and the temperature (the log of its inverse, as in CLIP).

    Both read resemblance to the 1,000 classes along `shared` directions (1000, S), which are fixed before.
    """

    def __init__(self, pictures: int, sentences: int, dim: int, shared: int, logit_scale: float = 15.0):
        super().__init__()
        self.header = {NAME: {"pictures": pictures, "sentences": sentences, "dim": dim, "shared": shared}}
        self.register_buffer("directions", torch.eye(1000, shared))
        self.pictures, self.sentences = nn.Linear(pictures, dim), nn.Linear(sentences, dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))


@torch.no_grad()
def fold(head: nn.Linear, mean: Tensor, spread: Tensor) -> None:
    """Make a head that was trained on standardised columns (C,) read them as they are; in place, weights as float16 keeps them."""
    head.weight.copy_((head.weight / spread).half())
    head.bias -= head.weight @ mean


class LitModule(LiteModule):
    """The locked towers of `lite`, with Lite2 for pictures, and two heads; (…, 1960) and (N, 1536) to features (…, D)."""

    def __init__(self, heads: LitHeads):
        super().__init__(packaged_lite(2), LayerSentences.packaged(), load_map()[0], 1.0)
        self.visual = BlockTower(self.visual)
        self.requires_grad_(False)
        self.heads, self.logit_scale = heads, heads.logit_scale
        self.embed_dim = heads.pictures.out_features

    def picture_parts(self, pooled: Tensor) -> Tensor:
        """What the head of pictures reads, (…, 1960 + S) float32: the means of the tower's maps, and φ."""
        alike = F.normalize(super().image_head(pooled[..., : LiteTower.features]), dim=-1)
        return torch.cat([pooled.float(), alike @ self.heads.directions], -1)

    def sentence_parts(self, sentences: Tensor) -> Tensor:
        """What the head of sentences reads, (N, 1536 + S) float32: each layer's mean at unit norm, and w."""
        layers = F.normalize(sentences.float().unflatten(-1, (-1, WIDTH)), dim=-1)
        alike = F.normalize(super().text_head(layers[:, 0]), dim=-1)
        return torch.cat([layers.flatten(1), alike @ self.heads.directions], -1)

    def image_head(self, pooled: Tensor) -> Tensor:
        return self.heads.pictures(self.picture_parts(pooled))

    def text_head(self, sentences: Tensor) -> Tensor:
        return self.heads.sentences(self.sentence_parts(sentences))


def load(name: str = NAME, pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> LiteEncoder:
    """The model `lit`, whatever `name` says. `pretrained`: nothing, or the path of heads that `make pretrain NAME=lit` wrote.

    Raises MissingExtra without the packages of the extra `photos`, ClipkitError for missing or damaged heads.
    """
    path = weights_file(NAME, pretrained, precision)
    heads = load_part(NAME, lambda header: LitHeads(**header[NAME]), str(path or NAME), "cpu")
    module = placed(LitModule(heads), device, precision)
    module.heads.float()
    return face(module, None if path else card_of(NAME))


def face(module: LitModule, card: dict | None = None) -> LiteEncoder:
    """The module behind the common face of all models."""
    return LiteEncoder(module, card, NAME, IMAGE_SIZE)
