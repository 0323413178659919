"""The page on CLIPN: pairs to train a "no" tower on, pictures of known and unknown things, and rivals with the same captions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.datasets.base import Dataset
from clipkit.datasets.images import ArrayImages
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.features.samples import own_pictures
from clipkit.robust.clipn import clipn_scores
from clipkit.robust.ood_splits import OODSplit

BATCH = 16  # photographs a forward pass: on a processor twice as fast as 256, whose activations leave the cache
DIGITS = 60  # handwritten digits a seed: there are few, and no two seeds share one
FACTORS = ("category", "colour", "texture", "size", "background")
WRITTEN_NO = ("a photo of no {}.", "a photo without {}.", "no {}.", "not a {}.", "a photo with no {} in it.")


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
        return Pairs(self.images[rows], self.texts[rows], [self.captions[i] for i in rows.tolist()], self.true[rows], self.said[rows])

    def shuffled(self, seed: int) -> Pairs:
        """The same pictures and captions, put together at random and taken for true: what a tower learns from texts alone."""
        other = self.of(torch.randperm(len(self.images), generator=torch.Generator().manual_seed(seed)))
        return Pairs(self.images, other.texts, other.captions, other.true, other.said)

    def without(self, names: Sequence[str]) -> Pairs:
        """The pairs whose caption has none of the names in it, as whole words, singular or with an s.

        Raises ClipkitError when fewer than two are left.
        """
        named = re.compile(r"\b(" + "|".join(re.escape(name.lower()) for name in names) + r")(e?s)?\b")
        rows = [i for i, caption in enumerate(self.captions) if not names or not named.search(caption.lower())]
        if len(rows) < 2:
            raise ClipkitError("all captions name an unknown class, so none is left to train on; give other pairs")
        return self.of(torch.tensor(rows))


def world_pairs(model, n: int, seed: int, **knobs) -> Pairs:
    """n pictures of one object each, half with a short and half with a detailed caption. `knobs` are fields of WorldSpec."""
    from clipkit.datasets import load_dataset
    from clipkit.datasets.world import factor_names
    from clipkit.world import parse

    data = load_dataset("world", "train", n=n, seed=seed, **knobs)
    captions = [row[i % 2] for i, row in enumerate(data.captions)]
    numbers = [{name: i for i, name in enumerate(factor_names(factor))} for factor in FACTORS]
    true = np.stack([np.asarray(getattr(data.scenes, factor)).reshape(n, -1)[:, 0] for factor in FACTORS], 1)
    said = np.full_like(true, -1)
    for row, caption in zip(said, captions, strict=True):
        read = parse(caption)
        item = read.items[0]
        for k, word in enumerate((item.noun, item.colour, item.texture, item.size, *read.places[:1])):
            row[k] = numbers[k].get(word, -1)
    return Pairs(model.image_features(data.images), model.text_features(captions), captions, torch.tensor(true), torch.tensor(said))


def data_pairs(model, data, images: Tensor | None = None) -> Pairs:
    """Pairs of any data set: its captions, or prompts of its class names (one template each, in turn). Equal texts match.

    `images`: the features (N, D) of its pictures, where they are known already.
    Raises ClipkitError: neither captions nor class names, or fewer than two different texts.
    """
    if data.captions is not None:
        captions = [row[0] for row in data.captions]
        place = {text: i for i, text in enumerate(dict.fromkeys(captions))}
        labels = torch.tensor([place[text] for text in captions])[:, None]
    elif data.labels is not None:
        captions = [data.templates[i % len(data.templates)].format(data.classnames[c]) for i, c in enumerate(data.labels)]
        labels = torch.tensor(data.labels)[:, None]
    else:
        raise ClipkitError(f"{data.name}: generic pairs need captions or class names; give another data set as `pairs`")
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
        rows = np.flatnonzero(np.isin(data.labels, [data.classnames.index(name) for name in split.known]))
    rows = np.random.default_rng(seed).permutation(rows)[:n]
    ascending = np.sort(rows)
    found = extract(model, data.subset(ascending), batch=BATCH)
    readable = ascending[found.index.numpy()]
    rows = rows[np.isin(rows, readable)]
    return data_pairs(model, data.subset(rows), found.image[np.searchsorted(readable, rows)])


def world_pictures(split: OODSplit, n: int, seed: int, part: str = "test", known_only: bool = False, **knobs) -> dict[str, Dataset]:
    """Data sets of n pictures: "known" (labels in the order of split.known), "near", "far", "empty" places, "textures", real "digits".

    With `known_only` the first alone. `knobs` are fields of WorldSpec, for known and unknown pictures alike.
    """
    from clipkit.datasets import load_dataset
    from clipkit.world import render, without

    world = {"n": n, "captions": (), **knobs}
    found = {}
    for k, (side, names) in enumerate(zip(split._fields, split, strict=True)):
        if side == "known" or not known_only:
            options = {"seed": 3 * seed + k, "factor": "category", "narrow": True, "categories": names}
            found[side] = load_dataset("world", part, **world, **options)
    if known_only:
        return found
    bare = render(without(load_dataset("world", part, seed=3 * seed, **world).scenes)).images
    for kind, pixels in {"empty": bare, "textures": paint_textures(n, seed)}.items():
        found[kind] = Dataset("world", part, ArrayImages(pixels, [f"{kind} {i}" for i in range(n)]))
    return found | {"digits": own_pictures("digits", "test", min(n, DIGITS), seed)}


def paint_textures(n: int, seed: int, side: int = 32) -> np.ndarray:
    """(n, side, side, 3) uint8: the world's stripes, dots and checks without any object, coarse or fine, in two of its colours."""
    from clipkit.world import COLOURS
    from clipkit.world.sprites import texture

    rng, colours, found = np.random.default_rng(seed), np.array(list(COLOURS.values()), np.uint8), []
    for _ in range(n):
        size, (y, x) = int(rng.integers(side, 3 * side)), rng.integers(0, side, 2)
        pattern = np.tile(texture(int(rng.integers(1, 4)), size, size), (2, 2))[y : y + side, x : x + side]
        found.append(np.where(pattern[..., None], *colours[rng.choice(len(colours), 2, replace=False)]))
    return np.stack(found)


