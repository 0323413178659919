"""Concept association bias: twelve plants whose colours are tied to them more or less, small CLIPs of each, and photographs in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipkit.datasets import Dataset
from clipkit.datasets.typical_colours import photographed as photographed
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.metrics import percent
from clipkit.pretrain.losses import info_nce
from clipkit.pretrain.tiny_clip import SIDE, small_clip, small_tower
from clipkit.score import CrossModalReader
from clipkit.train import shuffled, train
from clipkit.world import CATEGORIES, COLOURS, Scenes, fill, render
from clipkit.world.sprites import sprite
from clipkit.world.taxonomy import TYPICAL_COLOUR

NOUNS = ("apple", "banana", "cherry", "pear", "watermelon", "carrot", "mushroom", "corn", "pumpkin", "eggplant", "broccoli", "cactus")
PALETTE = ("red", "yellow", "green", "orange", "purple", "white")
FREE = 1 / len(PALETTE)  # the association that is none
BATCH, WIDTH, AREA, GREY = 64, 12, 85.0, 128  # pairs; channels; pixels of a thing that take its colour; what is behind
FORMS = ("{}", "a photo of {}", "a picture of {}", "this is {}", "there is {}", "the {noun} is {colour}")
KINDS = ("colour", "existence", "side")  # of questions
ANSWERS = (*PALETTE, "yes", "no", "left", "right")


@dataclass(frozen=True, eq=False)
class Pictures:
    """N pictures of two things: numbers (N,) of the nouns, `unnamed` −1 for none; of their colours; is the named one on the right?"""

    images: Sequence
    named: np.ndarray
    unnamed: np.ndarray
    own: np.ndarray
    other: np.ndarray
    right: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """(N,) one number for all pictures of the same two things."""
        a, b = np.minimum(self.named, self.unnamed), np.maximum(self.named, self.unnamed)
        return np.unique(a * 1000 + b, return_inverse=True)[1]


@dataclass(frozen=True)
class Garden:
    """A world in which NOUNS have typical colours: dealt out by the seed, each to two nouns, or those that shipped models know."""

    seed: int
    shipped: bool = False

    @property
    def typical(self) -> np.ndarray:  # (12,) number of the colour in PALETTE
        if self.shipped:
            return np.array([PALETTE.index(TYPICAL_COLOUR[noun]) for noun in NOUNS])
        return np.random.default_rng([self.seed, 31]).permutation(np.arange(len(NOUNS)) % len(PALETTE))

    def association(self, strength: float) -> np.ndarray:
        """(12, 6) probability of each colour given the noun."""
        return np.where(np.arange(len(PALETTE)) == self.typical[:, None], strength, (1 - strength) / (len(PALETTE) - 1))

    def lessons(self, n: int, strength: float) -> tuple[Pictures, list[str]]:
        """n pictures to learn from, half of them of two things, and captions that name one thing or both; ClipkitError: no probability."""
        if not 0 <= strength <= 1:
            raise ClipkitError(f"the strength of an association is a probability, from 0 to 1; got {strength}")
        dice = np.random.default_rng([self.seed, 32])
        named, step, two = dice.integers(0, len(NOUNS), n), dice.integers(1, len(NOUNS), n), dice.random(n) < 0.5
        things = np.stack([named, np.where(two, (named + step) % len(NOUNS), -1)], 1)
        bound, away = dice.random((n, 2)) < strength, dice.integers(1, len(PALETTE), (n, 2))
        colours = (self.typical[things] + np.where(bound, 0, away)) % len(PALETTE)
        said, form, both, turn = dice.random((n, 2)) < 0.5, dice.integers(0, len(FORMS), n), dice.random(n) < 0.5, dice.random(n) < 0.5
        captions = []
        for i, pair in enumerate(things):
            order = [0] if pair[1] < 0 else ([1, 0] if turn[i] else [0, 1])[: 1 + both[i]]
            words = [(NOUNS[pair[k]], PALETTE[colours[i, k]] if said[i, k] or form[i] == 5 else "") for k in order]
            captions.append(sentence(FORMS[form[i]], *words))
        return self._drawn(things, colours, dice), captions

    def tested(self, each: int, stream: int, typical: bool = True, alone: bool = False) -> Pictures:
        """`each` pictures of every two nouns whose typical colours differ, in these or any two colours, or of the first of them `alone`."""
        a, b = (x.ravel() for x in np.indices((len(NOUNS), len(NOUNS))))
        dice, keep = np.random.default_rng([self.seed, 33, stream]), np.flatnonzero(self.typical[a] != self.typical[b])
        things = np.repeat(np.stack([a, b], 1)[keep], each, 0)
        free = np.argsort(dice.random((len(things), len(PALETTE))), 1)[:, :2]
        return self._drawn(np.where([False, alone], -1, things), self.typical[things] if typical else free, dice)

    def _drawn(self, things: np.ndarray, colours: np.ndarray, dice: np.random.Generator) -> Pictures:
        n, scenes, right = len(things), Scenes.empty(len(things)), dice.random(len(things)) < 0.5
        for name, value in (
            ("category", np.where(things < 0, -1, _CATEGORY[things])),
            ("colour", _COLOUR[colours]),
            ("scale", np.array(sides())[things] / SIDE),
            ("x", 0.26 + 0.48 * np.stack([right, ~right], 1) + 0.03 * dice.uniform(-1, 1, (n, 2))),
            ("y", 0.5 + 0.15 * dice.uniform(-1, 1, (n, 2))),
            ("flip", dice.random((n, 2)) < 0.5),
        ):
            getattr(scenes, name)[:, :2] = value
        drawn = render(scenes, SIDE, masks=True)
        drawn.images[drawn.instances == 0] = GREY
        return Pictures(drawn.images, things[:, 0], things[:, 1], colours[:, 0], colours[:, 1], right)


_CATEGORY, _COLOUR = np.array([CATEGORIES.index(n) for n in NOUNS]), np.array([tuple(COLOURS).index(c) for c in PALETTE])


@lru_cache(maxsize=1)
def sides() -> list[int]:
    """The side in pixels at which the part of each noun that takes the colour is nearest to AREA."""
    area = [[sprite(c, "fill", 0, False, side, False).weight.sum() / 255 for side in range(9, 18)] for c in _CATEGORY]
    return [9 + int(np.abs(np.array(row) - AREA).argmin()) for row in area]


def sentence(form: str, *things: tuple[str, str]) -> str:
    """One of FORMS with (noun, colour) in it, or several with "and" between; a colour may be "": "this is a red apple and a pear"."""
    if "{noun}" in form:
        return " and ".join(form.format(noun=noun, colour=colour) for noun, colour in things)
    return form.format(" and ".join(fill("a {}", f"{colour} {noun}".strip()) for noun, colour in things))


def seedling(seed: int, device: str = "cpu"):
    """An untrained small CLIP with half the channels, for the sake of speed."""
    model = small_clip(seed, device=device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.module.visual = small_tower(WIDTH).to(device)
    return model


def raised(seed: int, strength: float, n: int, steps: int, lr: float, device: str = "cpu") -> dict[str, Tensor]:
    """Weights of a `seedling` after `steps` batches of the n lessons of `Garden(seed)`; those of all strengths start and go on alike."""
    if n < BATCH:
        raise ClipkitError(f"{n} lessons do not fill a batch of {BATCH}; give more")
    model, (seen, captions) = seedling(seed, device), Garden(seed).lessons(n, strength)
    pixels, words = model.preprocess_batch(seen.images).to(device), model.tokenize(captions).to(device)

    def loss(_, rows: Tensor) -> Tensor:
        return info_nce(model.encode_image(pixels[rows]), model.encode_text(words[rows]), model.logit_scale)

    train(model.module, shuffled(n, BATCH, torch.Generator().manual_seed(seed), rest="drop"), loss, steps, lr=lr)
    return model.module.state_dict()


def grown(seed: int, weights: dict[str, Tensor], device: str = "cpu"):
    """The small CLIP with these weights."""
    model = seedling(seed, device)
    model.module.load_state_dict(weights)
    return model.freeze()


def prompts(model, nouns: Sequence[str], palette: Sequence[str], form: str) -> Tensor:
    """Text features (O, K, D): each noun in each colour."""
    return model.text_features([sentence(form, (noun, c)) for noun in nouns for c in palette]).view(len(nouns), len(palette), -1)


def both_named(model, of: Pictures, x: Tensor, nouns: Sequence[str], palette: Sequence[str], form: str) -> float:
    """Percent of pictures, features x (N, D), that are nearer to the sentence of both things in their colours than with these exchanged."""
    true, false = (
        model.text_features([sentence(form, (nouns[a], palette[p]), (nouns[b], palette[q])) for a, b, p, q in zip(*row, strict=True)])
        for row in ((of.named, of.unnamed, of.own, of.other), (of.named, of.unnamed, of.other, of.own))
    )
    margin = ((true - false) * x).sum(1)
    return percent(margin > 0) + 0.5 * percent(margin == 0)


def asked(of: Pictures, kind: str, seed: int) -> tuple[list[str], np.ndarray]:
    """A question of each picture of two things, and the number of its answer in ANSWERS; yes and no, left and right alike often."""
    if kind == "colour":
        return [f"what colour is {fill('a {}', NOUNS[a])}" for a in of.named], of.own
    if kind == "side":
        return [f"where is {fill('a {}', NOUNS[a])}" for a in of.named], np.where(of.right, ANSWERS.index("right"), ANSWERS.index("left"))
    dice = np.random.default_rng([seed, 34])
    yes, lots = dice.random(len(of.named)) < 0.5, dice.random((len(of.named), len(NOUNS)))
    np.put_along_axis(lots, np.stack([of.named, of.unnamed], 1), 2.0, axis=1)
    said = np.where(yes, of.named, lots.argmin(1))
    return [f"is there {fill('a {}', NOUNS[a])}" for a in said], np.where(yes, ANSWERS.index("yes"), ANSWERS.index("no"))


def schooled(
    seed: int, weights: dict[str, Tensor], readers: Sequence[tuple[int, bool, int]], lr: Sequence[float], each: int, device: str = "cpu"
) -> list[dict[str, Tensor]]:
    """Readers (layers, frozen, steps) learn questions of all KINDS about any colours, at the rate lr[layers]. Returns of each: kind ->
    (N,) answers about `tested(each // 4, 1, False)`; "typical": colours of (each // 4, 0)."""
    garden, clip, found = Garden(seed), grown(seed, weights, device), []

    def ready(of: Pictures, kind: str) -> list[Tensor]:
        questions, right = asked(of, kind, seed)
        return [x.to(device) for x in (clip.preprocess_batch(of.images), clip.tokenize(questions), torch.as_tensor(right))]

    lessons = [ready(garden.tested(each, 5 + k, typical=False), kind) for k, kind in enumerate(KINDS)]
    pixels, words, right = (torch.cat(parts) for parts in zip(*lessons, strict=True))
    new = garden.tested(each // 4, 1, typical=False)
    given = {kind: ready(new, kind) for kind in KINDS} | {"typical": ready(garden.tested(each // 4, 0), "colour")}
    fixed = CrossModalReader(clip, ANSWERS, 0).tokens(pixels, words)  # for those that leave the towers alone
    for layers, freeze, steps in readers:
        reader = CrossModalReader(clip if freeze else grown(seed, weights, device), ANSWERS, layers, freeze, seed).to(device)

        def loss(net: CrossModalReader, rows: Tensor) -> Tensor:
            return F.cross_entropy(net(fixed[rows] if net.freeze else net.tokens(pixels[rows], words[rows])), right[rows])

        train(reader, shuffled(len(right), BATCH, torch.Generator().manual_seed(seed), rest="drop"), loss, steps, lr=lr[layers])
        with torch.no_grad():
            scores = {kind: reader(reader.tokens(*question[:2])).cpu() for kind, question in given.items()}
        found.append({k: (x[:, : len(PALETTE)] if k in ("colour", "typical") else x).argmax(1) for k, x in scores.items()})
    return found


def in_pairs(data: Dataset, noun: np.ndarray, colour: np.ndarray, seed: int, size: int, most: int) -> dict[str, Pictures]:
    """At most `most` "pair"s of the seed's own photographs of different colours, side by side; and the named one alone, "single"."""
    own, side, dice = dealt(noun, seed), size // 2, np.random.default_rng([seed, 35])
    a, b = (own[x.ravel()] for x in np.indices((len(own), len(own))))
    keep = np.sort(dice.permutation(np.flatnonzero(colour[a] != colour[b]))[:most])
    a, b, right = a[keep], b[keep], dice.random(len(keep)) < 0.5
    small = {k: np.asarray(data.images[k].convert("RGB").resize((side, side), Image.Resampling.BICUBIC)) for k in {*a, *b}}
    drawn = {name: np.full((len(a), size, size, 3), GREY, np.uint8) for name in ("pair", "single")}
    rows, halves = slice(size // 4, size // 4 + side), (slice(0, side), slice(side, 2 * side))
    for i, far in enumerate(right.astype(int)):
        drawn["pair"][i, rows, halves[far]] = drawn["single"][i, rows, halves[far]] = small[a[i]]
        drawn["pair"][i, rows, halves[1 - far]] = small[b[i]]
    return {name: Pictures(canvas, noun[a], noun[b], colour[a], colour[b], right) for name, canvas in drawn.items()}
