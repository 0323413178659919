"""`lit`: two heads on locked towers, tuned by InfoNCE on captioned photographs and on pictures of many named things.

    clipkit pretrain lit --data FOLDER

A batch holds pictures of `flickr8k` (its part train, a caption drawn from each picture's), of `imagenet_samples` (one a
class) and of `tiny_imagenet` (part train), the last two with the class's name in a prompt, its gloss, or one of eight
sentences by GPT-3 (`descriptions`). A class that is twice in a batch is no negative of itself. The towers run once;
noise on what they pool, `noise` standard deviations of it, stands for pictures there are not. The heads start from
`lite`: the first `shared` dimensions are the principal directions of what pictures and names resemble, for both.

Sources: LiT, arXiv:2111.07991 (locked towers); CLIP, arXiv:2103.00020 (loss, learnt temperature).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from builder.recipes.lit_probes import probe
from clipkit.datasets import load_dataset
from clipkit.datasets.classnames import imagenet_glosses, imagenet_names
from clipkit.datasets.templates import NAMING
from clipkit.errors import ClipkitError
from clipkit.models.lit import LitHeads, LitModule, face
from clipkit.models.lite_towers import sentence_vectors
from clipkit.pretrain.losses import info_nce
from clipkit.train import train

SOURCES = {"flickr8k": "train", "imagenet_samples": "test", "tiny_imagenet": "train"}  # folder: the part of it that is read
DESCRIPTIONS = "descriptions/cupl_imagenet.json"  # CuPL, arXiv:2209.03320
TERMS = "photographs of Flickr8k and ImageNet belong to their authors, research and education only; none is in the weights or shown"


@dataclass(frozen=True)
class Pairs:
    """Pictures (N, 1280) as the tower pools them, rows of their texts (N, T; -1 where there are fewer), a number (N,) for each meaning."""

    pictures: Tensor
    texts: Tensor
    meanings: Tensor


def read_pairs(module: LitModule, data: Path, row: Callable[[Sequence[str]], Tensor]) -> dict[str, Pairs]:
    """All training pairs by source; `row` numbers texts. Raises ClipkitError naming the folder that is missing."""
    if missing := [name for name in (*SOURCES, DESCRIPTIONS) if not (data / name).exists()]:
        raise ClipkitError(f"lit is trained on {', '.join(SOURCES)} and {DESCRIPTIONS}; {data} has no {' and no '.join(missing)}")
    described = json.loads((data / DESCRIPTIONS).read_text(encoding="utf-8")).values()  # the file keeps the classifier's order
    about, found = zip(imagenet_names(), imagenet_glosses(), described, strict=True), {}
    said = [[t.format(n) for t in NAMING] + [g, f"{n}: {g}", *sentences[:8]] for n, g, sentences in about]
    wnids = sorted(p.name[:9] for p in (data / "imagenet_samples").iterdir() if p.is_dir())  # in the classifier's order
    for name, part in SOURCES.items():
        dataset = load_dataset(f"folder:{(data / name).resolve()}", part)
        if dataset.captions is not None:
            meanings, texts = -1 - torch.arange(len(dataset)), dataset.captions
        else:
            classes = [wnids.index(Path(path).parent.name[:9]) for path in dataset.paths]
            meanings, texts = torch.tensor(classes), [said[c] for c in classes]
        widest = max(map(len, texts))
        rows = torch.stack([F.pad(row(t), (0, widest - len(t)), value=-1) for t in texts])
        found[name] = Pairs(pooled_maps(module, dataset), rows, meanings)
    return found


@torch.no_grad()
def pooled_maps(module: LitModule, dataset, batch: int = 64) -> Tensor:
    """The tower's mean maps (N, 1280) of a data set's pictures."""
    model, images = face(module), dataset.images
    pixels = (model.preprocess_batch([images[j] for j in range(i, min(i + batch, len(images)))]) for i in range(0, len(images), batch))
    return torch.cat([module.visual(p).mean((2, 3)) for p in pixels])


def pair_batches(
    pairs: dict[str, Pairs], shares: dict[str, int], parts: Callable[[Tensor], Tensor], sentences: Tensor, noise: float, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For ever: `parts` of pictures with noise (B, …), sentences (B, …), and the meaning (B,) of each pair; no picture twice in a batch."""
    generator = torch.Generator().manual_seed(seed)
    spread = noise * next(iter(pairs.values())).pictures.std(0)
    while True:
        drawn = [(p, torch.randperm(len(p.pictures), generator=generator)[: shares[name]]) for name, p in pairs.items()]
        pictures, texts = torch.cat([p.pictures[rows] for p, rows in drawn]), []
        for p, rows in drawn:
            pick = (torch.rand(len(rows), generator=generator) * (p.texts[rows] >= 0).sum(1)).long()
            texts.append(p.texts[rows, pick])
        pictures = pictures + spread * torch.randn(pictures.shape, generator=generator)
        yield parts(pictures), sentences[torch.cat(texts)], torch.cat([p.meanings[rows] for p, rows in drawn])


