"""Kinds of context whose true value is known for every picture: factors of the world, or changes made to photographs."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError


@dataclass(frozen=True, eq=False)
class Context:
    """One kind of context and pictures of known value.

    Attributes:
        name; values (Z): as words. templates (Z): prompt templates that say the value; plain: the template that says nothing.
        features (N, D), labels (N,), truth (N,): of the pictures, truth in 0..Z-1.
    """

    name: str
    values: tuple[str, ...]
    templates: tuple[str, ...]
    plain: str
    features: Tensor
    labels: Tensor
    truth: Tensor

    def without_class(self, word: str = "thing") -> list[str]:
        """The Z templates with a word for any class."""
        return [template.replace("{}", word) for template in self.templates]

    def scrambled(self, seed: int) -> tuple[str, ...]:
        """The Z templates with random letters, of the same lengths, for the words that `plain` does not have."""
        rng, known = random.Random(seed), set(self.plain.replace(",", " ").replace(".", " ").split())

        def letters(word: str) -> str:
            core = word.strip(",.")
            return word if core in known else word.replace(core, "".join(rng.choices(string.ascii_lowercase, k=len(core))))

        return tuple(" ".join(letters(word) for word in template.split()) for template in self.templates)


PLAIN = "a photo of a {}"


def world_contexts(features: Tensor, labels: Tensor, scenes) -> list[Context]:
    """Six kinds in scenes of one object each: place, style, colour, texture, size and position.

    All are about the same pictures, but for the position, which leaves out those where it lies between two values.

    Raises: ClipkitError for a scene without exactly one object.
    """
    from clipkit.world import BACKGROUNDS, COLOURS, SIZES, STYLES, TEXTURES
    from clipkit.world.words import PLACES, SIDES, STYLE_LEADS

    if not (scenes.count == 1).all():
        raise ClipkitError("contexts of the world are about scenes of one object; leave max_objects at 1")
    styles = [s for s, name in enumerate(STYLES) if (scenes.style == s).any()]
    sides, at = tuple(SIDES), positions(scenes)
    forms: dict[str, tuple[Sequence[str], Callable[[str], str], np.ndarray]] = {
        "place": (BACKGROUNDS, lambda v: f"a photo of a {{}} {PLACES[v]}", scenes.background),
        "style": ([STYLES[s] for s in styles], lambda v: f"{STYLE_LEADS[v]} a {{}}", np.searchsorted(styles, scenes.style)),
        "colour": (tuple(COLOURS), lambda v: f"a photo of {'an' if v[0] in 'aeiou' else 'a'} {v} {{}}", scenes.colour[:, 0]),
        "texture": (TEXTURES, lambda v: f"a photo of a {v} {{}}", scenes.texture[:, 0]),
        "size": (SIZES, lambda v: f"a photo of a {v} {{}}", scenes.size[:, 0]),
        "position": (sides, lambda v: f"a photo of a {{}} {SIDES[v]}", np.array([sides.index(a) if a else -1 for a in at])),
    }
    out = []
    for name, (values, say, truth) in forms.items():
        found = Context(name, tuple(values), tuple(map(say, values)), PLAIN, features, labels, torch.as_tensor(truth.astype(np.int64)))
        out.append(found if (truth >= 0).all() else resampled(found, (found.truth >= 0).nonzero().flatten()))
    return out


def positions(scenes) -> list[str]:
    """Where the one object of each scene is, by the rule of the world's captions: left, right, top, bottom, middle, or "" between them."""
    from clipkit.world.content_plan import side_of, truths

    return [side_of(truth.things[0]) for truth in truths(scenes)]


def _grey(images: np.ndarray) -> np.ndarray:
    return np.repeat(images.mean(-1, keepdims=True).astype(np.uint8), 3, -1)


# name -> what it does to pictures uint8 (N, H, W, 3), words for a changed and for an unchanged one
CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, str]] = {
    "orientation": (lambda x: x[:, ::-1], "upside-down", "upright"),
    "inversion": (lambda x: 255 - x, "a photo negative", "in normal colours"),
    "colour": (_grey, "black and white", "in colour"),
    "brightness": (lambda x: x // 4, "very dark", "bright"),
    "sharpness": (lambda x: _coarse(x), "blurred and coarse", "sharp"),
    "noise": (lambda x: _noisy(x), "noisy and grainy", "clean"),
}


def _coarse(images: np.ndarray) -> np.ndarray:
    from PIL import Image

    h, w = images.shape[1:3]
    small = [Image.fromarray(x).resize((max(1, w // 4), max(1, h // 4)), Image.Resampling.BOX) for x in images]
    return np.stack([np.asarray(x.resize((w, h), Image.Resampling.BILINEAR)) for x in small])


def _noisy(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 40, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def changed_contexts(encode: Callable[[np.ndarray], Tensor], images: np.ndarray, labels: Tensor, seed: int = 0) -> list[Context]:
    """Six kinds of change, each made to a random half of the pictures.

    Args: encode: uint8 pictures (N, H, W, 3) to features (N, D). images, labels: N of them, N at least 2.
    Raises: ClipkitError for fewer than two pictures, or labels of another number.
    """
    if len(images) < 2 or len(images) != len(labels):
        raise ClipkitError(f"changes need at least two pictures with a label each; got {len(images)} and {len(labels)}")
    plain, out = encode(images), []
    for number, (name, (change, told, untold)) in enumerate(CHANGES.items()):
        half = torch.as_tensor(np.random.default_rng([seed, number]).permutation(len(images))[: len(images) // 2])
        features, truth = plain.clone(), torch.zeros(len(images), dtype=torch.int64)
        features[half], truth[half] = encode(np.ascontiguousarray(change(images[half.numpy()]))).to(plain), 1
        templates = tuple(f"{PLAIN}, {words}" for words in (untold, told))
        out.append(Context(name, (untold, told), templates, PLAIN, features, labels, truth))
    return out


def resampled(context: Context, rows: Tensor) -> Context:
    """The same context for some of its pictures, by number, perhaps several times."""
    return Context(
        context.name, context.values, context.templates, context.plain, context.features[rows], context.labels[rows], context.truth[rows]
    )
