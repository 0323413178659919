"""`lit`: two heads on locked towers, tuned by InfoNCE on captioned photographs and on pictures of many named things.

    clipkit pretrain lit --data FOLDER

A batch holds pictures of `flickr8k` (its part train, a caption drawn from each picture's), of `imagenet_samples` (one a
class) and of `tiny_imagenet` (part train), the last two with the class's name in a prompt, its gloss, or one of eight
sentences by GPT-3 (`descriptions`). A class that is twice in a batch is no negative of itself. The towers run once;
noise on what they pool, `noise` standard deviations of it, stands for pictures and sentences there are not. The heads start
from `lite`: the first `shared` dimensions are the principal directions of what pictures and names resemble, for both.

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
from clipkit.models.lit import LitHeads, LitModule, face, fold
from clipkit.models.lite_towers import sentence_vectors
from clipkit.pretrain.losses import info_nce
from clipkit.train import train

SOURCES = {"flickr8k": "train", "imagenet_samples": "test", "tiny_imagenet": "train"}  # folder: the part of it that is read
DESCRIPTIONS = "descriptions/cupl_imagenet.json"  # CuPL, arXiv:2209.03320
TERMS = "photographs of Flickr8k and ImageNet belong to their authors, research and education only; none is in the weights or shown"


@dataclass(frozen=True)
class Pairs:
    """Pictures (N, 1960) as the tower pools them, rows of their texts (N, T; -1 where there are fewer), a number (N,) for each meaning."""

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
    """The tower's mean maps (N, 1960) of a data set's pictures."""
    model, images = face(module), dataset.images
    pixels = (model.preprocess_batch([images[j] for j in range(i, min(i + batch, len(images)))]) for i in range(0, len(images), batch))
    return torch.cat([module.visual(p).mean((2, 3)) for p in pixels])


def pair_batches(
    pairs: dict[str, Pairs], shares: dict[str, int], parts: Callable, sentences: Tensor, noise: tuple[Tensor, Tensor], seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For ever: `parts` of pictures (B, …), sentences (B, …), and the meaning (B,) of each pair; no picture twice in a batch.

    `noise`: standard deviations of what is added to the columns of pictures and of sentences."""
    g = torch.Generator().manual_seed(seed)
    while True:
        drawn = [(p, torch.randperm(len(p.pictures), generator=g)[: shares[name]]) for name, p in pairs.items()]
        seen, texts = torch.cat([p.pictures[rows] for p, rows in drawn]), []
        for p, rows in drawn:
            pick = (torch.rand(len(rows), generator=g) * (p.texts[rows] >= 0).sum(1)).long()
            texts.append(p.texts[rows, pick])
        read = sentences[torch.cat(texts)]
        seen, read = (x + spread * torch.randn(x.shape, generator=g) for x, spread in zip((seen, read), noise, strict=True))
        yield parts(seen), read, torch.cat([p.meanings[rows] for p, rows in drawn])


def head_loss(heads: LitHeads, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """InfoNCE of one batch of `pair_batches`: 0-d, nats. A pair of equal meaning is no negative."""
    pictures, sentences, meanings = batch
    same = (meanings[:, None] == meanings) & ~torch.eye(len(meanings), dtype=torch.bool)
    scale = heads.logit_scale.exp().clamp(max=100)
    images, texts = (F.normalize(h.float(), dim=-1) for h in (heads.pictures(pictures), heads.sentences(sentences)))
    return info_nce(images, texts, scale, same)


@torch.no_grad()
def start_heads(pictures: Tensor, sentences: Tensor, dim: int, shared: int) -> LitHeads:
    """Heads before InfoNCE. The last `shared` columns of both inputs are `lite`'s features on the heads' directions: the first
    `shared` dimensions read them, the others the remaining columns, at random."""
    heads = LitHeads(pictures.shape[1], sentences.shape[1], dim, shared)
    for head, inputs in ((heads.pictures, pictures), (heads.sentences, sentences)):
        head.weight.normal_(std=(inputs.shape[1] - shared) ** -0.5)  # standardised inputs: the tower's dimensions have variance 1, too
        head.weight[:shared], head.weight[:, -shared:] = 0, 0
        head.weight[:shared, -shared:] = torch.eye(shared) * dim**0.5
        head.bias.zero_()
    return heads


def standardised(inputs: Tensor, shared: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (N, C) with all columns but the last `shared` at mean 0 and spread 1; both as they were, (C,)."""
    mean, spread = inputs.mean(0), inputs.std(0).clamp(min=1e-4)  # a column may say nothing
    mean[-shared:], spread[-shared:] = 0, 1
    return (inputs - mean) / spread, mean, spread


def make_lit(recipe, steps: int, device: str, tick, folder: Path) -> tuple[LitHeads, dict]:
    """Settings: "shares" (pictures a batch, by source), "noise" (of pictures, of sentences), "dim", "shared"; "data": the folder."""
    settings, number = recipe.settings, {}
    if not settings.get("data"):
        raise ClipkitError(f"lit is made from pictures that are not shipped: give --data FOLDER with {', '.join(SOURCES)}")
    module, shared = LitModule(LitHeads(1, 1, 1, 1000)), settings["shared"]  # for now all that is resembled, to find its directions
    pairs = read_pairs(module, Path(settings["data"]), lambda texts: torch.tensor([number.setdefault(t, len(number)) for t in texts]))
    with torch.no_grad():
        everything, said = torch.cat([p.pictures for p in pairs.values()]), sentence_vectors(module.text)(list(number))
        known = torch.cat([module.picture_parts(everything)[:, -1000:], module.sentence_parts(said)[:, -1000:]])
        module.heads.directions = torch.linalg.eigh(known.T @ known)[1].flip(1)[:, :shared].contiguous()
        seen, mean, spread = standardised(module.picture_parts(everything), shared)
        sentences, centre, width = standardised(module.sentence_parts(said), shared)
    heads = start_heads(seen, sentences, settings["dim"], shared)
    heads.directions = module.heads.directions
    noise = settings["noise"][0] * spread[:-shared], settings["noise"][1] * (centre != 0)

    parts = torch.no_grad()(lambda pooled: (module.picture_parts(pooled) - mean) / spread)
    batches = pair_batches(pairs, settings["shares"], parts, sentences, noise, recipe.seed)
    history = train(heads, batches, head_loss, steps, after_step=tick, **recipe.loop)
    fold(heads.pictures, mean, spread)
    fold(heads.sentences, centre, width)
    heads.load_state_dict({k: v.half().float() for k, v in heads.state_dict().items()})  # as it ships
    data = {name: len(p.pictures) for name, p in pairs.items()} | {"texts": len(number), "terms": TERMS}
    training = history.summary() | {k: v for k, v in settings.items() if k != "data"}
    return heads, {"data": data, "training": training, **probe(face(LitModule(heads)), Path(settings["data"]))}