def class_pictures(data: Dataset, split: OODSplit, n: int, seed: int, others: Sequence[str] = ()) -> dict[str, Dataset]:
    """Data sets of at most n pictures of a labelled data set: "known" (labels in the order of split.known), "near"; and real "digits".

    `others`: further data sets with a split "test"; each is a kind, named like its folder. No two seeds of a run share a picture.
    Raises ClipkitError: no labels, a class of the split that the data set has not.
    """
    if data.labels is None:
        raise ClipkitError(f"{data.name} has no labels, so no class can be called unknown; give a data set with class folders")
    if missing := sorted({*split.known, *split.near} - set(data.classnames)):
        raise ClipkitError(f"{data.name} has no class {missing[0]!r}; split the classes that it has")
    data, rng, found = data.subset(dealt(data.labels, seed)), np.random.default_rng(seed), {}
    for side, names in {"known": split.known, "near": split.near}.items():
        place = {data.classnames.index(name): i for i, name in enumerate(names)}
        rows = rng.permutation(np.flatnonzero(np.isin(data.labels, list(place))))[:n]
        labels = np.array([place[label] for label in data.labels[rows].tolist()])
        found[side] = Dataset(data.name, data.split, data.subset(rows).images, labels, list(names), list(data.templates))
    found |= {Path(name).name: own_pictures(name, "test", n, seed) for name in others}
    return found | {"digits": own_pictures("digits", "test", min(n, DIGITS), seed)}


def last_text_layer(model) -> str:
    """Path of the last layer of a sentence encoder inside a model, such as "text.encoder.layers.5"; "" where it has no such tower."""
    lists = [(path, part) for path, part in model.module.named_modules() if isinstance(part, nn.ModuleList) and "text" in path]
    return f"{lists[0][0]}.{len(lists[0][1]) - 1}" if lists else ""


def fit_match_head(pairs: Pairs, seed: int = 0) -> Callable[[Tensor, Tensor, float], Tensor]:
    """A logistic regression that tells matched from mismatched pairs by the products f_d g_d: the simplest learnt "no".

    It sees each pair once as it is and once with a caption that is false of its picture.
    Returns: (features (N, D), weights (C, D), scale) -> agreeing to differ with its probabilities in place of yes against no (N,).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    order = torch.randperm(len(pairs.images), generator=torch.Generator().manual_seed(seed))
    said = pairs.said[order]
    false = ~((said == pairs.true) | (said < 0)).all(1)
    products = torch.cat([pairs.images * pairs.texts, (pairs.images * pairs.texts[order])[false]])
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, class_weight="balanced"))
    head.fit(products.numpy(), np.r_[np.ones(len(order)), np.zeros(int(false.sum()))])

    def score(features: Tensor, weights: Tensor, scale: float) -> Tensor:
        p = (scale * features @ weights.T).softmax(1)
        q = [torch.as_tensor(head.predict_proba((features * w).numpy())[:, 1], dtype=p.dtype) for w in weights]
        return (p * torch.stack(q, 1)).sum(1)

    return score


def caption_words(captions: Sequence[str], known: Sequence[str]) -> list[str]:
    """The different words of captions, sorted, without those of the known class names: candidates for negative labels."""
    own = {word for name in known for word in re.findall(r"[a-z]+", name.lower())}
    return sorted({word for text in captions for word in re.findall(r"[a-z]{3,}", text.lower())} - own)


def negative_weights(model, captions: Sequence[str], avoid: Sequence[str], templates: Sequence[str]) -> Tensor:
    """(M, D) weights of negative labels: the words of the captions but those of `avoid`.

    The features of all words are kept on disk, so other seeds with the same captions read them.
    """
    from clipkit.features.text import pool_features

    words, allowed = caption_words(captions, ()), set(caption_words(captions, avoid))
    rows = [i for i, word in enumerate(words) if word in allowed]
    return F.normalize(pool_features(model, words, templates)[:, rows].mean(0), dim=-1)


def answer(features: Tensor, yes: Tensor, no: Tensor, scale: float, names: Sequence[str]) -> list[str]:
    """What the two towers say of each picture's likeliest class, for instance "cat? no 0.71"."""
    winners, certain = (features @ yes.T).argmax(1).tolist(), clipn_scores(features, yes, no, scale).competing_to_win.tolist()
    return [f"{names[w]}? {'yes' if q >= 0.5 else 'no'} {max(q, 1 - q):.2f}" for w, q in zip(winners, certain, strict=True)]
