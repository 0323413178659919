"""CounterAnimal: things tied to places in training, the same scenes before every place, and photographs whose place is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.datasets import Dataset, load_dataset
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.features import extract
from clipkit.features.text import pool_features
from clipkit.metrics import percent
from clipkit.models.pixels import normalise
from clipkit.pretrain import info_nce
from clipkit.pretrain.tiny_clip import EMBED_DIM, small_tower
from clipkit.robust import accuracy_by_place, discover_spurious_groups, group_drop, in_groups
from clipkit.train import shuffled, train
from clipkit.world import BACKGROUNDS, CATEGORIES, WorldSpec, render
from clipkit.world.counterfactuals import at_home, balanced

NAMES = ("cat", "dog", "bird", "fish", "turtle", "butterfly", "car", "bus", "bicycle", "airplane", "boat", "rocket")
BATCH, WIDTH, PLAIN = 64, 12, "a photo of a {}"
OBJECTIVES = ("captions", "captions with places", "labels")


@dataclass(frozen=True)
class Homes:
    """A world in which each of NAMES has a home, drawn by the seed so that every place is a home of one or two."""

    seed: int

    @property
    def home(self) -> np.ndarray:  # (C,) place of each name
        return np.random.default_rng([self.seed, 21]).permutation(np.arange(len(NAMES)) % len(BACKGROUNDS))

    def sample(self, n: int, binding: float, stream: int):
        """n scenes of one large thing, at home with probability `binding`, else elsewhere: Scenes, labels, places. Raises ClipkitError."""
        if not 0 <= binding <= 1:
            raise ClipkitError(f"binding is a probability, from 0 to 1; got {binding}")
        seed = int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
        spec = WorldSpec(max_objects=1, categories=NAMES, sizes=("large",), textured=0.0, rotate=False)
        scenes, rng = balanced(n, seed, spec), np.random.default_rng(seed)
        labels = np.array([NAMES.index(CATEGORIES[c]) for c in scenes.category[:, 0]])
        away = self.home[labels] + rng.integers(1, len(BACKGROUNDS), n)
        places = np.where(rng.random(n) < binding, self.home[labels], away % len(BACKGROUNDS))
        return scenes.replace(background=places), labels, places

    def rerendered(self, each: int, stream: int):
        """`each` scenes a name, every one before all P places: (Scenes, labels, places, scene number), P · C · each rows."""
        scenes, labels, _ = self.sample(each * len(NAMES), 1.0, stream)
        scene, places = (grid.ravel() for grid in np.indices((len(labels), len(BACKGROUNDS))))
        return scenes[scene].replace(background=places), labels[scene], places, scene


@lru_cache(maxsize=3)
def _pixels(seed: int, n: int, binding: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, labels, places of n scenes to learn from, or, with None for the binding, of n test scenes a name before every place."""
    world = Homes(seed)
    scenes, labels, places, *_ = world.rerendered(n, 1) if binding is None else world.sample(n, binding, 0)
    return normalise(render(scenes).images, (0.5,) * 3, (0.25,) * 3), torch.as_tensor(labels), torch.as_tensor(places)