def head_loss(heads: LitHeads, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """InfoNCE of one batch of `pair_batches`: 0-d, nats. A pair of equal meaning is no negative."""
    pictures, sentences, meanings = batch
    same = (meanings[:, None] == meanings) & ~torch.eye(len(meanings), dtype=torch.bool)
    scale = heads.logit_scale.exp().clamp(max=100)
    images, texts = (F.normalize(h.float(), dim=-1) for h in (heads.pictures(pictures), heads.sentences(sentences)))
    return info_nce(images, texts, scale, same)


@torch.no_grad()
def start_heads(pictures: Tensor, sentences: Tensor, classes: int, dim: int, shared: int) -> LitHeads:
    """Heads before InfoNCE. The last `classes` columns of both inputs are `lite`'s features: the first `shared` dimensions read
    their principal directions, the others the remaining columns, at random."""
    heads = LitHeads(pictures.shape[1], sentences.shape[1], dim)
    known = torch.cat([pictures[:, -classes:], sentences[:, -classes:]])
    directions = torch.linalg.eigh(known.T @ known)[1].flip(1)[:, :shared]
    for head, inputs in ((heads.pictures, pictures), (heads.sentences, sentences)):
        head.weight.normal_()
        head.weight /= inputs[:, :-classes].square().sum(1).mean().sqrt()  # so that the tower's dimensions have variance 1, too
        head.weight[:shared], head.weight[:, -classes:] = 0, 0
        head.weight[:shared, -classes:] = directions.T * dim**0.5
        head.bias.zero_()
    return heads


@torch.no_grad()
def fold(heads: LitHeads, mean: Tensor, spread: Tensor) -> None:
    """Make heads that were trained on standardised first columns (C,) read them as they are; in place."""
    weight, n = heads.pictures.weight, len(mean)
    weight[:, :n] /= spread
    heads.pictures.bias -= weight[:, :n] @ mean


def make_lit(recipe, steps: int, device: str, tick, folder: Path) -> tuple[LitHeads, dict]:
    """Settings: "shares" (pictures a batch, by source), "noise", "dim", "shared"; "data": the folder of the sources."""
    settings = recipe.settings
    if not settings.get("data"):
        raise ClipkitError(f"lit is made from pictures that are not shipped: give --data FOLDER with {', '.join(SOURCES)}")
    module, number = LitModule(LitHeads(2280, 1384, settings["dim"])), {}
    pairs = read_pairs(module, Path(settings["data"]), lambda texts: torch.tensor([number.setdefault(t, len(number)) for t in texts]))
    mean, spread = (everything := torch.cat([p.pictures for p in pairs.values()])).mean(0), everything.std(0)

    @torch.no_grad()
    def parts(pictures: Tensor) -> Tensor:
        read = module.picture_parts(pictures)
        return torch.cat([(read[:, : len(mean)] - mean) / spread, read[:, len(mean) :]], 1)

    with torch.no_grad():
        sentences = module.sentence_parts(sentence_vectors(module.text)(list(number)))
    heads = start_heads(parts(everything), sentences, 1000, settings["dim"], settings["shared"])
    batches = pair_batches(pairs, settings["shares"], parts, sentences, settings["noise"], recipe.seed)
    history = train(heads, batches, head_loss, steps, after_step=tick, **recipe.loop)
    fold(heads, mean, spread)
    module.heads.load_state_dict({k: v.half().float() for k, v in heads.state_dict().items()})  # as it ships
    data = {name: len(p.pictures) for name, p in pairs.items()} | {"texts": len(number), "terms": TERMS}
    own = {k: v for k, v in settings.items() if k != "data"}
    return heads, {"data": data, "training": history.summary() | own, **probe(face(module), Path(settings["data"]))}
