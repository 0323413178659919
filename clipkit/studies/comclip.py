"""ComCLIP: pairs of pictures and sentences in which one part differs, with boxes, right and wrong ones; rivals that use the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets.boxes import BoxedPhotographs, photo_nouns
from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, COLOURS, SIZES, TEXTURES, Scenes, WorldSpec, render, sample_scenes
from clipkit.world.words import PLURALS, RELATION_WORDS, SINGULARS, noun_phrase
from clipkit.zeroshot import Triple, box_mask, cut_out, parse_triple

KINDS = ("subject", "object", "attribute", "exchanged", "relation")
ATTRIBUTES = (*COLOURS, *SIZES, *TEXTURES, "young", "old", "little", "big", "wooden", "tall", "empty", "grey")
LEAST = 0.005  # of a photograph that a box covers
FOILS = 4  # wrong sentences, and wrong pictures, for each thing that a caption names
THINGS, CLEAR = 4, 0.2  # in a picture, two of them named; how far apart these stand, centre to centre, as a share of the picture


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures (N, 3, S, S) uint8 with the `categories` of the M things of each and their `boxes` (M, 4), pixels of S; sentences, and
    what each says; `pairs` (P, 2), numbers of a picture and a sentence.

    T trials, where there are some: pair `right` (T,) should score above pair `wrong` (T,), both positions in `pairs`. Which part
    differs: `kind` (T,); what is told apart: `choice` (T,), "text" or "picture".
    """

    images: Tensor
    categories: list[list[str]]
    boxes: list[Tensor]
    texts: list[str]
    triples: list[Triple]
    pairs: Tensor
    right: Tensor | None = None
    wrong: Tensor | None = None
    kind: np.ndarray | None = None
    choice: np.ndarray | None = None

    def tried(self, found: Sequence[tuple]) -> Pairs:
        """With trials of rows (right picture, right sentence, wrong picture, wrong sentence, kind). ClipkitError where there is none."""
        if not found:
            raise ClipkitError("no caption names a thing that has a box: captions have to be English, and to use the categories' names")
        rows = torch.tensor([row[:4] for row in found])
        pairs, at = torch.cat([rows[:, :2], rows[:, 2:]]).unique(dim=0, return_inverse=True)
        choice = np.where((rows[:, 0] == rows[:, 2]).numpy(), "text", "picture")
        right, wrong = at.view(2, -1)
        return replace(self, pairs=pairs, right=right, wrong=wrong, kind=np.array([row[4] for row in found]), choice=choice)

    def percent(self, scores: Tensor, **only: str) -> float | None:
        """Percent of the trials right by scores (P,), a tie half right; of one kind or choice only; None where there is no such trial."""
        rows = np.all([np.ones(len(self.kind), bool), *(getattr(self, name) == value for name, value in only.items())], axis=0)
        good, bad = (scores[pair[torch.from_numpy(rows)]] for pair in (self.right, self.wrong))
        return 100 * ((good > bad).double() + 0.5 * (good == bad)).mean().item() if rows.any() else None


def two_things(n: int, seed: int) -> Scenes:
    """n scenes of THINGS things of different categories; the first two, of different colours, stand clearly apart."""
    scenes = sample_scenes(WorldSpec(min_objects=THINGS, max_objects=THINGS), 4 * n + 64, seed)
    apart = np.maximum(*(abs(at[:, 1] - at[:, 0]) for at in (scenes.x, scenes.y))) > CLEAR
    differ = (np.diff(np.sort(scenes.category[:, :THINGS])) > 0).all(1) & (scenes.colour[:, 0] != scenes.colour[:, 1])
    return scenes[np.flatnonzero(differ & apart)[:n]]


def relations_in(scenes: Scenes, of: int = 0) -> np.ndarray:
    """(n,) how the first thing (of=1: the second) stands to the other, along the axis on which they are further apart."""
    dx, dy = (at[:, 1 - of] - at[:, of] for at in (scenes.x, scenes.y))
    return np.where(abs(dx) >= abs(dy), np.where(dx > 0, "left of", "right of"), np.where(dy > 0, "above", "below"))