class Twins(nn.Module):
    """A small tower for pictures, and texts as bags of words: "cat, snow" is the sum of two learnt vectors, "cat" one of them."""

    def __init__(self, seed: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.visual, self.words = small_tower(WIDTH), nn.Embedding(len(NAMES) + len(BACKGROUNDS), EMBED_DIM)
            self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def texts(self, labels: Tensor, places: Tensor | None = None) -> Tensor:
        """Unit features (B, D) of names (B,), with the places (B,) said or not."""
        said = self.words(labels) if places is None else self.words(labels) + self.words(len(NAMES) + places)
        return F.normalize(said, dim=-1)


def learnt_answers(objective: str, binding: float, n: int, steps: int, each: int, lr: float, seed: int, device: str) -> dict[str, Tensor]:
    """Train `Twins(seed)` on n scenes of `Homes(seed)` and let them name those of `rerendered(each, 1)`: way of asking -> (N,) guesses.

    All objectives have the same start, pictures and order, and "labels" the same logits: cross-entropy over the names' vectors.
    "captions": CLIP's loss, the caption names the thing, or thing and place, and then a way "pooled" asks by texts of all places.
    Raises ClipkitError: an unknown objective, fewer scenes than a batch.
    """
    if objective not in OBJECTIVES or n < BATCH:
        raise ClipkitError(f"objectives are {', '.join(OBJECTIVES)}, and {BATCH} scenes a batch; got {objective!r} and {n}")
    pixels, labels, places = (t.to(device) for t in _pixels(seed, n, binding))
    names, all_places = (torch.arange(len(k), device=device) for k in (NAMES, BACKGROUNDS))

    def loss(net: Twins, rows: Tensor) -> Tensor:
        x, scale = F.normalize(net.visual(pixels[rows]), dim=1), net.log_scale.exp()
        if objective == "labels":
            return F.cross_entropy(scale * x @ net.texts(names).T, labels[rows])
        return info_nce(x, net.texts(labels[rows], places[rows] if objective == OBJECTIVES[1] else None), scale)

    twins = Twins(seed).to(device)
    train(twins, shuffled(n, BATCH, torch.Generator().manual_seed(seed), rest="drop"), loss, steps, lr=lr)
    with torch.no_grad():
        x, ways = twins.visual(_pixels(seed, each, None)[0].to(device)), {"plain": twins.texts(names)}
        if objective == OBJECTIVES[1]:
            ways["pooled"] = F.normalize(twins.texts(names[:, None], all_places[None]).mean(1), dim=1)
        return {way: (x @ texts.T).argmax(1).cpu() for way, texts in ways.items()}


@dataclass(frozen=True, eq=False)
class Pictures:
    """N test pictures: labels, places (N,); (N,) bool which may choose groups, and which this seed measures; `usual`: groups as known."""

    labels: np.ndarray
    places: np.ndarray
    choosing: np.ndarray
    own: np.ndarray
    names: Sequence[str]
    place_names: Sequence[str]
    usual: Mapping[int, tuple[int, int | None]]
    min_n: int = 1

    def groups(self, right: np.ndarray | None, shuffled_by: int | None = None):
        """Of each class: by a model's failures (right (N,) bool), with places dealt out by a seed if that is given; None: as known."""
        if right is None:
            return self.usual
        places = self.places if shuffled_by is None else self.shuffled_places(shuffled_by)
        return discover_spurious_groups(right, self.labels, places, min_n=self.min_n, split=self.choosing)

    def shuffled_places(self, seed: int) -> np.ndarray:
        """(N,) the places, dealt out anew among the pictures of a class in each half: they mean nothing, and cells keep their size."""
        rng, places = np.random.default_rng([seed, 22]), self.places.copy()
        part = 2 * self.labels + self.choosing
        for rows in (np.flatnonzero(part == one) for one in np.unique(part)):
            places[rows] = places[rng.permutation(rows)]
        return places

    def drop(self, right: np.ndarray, groups, held_out: bool = True, shuffled_by: int | None = None) -> float:
        """Points from common to counter group on the pictures that did not choose (or did); 0 where no class has both groups."""
        rows = self.own & (self.choosing != held_out)
        places = self.places if shuffled_by is None else self.shuffled_places(shuffled_by)
        group = in_groups(self.labels, places, groups)
        there = [c for c in groups if all((group[rows & (self.labels == c)] == side).any() for side in (0, 1))]
        rows &= np.isin(self.labels, there)
        return group_drop(right[rows], self.labels[rows], group[rows], draws=2).drop if there else 0.0

    def accuracy(self, right: np.ndarray) -> dict[str, float]:
        """Percent right of the pictures this seed measures: all, at the usual place, elsewhere."""
        group = in_groups(self.labels, self.places, self.usual)
        return {part: percent(right[self.own & (group != other)]) for part, other in (("all", 2), ("home", 1), ("away", 0))}

    def by_place_alone(self) -> np.ndarray:
        """(N,) bool: right when each picture gets the commonest class of its place, counted on the pictures that choose."""
        counts = accuracy_by_place(self.choosing, self.labels, self.places)
        return (np.nan_to_num(counts[0] * counts[1]).argmax(0)[self.places]) == self.labels


def world_pictures(seed: int, each: int, shipped: bool = False) -> Pictures:
    """`each` re-rendered scenes a name, half of which may choose; homes of the seed, or those a shipped model was trained with."""
    world = Homes(seed)
    scenes, labels, places, scene = world.rerendered(each, stream=1)
    home = at_home(scenes).background if shipped else world.home[labels]
    usual = {int(c): (int(home[labels == c][0]), None) for c in range(len(NAMES))}
    half = scene < (each + 1) // 2 * len(NAMES)
    return Pictures(labels, places, half, np.ones(len(labels), bool), NAMES, BACKGROUNDS, usual)


THINGS = {"dog": "dogs?|puppy|puppies", "man": "man|men|guy", "woman": "woman|women|lady", "boy": "boys?", "girl": "girls?"}
WHERE = {
    **{"water": r"water|pool|ocean|lake|river|sea|waves?|surf\w*|stream|pond", "grass": r"grass\w*|fields?|lawn|meadow|yard|park"},
    **{"snow": r"snow\w*|ice|icy", "sand": "sand|sandy|beach|desert", "rocks": r"rocks?|rocky|mountains?|cliff|hill\w*"},
    **{"street": "street|road|sidewalk|city|pavement|crosswalk|track|path", "forest": "forest|woods|wooded|trees?|leaves"},
    "indoors": r"room|couch|sofa|bed|floor|indoors?|kitchen|table|inside|chair|carpet|stage|gym\w*",
}


def vote(captions: Sequence[str], words: Mapping[str, str], least: int) -> int:
    """Number of the one thing that most captions name, −1 unless at least `least` do and no other is named by half as many."""
    found = np.array([sum(bool(re.search(rf"\b({w})\b", text.lower())) for text in captions) for w in words.values()])
    best, second = np.sort(found)[::-1][:2]
    return int(found.argmax()) if best >= least and 2 * second < best else -1


def marked_photographs(dataset: str, others: Sequence[str], seed: int, min_n: int) -> tuple[list[Dataset], Pictures]:
    """Photographs whose class and place are known, in several data sets, and what is known of them.

    With `others` each folder is a place (or a style), the first the usual one; else captions tell the place, and the class where there
    are no labels, and a class is usual where it is most often. Half of each cell chooses for all seeds; both halves are dealt out.
    Raises ClipkitError: neither other folders nor captions, folders that do not fit, fewer than two classes or places.
    """
    folders = [_every(name) for name in (dataset, *others)]
    data, classes = [part for parts in folders for part in parts], list(folders[0][0].classnames or THINGS)
    if others:
        if any(part.labels is None or list(part.classnames) != classes for part in data):
            raise ClipkitError("folders that stand for places need class folders of the same names, in each of them")
        place_names = [Path(name.partition(":")[2]).name for name in (dataset, *others)]
        places = np.concatenate([np.full(sum(map(len, parts)), number) for number, parts in enumerate(folders)])
    else:
        if any(part.captions is None for part in data):
            raise ClipkitError(f"{dataset} has no captions to read places from; give folders of other places, others=folder:A,folder:B")
        place_names, places = list(WHERE), np.array([vote(said, WHERE, 2) for part in data for said in part.captions])
    if data[0].labels is None:
        labels = np.array([vote(said, THINGS, 3) for part in data for said in part.captions])
    else:
        labels = np.concatenate([part.labels for part in data])
    known = np.flatnonzero((labels >= 0) & (places >= 0))
    starts, labels, places = np.cumsum([0, *map(len, data)]), labels[known], places[known]
    data = [part.subset(known[(known >= a) & (known < b)] - a) for part, a, b in zip(data, starts, starts[1:], strict=False)]
    if len(np.unique(labels)) < 2 or len(np.unique(places)) < 2:
        raise ClipkitError(f"{dataset}: fewer than two classes or two places are known; give more pictures or other folders")
    cell, turn, own = labels * len(place_names) + places, np.zeros(len(known), int), np.zeros(len(known), bool)
    for rows in (np.flatnonzero(cell == one) for one in np.unique(cell)):
        turn[rows] = np.random.default_rng(0).permutation(len(rows))
    for rows in (np.flatnonzero(turn % 2 == half) for half in (0, 1)):
        own[rows[dealt(cell[rows], seed)]] = True
    usual = {c: (0 if others else int(np.bincount(places[labels == c]).argmax()), None) for c in np.unique(labels).tolist()}
    return data, Pictures(labels, places, turn % 2 == 0, own, classes, place_names, usual, min_n)


def named_by(model, data: Sequence[Dataset], names: Sequence[str]) -> Tensor:
    """(N,) the name that a model's zero-shot classifier with the prompt `PLAIN` gives each picture of all data sets."""
    weights = pool_features(model, names, [PLAIN])[0]
    return torch.cat([(extract(model, part, batch=16).image @ weights.T).argmax(1) for part in data if len(part)])


@lru_cache(maxsize=8)  # reading thousands of files to see whether they are pictures takes a while
def _every(name: str) -> list[Dataset]:
    test = load_dataset(name, "test")
    with suppress(ClipkitError):  # no such split
        return [load_dataset(name, "train"), test]
    return [test]
