"""What a "no" tower is taught with: generic pairs, which captions are true of which pictures, one training, three lessons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown
from clipkit.robust.clipn import NoTextTower, clipn_loss
from clipkit.robust.clipn_frozen import frozen_layers_kept
from clipkit.robust.ood_splits import OODSplit

BATCH = 16  # photographs a forward pass: on a processor twice as fast as 256, whose activations leave the cache
FACTORS = ("category", "colour", "texture", "size", "background")


@dataclass(eq=False)
class Pairs:
    """Generic pictures with captions, as the frozen model sees them.

    Attributes:
        images, texts: (N, D) features, unit norm. captions: N texts.
        true: (N, K) int64, what is so in each picture; said: (N, K), what each caption says of it, −1 for nothing.
    """

    images: Tensor
    texts: Tensor
    captions: list[str]
    true: Tensor
    said: Tensor

    def match(self, rows: Tensor) -> Tensor:
        """(B, B) bool for some pairs: [i, j] True where caption j says nothing that is false of picture i."""
        true, said = self.true[rows], self.said[rows]
        return ((said[None] == true[:, None]) | (said[None] < 0)).all(2)

    def of(self, rows: Tensor) -> Pairs:
        """A part of the pairs."""
        return Pairs(self.images[rows], self.texts[rows], [self.captions[i] for i in rows.tolist()], self.true[rows], self.said[rows])


def world_pairs(model, n: int, seed: int, avoid: Sequence[str] = (), part: str = "train", **knobs) -> Pairs:
    """n pictures of one object each, half with a short and half with a detailed caption; categories of `avoid` do not occur.

    `knobs` are fields of WorldSpec.
    """
    from clipkit.datasets import load_dataset
    from clipkit.world import CATEGORIES, parse

    drawn = load_dataset("world", part, n=n, seed=seed, categories=[c for c in CATEGORIES if c not in set(avoid)], **knobs)
    captions = [row[i % 2] for i, row in enumerate(drawn.captions)]
    values = {factor: _numbers(factor) for factor in FACTORS}
    true = np.stack([np.asarray(getattr(drawn.scenes, f)).reshape(n, -1)[:, 0] for f in FACTORS], 1)
    said = np.full_like(true, -1)
    for row, caption in zip(said, captions, strict=True):
        read = parse(caption)
        item = read.items[0]
        told = (item.noun, item.colour, item.texture, item.size, *read.places[:1])
        for k, (factor, word) in enumerate(zip(FACTORS, told, strict=False)):
            row[k] = values[factor].get(word, -1)
    return Pairs(model.image_features(drawn.images), model.text_features(captions), captions, torch.tensor(true), torch.tensor(said))


def _numbers(factor: str) -> dict[str, int]:
    from clipkit.datasets.world import class_names

    return {name: i for i, name in enumerate(class_names(factor))}


def data_pairs(model, data, images: Tensor | None = None) -> Pairs:
    """Pairs of any data set: its captions, or prompts of its class names (one template each, in turn). Equal texts match.

    `images`: the features (N, D) of its pictures, where they are known already.

    Raises ClipkitError: neither captions nor class names, or fewer than two different texts.
    """
    if data.captions is not None:
        captions = [row[0] for row in data.captions]
    elif data.labels is not None:
        captions = [data.templates[i % len(data.templates)].format(data.classnames[c]) for i, c in enumerate(data.labels)]
    else:
        raise ClipkitError(f"{data.name}: generic pairs need captions or class names; give another data set as `pairs`")
    place = {text: i for i, text in enumerate(dict.fromkeys(captions))} if data.captions is not None else None
    labels = torch.tensor([place[text] for text in captions] if place else data.labels)[:, None]
    if len(labels.unique()) < 2:
        raise ClipkitError(f"{data.name}: all texts are the same, so nothing can be denied; give pairs with different captions")
    images = model.image_features(data.images, BATCH) if images is None else images
    return Pairs(images, model.text_features(captions), captions, labels, labels.clone())


def generic_pairs(model, dataset: str, pairs: str | None, split: OODSplit, n: int, seed: int) -> Pairs:
    """At most n pairs to train on when there is no world: of the data set `pairs`, else training pictures of known classes.

    Features are kept on disk, so seeds that take the same pictures compute them once; files that cannot be read are left out.
    """
    from clipkit.datasets import load_dataset
    from clipkit.features import extract

    if pairs:
        try:
            data = load_dataset(pairs, "train")
        except ClipkitError:  # one folder without splits is all "test"
            data = load_dataset(pairs, "test")
        rows = np.arange(len(data))
    else:
        data = load_dataset(dataset, "train")
        known = [data.classnames.index(name) for name in split.known]
        rows = np.flatnonzero(np.isin(data.labels, known))
    rows = np.random.default_rng(seed).permutation(rows)[:n]
    ascending = np.sort(rows)
    found = extract(model, data.subset(ascending), batch=BATCH)
    readable = ascending[found.index.numpy()]
    rows = rows[np.isin(rows, readable)]
    return data_pairs(model, data.subset(rows), found.image[np.searchsorted(readable, rows)])


def fit_no_tower(
    tower: NoTextTower, pairs: Pairs, scale: float, steps: int, batch: int = 256, lr: float = 1e-3, seed: int = 0, masked: bool = True
) -> list[dict[str, float]]:
    """Train a "no" tower in place on cached features; a row for every step: the parts of the loss, and the towers' distance.

    Args: scale: the model's logit scale, frozen. masked: leave pairs that match out of the denials (see `Pairs.match`).
    Raises ClipkitError: fewer pairs than a batch.
    """
    from clipkit.train import train

    if len(pairs.images) < batch:
        raise ClipkitError(f"{len(pairs.images)} pairs do not fill a batch of {batch}; give more pairs or a smaller batch")
    device, inputs, rows = tower.prompts.device, tower.inputs(pairs.captions), []
    images, texts = pairs.images.to(device), pairs.texts.to(device)

    def loss(module: NoTextTower, chosen: Tensor) -> Tensor:
        tell(chosen)
        match = pairs.match(chosen).to(device) if masked else None
        parts = clipn_loss(images[chosen], texts[chosen], module(inputs[chosen]), scale, match)
        rows.append({"step": len(rows) + 1, **{name: float(part.detach()) for name, part in parts.items()}})
        return parts["total"]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with frozen_layers_kept(tower, inputs) as tell:
            train(tower, _rows(len(images), batch, seed), loss, steps, lr=lr, warmup=1, weight_decay=0.2)
    return [{**row, "distance": 2 - row["tso"]} for row in rows]


@torch.no_grad()
def held_out_loss(tower: NoTextTower, pairs: Pairs, scale: float, batch: int = 256, masked: bool = True) -> float:
    """The total loss on pairs that were not trained on, mean over whole batches: what settings are chosen by."""
    if len(pairs.images) < batch:
        raise ClipkitError(f"{len(pairs.images)} pairs do not fill a batch of {batch}; give more pairs or a smaller batch")
    tower.eval()
    device, inputs, found = tower.prompts.device, tower.inputs(pairs.captions), []
    for rows in torch.arange(len(pairs.images) - len(pairs.images) % batch).split(batch):
        features = [x[rows].to(device) for x in (pairs.images, pairs.texts)]
        match = pairs.match(rows).to(device) if masked else None
        found.append(float(clipn_loss(*features, tower(inputs[rows]), scale, match)["total"]))
    return float(np.mean(found))


def _rows(n: int, batch: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(n, generator=generator)
        yield from order[: n - n % batch].split(batch)


def shuffled(pairs: Pairs, seed: int) -> Pairs:
    """The same pictures and captions, put together at random and taken for true: what a tower learns from texts alone."""
    order = torch.randperm(len(pairs.images), generator=torch.Generator().manual_seed(seed))
    other = pairs.of(order)
    return Pairs(pairs.images, other.texts, other.captions, other.true, other.said)


def without_words(pairs: Pairs, names: Sequence[str]) -> Pairs:
    """The pairs whose caption has none of the names in it, as whole words, singular or with an s."""
    named = re.compile(r"\b(" + "|".join(re.escape(name.lower()) for name in names) + r")(e?s)?\b")
    rows = [i for i, caption in enumerate(pairs.captions) if not names or not named.search(caption.lower())]
    if len(rows) < 2:
        raise ClipkitError("all captions name an unknown class, so none is left to train on; give other pairs")
    return pairs.of(torch.tensor(rows))


def taught(
    model, pairs: Pairs, split: OODSplit, lesson: str, steps: int, batch: int, lr: float, seed: int, n_prompts: int = 16, parts=None
):
    """A new "no" tower and its diary (see `fit_no_tower`), after one of three lessons.

    "generic": all pairs; "shuffled": captions at random; "held out": no pair whose picture or caption is of an unknown class.
    """
    if lesson == "shuffled":
        pairs = shuffled(pairs, seed)
    elif lesson == "held out":
        pairs = without_words(pairs, [*split.near, *split.far])
    elif lesson != "generic":
        raise unknown("lesson", lesson, ("generic", "shuffled", "held out"))
    tower = NoTextTower(model, n_prompts, parts)
    return tower, fit_no_tower(
        tower, pairs, steps=steps, scale=float(model.logit_scale), batch=min(batch, len(pairs.images)), lr=lr, seed=seed
    )