def sentences(scenes: Scenes, first: int = 0) -> list[str]:
    """ "a red cat to the left of a blue dog"; with first=1 the same, but with the things exchanged in the sentence."""
    colours, n = tuple(COLOURS), len(scenes)
    said = [[noun_phrase(1, CATEGORIES[scenes.category[i, k]], colours[scenes.colour[i, k]]) for i in range(n)] for k in (0, 1)]
    return [f"{a} {RELATION_WORDS[r]} {b}" for a, r, b in zip(said[first], relations_in(scenes, first), said[1 - first], strict=True)]


def changed(scenes: Scenes, kind: str, rng: np.random.Generator) -> Scenes:
    """The same scenes with one part exchanged: the first or second thing, one colour, the two colours, or the two places."""
    category, colour, x, y = (getattr(scenes, name).copy() for name in ("category", "colour", "x", "y"))

    def put_another(values: np.ndarray, slot: np.ndarray | int, taken: int, n: int) -> None:  # one of n that the first ones lack
        lots, rows = rng.random((len(values), n)), np.arange(len(values))
        np.put_along_axis(lots, values[:, :taken], -1.0, axis=1)
        values[rows, slot] = lots.argmax(1)

    if kind in ("subject", "object"):
        put_another(category, int(kind == "object"), THINGS, len(CATEGORIES))
    elif kind == "attribute":
        put_another(colour, rng.integers(0, 2, len(colour)), 2, len(COLOURS))
    else:
        for values in (colour,) if kind == "exchanged" else (x, y):
            values[:, :2] = values[:, 1::-1]
    return scenes.replace(category=category, colour=colour, x=x, y=y)


def world_pairs(scenes: Scenes, size: int, texts: list[str] | None = None) -> Pairs:
    """The scenes, drawn, each with its sentence; boxes are those of what can be seen."""
    drawn, texts = render(scenes, size, masks=True), texts or sentences(scenes)
    seen = np.isfinite(drawn.boxes[:, :, 0])
    names = [[CATEGORIES[c] for c in row[own]] for row, own in zip(scenes.category, seen, strict=True)]
    boxes = [torch.from_numpy(box[own]) for box, own in zip(drawn.boxes, seen, strict=True)]
    images, nouns = torch.from_numpy(drawn.images).permute(0, 3, 1, 2), {f: c for c in CATEGORIES for f in (c, SINGULARS[c], PLURALS[c])}
    triples = [parse_triple(text, nouns, ATTRIBUTES) for text in texts]
    return Pairs(images, names, boxes, texts, triples, torch.arange(len(texts))[:, None].expand(-1, 2))


