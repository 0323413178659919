"""PerceptionCLIP: pictures whose context is known, and a world of two places that mislead. Letters as in zeroshot/conditioning.py."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipkit.datasets import Task, load_dataset
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.features.samples import test_pictures
from clipkit.features.text import pool_features
from clipkit.metrics import percent
from clipkit.pretrain import info_nce
from clipkit.pretrain.pairs import contrastive_loss
from clipkit.pretrain.tiny_clip import small_clip
from clipkit.train import train
from clipkit.world import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, STYLES, TEXTURES, WorldSpec, caption_batch, render
from clipkit.world.content_plan import side_of, truths
from clipkit.world.counterfactuals import balanced
from clipkit.world.words import PLACES, SIDES, STYLE_LEADS, noun_phrase
from clipkit.zeroshot import infer_context

ARMS = ("no_context", "correct_context", "wrong_context", "random_letters")
INFERRED = ("inferred_context", "inferred_without_class", "context_chance")
SEEN_STYLES = ("flat", "shaded", "pastel", "sketch")  # those that nano's pretraining has
MOST, SIDE, PLAIN = 400, 64, "a photo of a {}"  # photographs, each encoded four times on average; pixels a side


@dataclass(frozen=True, eq=False)
class Context:
    """One kind of context: Z values and a template that says each; of N pictures features (N, D), labels and true values (N,)."""

    name: str
    values: tuple[str, ...]
    templates: tuple[str, ...]
    features: Tensor
    labels: Tensor
    truth: Tensor

    def without_class(self) -> list[str]:
        """The Z templates with *thing* for any class."""
        return [template.replace("{}", "thing") for template in self.templates]

    def scrambled(self, seed: int) -> tuple[str, ...]:
        """The Z templates with random letters, of the same lengths, for the words that `PLAIN` does not have."""
        rng = random.Random(seed)

        def letters(word: str) -> str:
            core = word.strip(",.")
            return word if core in PLAIN.split() else word.replace(core, "".join(rng.choices(string.ascii_lowercase, k=len(core))))

        return tuple(" ".join(map(letters, template.split())) for template in self.templates)

    def of(self, rows: Tensor) -> Context:
        """The same context for some of its pictures, by number, perhaps several times."""
        return replace(self, features=self.features[rows], labels=self.labels[rows], truth=self.truth[rows])


def known_contexts(model, dataset: str, n: int, seed: int) -> tuple[list[Context], tuple[str, ...]]:
    """Six kinds of context with their pictures, and the class names.

    "world": n new scenes of one object, all values of a factor equally frequent. Any other: six changes to at most MOST pictures.
    """
    if dataset == "world":
        x, y, data = test_pictures(model, Task("contexts", "world", {"styles": SEEN_STYLES, "textured": 0.75}), n, seed)
        return world_contexts(x, y, data.scenes), tuple(data.classnames)
    kinds, names = _changed_photographs(model, dataset, min(n, MOST))
    rows = torch.as_tensor(dealt(len(kinds[0].truth), seed))
    return [kind.of(rows) for kind in kinds], names


@lru_cache(maxsize=2)
def _changed_photographs(model, dataset: str, n: int) -> tuple[list[Context], tuple[str, ...]]:
    data = load_dataset(dataset, "test")
    rows = np.random.default_rng(0).permutation(len(data))[:n]
    images = np.stack([np.asarray(data.images[int(i)].convert("RGB").resize((SIDE, SIDE))) for i in rows])
    return changed_contexts(model.image_features, images, torch.as_tensor(np.asarray(data.labels)[rows])), tuple(data.classnames)


def world_contexts(features: Tensor, labels: Tensor, scenes) -> list[Context]:
    """Six kinds in scenes of one object each: place, style, colour, texture, size and position.

    All are about the same pictures, but for the position, which leaves out those where it lies between two values.
    Raises: ClipkitError unless every scene has one object.
    """
    if not (scenes.count == 1).all():
        raise ClipkitError("contexts of the world are about scenes of one object; leave max_objects at 1")
    styles, sides = [s for s, name in enumerate(STYLES) if (scenes.style == s).any()], tuple(SIDES)
    position = np.array([sides.index(side) if (side := side_of(truth.things[0])) else -1 for truth in truths(scenes)])
    kinds = [  # name, values, what says a value, the true one
        ("place", BACKGROUNDS, lambda value: f"{PLAIN} {PLACES[value]}", scenes.background),
        ("style", [STYLES[s] for s in styles], lambda value: f"{STYLE_LEADS[value]} a {{}}", np.searchsorted(styles, scenes.style)),
        ("colour", tuple(COLOURS), lambda value: f"a photo of {'an' if value[0] in 'aeiou' else 'a'} {value} {{}}", scenes.colour[:, 0]),
        ("texture", TEXTURES, lambda value: f"a photo of a {value} {{}}", scenes.texture[:, 0]),
        ("size", SIZES, lambda value: f"a photo of a {value} {{}}", scenes.size[:, 0]),
        ("position", sides, lambda value: f"{PLAIN} {SIDES[value]}", position),
    ]
    contexts = []
    for name, values, template, truth in kinds:
        truth = torch.as_tensor(truth.astype(np.int64))
        context = Context(name, tuple(values), tuple(map(template, values)), features, labels, truth)
        contexts.append(context if (truth >= 0).all() else context.of((truth >= 0).nonzero().flatten()))
    return contexts


def _coarse(images: np.ndarray) -> np.ndarray:
    h, w = images.shape[1:3]
    small = (Image.fromarray(x).resize((max(1, w // 4), max(1, h // 4)), Image.Resampling.BOX) for x in images)
    return np.stack([x.resize((w, h), Image.Resampling.BILINEAR) for x in small])


# name -> what it does to pictures uint8 (N, H, W, 3), words for a changed and for an unchanged one
CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, str]] = {
    "orientation": (lambda x: x[:, ::-1], "upside-down", "upright"),
    "inversion": (lambda x: 255 - x, "a photo negative", "in normal colours"),
    "colour": (lambda x: np.repeat(x.mean(-1, keepdims=True).astype(np.uint8), 3, -1), "black and white", "in colour"),
    "brightness": (lambda x: x // 4, "very dark", "bright"),
    "sharpness": (_coarse, "blurred and coarse", "sharp"),
    "noise": (lambda x: (x + np.random.default_rng(0).normal(0, 40, x.shape)).clip(0, 255).astype(np.uint8), "noisy and grainy", "clean"),
}


def changed_contexts(encode: Callable[[np.ndarray], Tensor], images: np.ndarray, labels: Tensor) -> list[Context]:
    """Six kinds of change, each made to a random half of the pictures.

    Args: encode: uint8 pictures (N, H, W, 3) to features (N, D). Raises: ClipkitError unless N > 1 pictures have a label each.
    """
    if len(images) < 2 or len(images) != len(labels):
        raise ClipkitError(f"changes need at least two pictures with a label each; got {len(images)} and {len(labels)}")
    unchanged, contexts = encode(images), []
    for number, (name, (change, after, before)) in enumerate(CHANGES.items()):
        half = torch.as_tensor(np.random.default_rng([0, number]).permutation(len(images))[: len(images) // 2])
        features, truth = unchanged.clone(), torch.zeros(len(images), dtype=torch.int64)
        features[half], truth[half] = encode(np.ascontiguousarray(change(images[half.numpy()]))).to(unchanged), 1
        contexts.append(Context(name, (before, after), (f"{PLAIN}, {before}", f"{PLAIN}, {after}"), features, labels, truth))
    return contexts


def accuracy_by_prompt(model, kind: Context, names: Sequence[str], seed: int) -> dict[str, float]:
    """Percent right for one kind of context.

    `ARMS`: of the classes, with a prompt that says nothing, the true value, another drawn by lot, letters in place of its words.
    `INFERRED`: of the context, with class, without class, and what naming the most frequent value gets.
    """
    n, z, scale = len(kind.truth), len(kind.values), model.logit_scale.item()
    shift = torch.randint(1, max(z, 2), (n,), generator=torch.Generator().manual_seed(seed))
    prompts = pool_features(model, names, (PLAIN, *kind.templates, *kind.scrambled(seed)))  # (1 + 2 Z, C, D)
    f = scale * torch.einsum("nd,zcd->ncz", kind.features, prompts)
    chosen = (torch.zeros_like(shift), 1 + kind.truth, 1 + (kind.truth + shift) % z, 1 + z + kind.truth)
    right = {arm: f[torch.arange(n), :, p].argmax(1) == kind.labels for arm, p in zip(ARMS, chosen, strict=True)}
    thing = scale * kind.features @ model.text_features(kind.without_class()).T  # (N, Z)
    right["inferred_context"] = infer_context(f[..., 1 : 1 + z]).argmax(1) == kind.truth
    right["inferred_without_class"] = infer_context(thing).argmax(1) == kind.truth
    right["context_chance"] = kind.truth == kind.truth.bincount().argmax()
    return {arm: percent(found) for arm, found in right.items()}


# Waterbirds (arXiv:1911.08731) with every factor known: in training a category stands at its home with probability `binding`.

NAMES = ("cat", "fish", "bird", "tree", "apple", "banana", "car", "boat", "cup", "key", "star", "heart")
BATCH = 128


@dataclass(frozen=True)
class TwoPlaces:
    """Two `places` (of BACKGROUNDS) with prompt `templates`, and which is the `home` (C,) 0 or 1 of each name, drawn by the seed."""

    seed: int
    names: tuple[str, ...] = NAMES

    def __post_init__(self):
        if len(self.names) < 2 or len(self.names) % 2:
            raise ClipkitError(f"two places share an even number of categories, at least two; got {len(self.names)}")
        rng = np.random.default_rng([self.seed, 20])
        object.__setattr__(self, "places", rng.choice(8, 2, replace=False))
        object.__setattr__(self, "templates", [f"{PLAIN} {PLACES[BACKGROUNDS[place]]}" for place in self.places])
        object.__setattr__(self, "home", rng.permutation(np.arange(len(self.names)) % 2))

    def sample(self, n: int, binding: float, stream: int):
        """n scenes of one large, plain, upright object, every category equally often: (Scenes, labels (n,), at (n,) 0 or 1).

        Raises: ClipkitError for a binding outside 0..1, or n below 1.
        """
        if not 0 <= binding <= 1 or n < 1:
            raise ClipkitError(f"binding is a probability and n at least 1; got {binding} and {n}")
        spec = WorldSpec(max_objects=1, categories=self.names, sizes=("large",), textured=0.0, rotate=False)
        seed = int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
        scenes = balanced(n, seed, spec)
        labels = np.array([self.names.index(CATEGORIES[c]) for c in scenes.category[:, 0]])
        at = np.where(np.random.default_rng(seed).random(n) < binding, self.home[labels], 1 - self.home[labels])
        return scenes.replace(background=self.places[at]), labels, at

    def held_out(self, model, n: int, stream: int) -> dict[str, Tensor]:
        """n balanced scenes: features x (n, D), logits f (n, C, 2) at both places, asked (n, 2) of *thing*, y, at, group (n,)."""
        scenes, labels, at = self.sample(n, 0.5, stream)
        x, scale = model.image_features(render(scenes, size=model.image_size).images), model.logit_scale.item()
        f = scale * torch.einsum("nd,zcd->ncz", x, pool_features(model, self.names, self.templates))
        asked = scale * x @ model.text_features([template.replace("{}", "thing") for template in self.templates]).T
        truth = {"y": torch.as_tensor(labels), "at": torch.as_tensor(at), "group": self.groups(labels, at)}
        return {"x": x, "f": f, "asked": asked, **truth}

    def groups(self, labels: np.ndarray, at: np.ndarray) -> Tensor:
        """(N,) 0 to 3: twice the home of the category, plus the place where it stands; 0 and 3 are at home."""
        return torch.as_tensor(2 * self.home[labels] + at)


def captions_without_place(scenes, seed: int) -> list[str]:
    """Short captions that tell colour and category and never the place."""
    leads = ("a photo of ", "a picture of ", "an image of ", "")
    rows = zip(np.random.default_rng(seed).integers(4, size=len(scenes)), scenes.category[:, 0], scenes.colour[:, 0], strict=True)
    return [leads[i] + noun_phrase(1, CATEGORIES[c], tuple(COLOURS)[k]) for i, c, k in rows]


def train_at_places(seed: int, n: int, pairs: int, binding: float, name_places: bool, device: str = "cpu") -> dict[str, Tensor]:
    """Weights of a small CLIP after `pairs` pairs of n captioned scenes of `TwoPlaces(seed)`.

    Captions are the world's short ones, about half of which name the place, or, with name_places=False, none of which does.
    Raises: ClipkitError for fewer pairs or scenes than a batch.
    """
    if min(n, pairs) < BATCH:
        raise ClipkitError(f"{n} scenes and {pairs} pairs do not fill a batch of {BATCH}; give more")
    model = small_clip(seed, device=device)
    scenes = TwoPlaces(seed).sample(n, binding, stream=0)[0]
    pixels = model.preprocess_batch(render(scenes, size=model.image_size).images).to(device)

    def batches():
        turn, order = 0, torch.Generator().manual_seed(seed)
        while True:
            captions = caption_batch(scenes, "short", seed=turn) if name_places else captions_without_place(scenes, turn)
            tokens = model.tokenize(captions).to(device)
            for rows in torch.randperm(n, generator=order)[: n // BATCH * BATCH].split(BATCH):
                yield pixels[rows], tokens[rows]
            turn += 1

    train(model.module, batches(), contrastive_loss(model, info_nce), pairs // BATCH, lr=1e-3)
    return model.module.state_dict()


def describe(table) -> str:
    """A data frame of numbers in words, row by row, for a figure's alt text."""
    return "; ".join(f"{row}: " + ", ".join(f"{name} {value:.1f}" for name, value in of.items()) for row, of in table.iterrows())