def world_trials(n: int, seed: int, size: int) -> Pairs:
    """For each of KINDS n items: two pictures that differ in that part only, a sentence for each; four trials an item. In "relation"
    the second picture has the places of the things exchanged, and its sentence the things."""
    first, rng = two_things(n * len(KINDS), seed), np.random.default_rng(seed)
    second = [changed(first[k * n : (k + 1) * n], kind, rng) for k, kind in enumerate(KINDS)]
    texts = sentences(first) + [text for part, kind in zip(second, KINDS, strict=True) for text in sentences(part, int(kind == "relation"))]
    m = len(first)
    both = [(i, i + m, KINDS[i // n]) for i in range(m)] + [(i + m, i, KINDS[i // n]) for i in range(m)]
    found = [trial for a, b, kind in both for trial in ((a, a, a, b, kind), (a, a, b, a, kind))]
    return world_pairs(Scenes.concatenate([first, *second]), size, texts).tried(found)


def photo_trials(photographs: BoxedPhotographs, hand: Sequence[int], size: int, seed: int) -> Pairs:
    """Captions of the photographs in `hand` that name a thing with a box, against wrong sentences and other photographs of the hand;
    all are squeezed into squares, so that no thing is cut off, and tiny boxes left out.

    "subject", "object", told from other sentences: in the noun's place stands one that a caption of the hand uses for a class that
    this photograph neither shows nor has named, one or many alike; told from other photographs: one without such a thing that has,
    where there is one, the caption's other thing. "relation": the two nouns exchanged in the sentence.
    """
    images, boxes, categories, rng = [], [], [], np.random.default_rng(seed)
    for i, box in enumerate(photographs.boxes):
        image = photographs.images[i].convert("RGB")
        large = np.prod(box[:, 2:] - box[:, :2], axis=1) >= LEAST * image.width * image.height
        boxes.append(torch.as_tensor(box[large] * size / np.array([*image.size, *image.size], np.float32)))
        categories.append([c for c, seen in zip(photographs.categories[i], large, strict=True) if seen])
        images.append(torch.from_numpy(np.array(image.resize((size, size), 3))).permute(2, 0, 1))
    nouns = photo_nouns(set().union(*photographs.categories))
    said = {i: [(t, r) for t in photographs.captions[i] if (r := parse_triple(t, nouns, ATTRIBUTES))] for i in hand}
    words = [(t[a:b], nouns[t[a:b].lower()]) for own in said.values() for t, r in own for a, b in r.at]
    shown = {i: {*photographs.categories[i]}.union(*({r.subject, r.object} for _, r in own)) for i, own in said.items()}
    texts, found = {}, []
    for i, (text, triple) in ((i, one) for i, own in said.items() for one in own):
        right, foils, two = texts.setdefault(text, len(texts)), [], {triple.subject, triple.object}
        for kind, (a, b), category in zip(KINDS, triple.at, triple[:2], strict=False):
            many, lack = text[a:b].endswith("s"), [q for q in said if category not in shown[q]]
            absent = [word for word, c in words if c not in shown[i] and word.endswith("s") == many]
            if category in categories[i] and absent and lack:
                foils += [(kind, text[:a] + str(word) + text[b:]) for word in rng.choice(absent, FOILS)]
                near = [q for q in lack if two & shown[q]] or lack
                found += [(i, right, int(q), right, kind) for q in rng.choice(near, min(FOILS, len(near)), replace=False)]
        if two <= {*categories[i]}:
            (a, b), (c, d) = triple.at
            foils.append(("relation", text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]))
        found += [(i, right, i, texts.setdefault(wrong, len(texts)), kind) for kind, wrong in foils]
    triples = [parse_triple(text, nouns, ATTRIBUTES) for text in texts]
    return Pairs(torch.stack(images), categories, boxes, list(texts), triples, torch.empty(0, 2)).tried(found)


def moved(pairs: Pairs, seed: int, overlap: float | None = None) -> Pairs:
    """Each box somewhere else, of the same size: anywhere in the picture, or so far off that its intersection over union with the
    true box is `overlap` (more where the picture's edge is in the way)."""
    side, boxes, rng = pairs.images.shape[-1], [], np.random.default_rng(seed)
    for old in (box.numpy() for box in pairs.boxes):
        start, size = old[:, :2], old[:, 2:] - old[:, :2]
        if overlap is None:
            start = rng.random(size.shape) * (side - size)
        else:
            kept, share = 2 * overlap / (1 + overlap), rng.random((len(old), 1))  # of the box's area; how it is shared by x and y
            step = size * (1 - kept ** np.concatenate([share, 1 - share], 1)) * rng.choice([-1, 1], size.shape)
            out = (start + step < 0) | (start + step + size > side)
            start = np.where(out, start - step, start + step).clip(0, side - size)
        boxes.append(torch.as_tensor(np.concatenate([start, start + size], 1), dtype=torch.float32))
    return replace(pairs, boxes=boxes)


class Eye:
    """What a model sees of pairs: `texts`, `pictures` (P, D), `keys` (P, 3, D), `present` (P, 3), and on demand their parts."""

    def __init__(self, model, pairs: Pairs):
        self.model, self.of, self.known = model, pairs, {}
        self.rows, texts = pairs.pairs.tolist(), pairs.pairs[:, 1]
        keys = {key: k for k, key in enumerate({"": 0} | {key: 0 for triple in pairs.triples for key in triple.keys})}  # "" is the first
        where = torch.tensor([[keys[key] for key in triple.keys] for triple in pairs.triples])[texts]
        self.keys, self.present = model.text_features([key or "." for key in keys])[where], where > 0
        self.texts, self.pictures = model.text_features(pairs.texts)[texts], self.encode([(i, ()) for i, _ in self.rows], "")

    def encode(self, wanted: Sequence[tuple[int, tuple]], filler: str) -> Tensor:
        """Features (len, D) of what is in the boxes, by number, of a picture; of all of it without boxes. Each is encoded once."""
        new = [key for key in dict.fromkeys((i, rows, filler if rows else "") for i, rows in wanted) if key not in self.known]
        for start in range(0, len(new), 512):
            cuts = []
            for i, rows, _ in (part := new[start : start + 512]):
                image = self.of.images[i]
                cuts.append(cut_out(image, box_mask(self.of.boxes[i][[*rows]], *image.shape[1:]), filler) if rows else image)
            self.known.update(zip(part, self.model.image_features(torch.stack(cuts).permute(0, 2, 3, 1).numpy(), 64), strict=True))
        return torch.stack([self.known[i, rows, filler if rows else ""] for i, rows in wanted])

    def over(self, pairs: Pairs) -> Eye:
        """The same, over other boxes."""
        other = copy(self)
        other.of, other.known = pairs, {key: feature for key, feature in self.known.items() if not key[1]}
        return other

    def named(self, missed: float = 0.0, seed: int = 0) -> list[tuple]:
        """For each pair the boxes of subject, object and predicate, by number, () for the whole picture; a share of all is missed."""
        dice, found = np.random.default_rng(seed), []
        there = [[(m, c) for m, c in enumerate(names) if dice.random() >= missed] for names in self.of.categories]
        for i, j in self.rows:
            one, two = (tuple(m for m, c in there[i] if c == category) for category in self.of.triples[j][:2])
            found.append((one, two, tuple(sorted(one + two)) if one and two else ()))
        return found

    def liked(self, filler: str) -> list[tuple]:
        """The same for boxes without names: each thing takes the box that the model finds most like its words."""
        boxes, found = [range(len(own)) for own in self.of.boxes], []
        self.encode([(i, (m,)) for i in {i: () for i, _ in self.rows} for m in boxes[i]] + [(self.rows[0][0], ())], filler)  # all at once
        for (i, _), keys in zip(self.rows, self.keys, strict=True):
            likes = keys[:2] @ self.encode([(i, (m,)) for m in boxes[i]] or [(i, ())], filler).T
            a, b = likes.argmax(1).tolist()
            found.append(((a,), (b,), tuple(sorted({a, b}))) if boxes[i] else ((), (), ()))
        return found

    def parts(self, filler: str, boxes: Sequence[tuple] | None = None) -> Tensor:
        """Features (P, 3, D) of subject, object and predicate."""
        wanted = [(i, rows) for (i, _), three in zip(self.rows, boxes or self.named(), strict=True) for rows in three]
        return self.encode(wanted, filler).view(len(self.rows), 3, -1)

    def views(self) -> Tensor:
        """Features (P, 3, D) that need no boxes: the picture mirrored, and its upper left and lower right part, three quarters wide."""
        images, side = self.of.images, self.of.images.shape[-1]
        corners = torch.tensor([[0, 0, 0.75, 0.75], [0.25, 0.25, 1, 1]]) * side
        own = sorted({i for i, _ in self.rows})
        cuts = [images[i].flip(2) for i in own] + [cut_out(images[i], box_mask(c[None], side, side), "crop") for c in corners for i in own]
        seen = self.model.image_features(torch.stack(cuts).permute(0, 2, 3, 1).numpy(), 64).view(3, len(own), -1)
        return seen[:, [own.index(i) for i, _ in self.rows]].movedim(0, 1)


def shortlist(model, truth: Pairs, n: int = 10) -> tuple[Eye, Tensor]:
    """For each of Q sentences the n pictures that the model finds most like it, best first, as Q n pairs; (Q, n) bool, which is right."""
    eye = Eye(model, truth)
    every = eye.encode([(i, ()) for i in range(len(truth.images))], "")
    top = (eye.texts @ every.T).topk(min(n, len(every))).indices
    texts = truth.pairs[:, 1:].expand_as(top)
    return Eye(model, replace(truth, pairs=torch.stack([top, texts], 2).flatten(0, 1))), top == truth.pairs[:, :1]
