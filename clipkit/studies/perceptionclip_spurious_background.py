"""A world of two places, each the home of half the categories: a small CLIP learns there to take the place for the thing.

The set-up of Waterbirds (arXiv:1911.08731), with every factor known: in training a category stands at its home with
probability `binding`; in a balanced test it stands at either place equally often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from clipkit.errors import ClipkitError
from clipkit.kept import kept

NAMES = ("cat", "fish", "bird", "tree", "apple", "banana", "car", "boat", "cup", "key", "star", "heart")


@dataclass(frozen=True)
class TwoPlaces:
    """Which two places, and which of them is whose home, drawn by the seed.

    Attributes: seed; names: the categories, an even number.
    After that: places (two indices of BACKGROUNDS), side (K,) 0 or 1, the home of each category.
    """

    seed: int
    names: tuple[str, ...] = NAMES

    def __post_init__(self):
        if len(self.names) < 2 or len(self.names) % 2:
            raise ClipkitError(f"two places share an even number of categories, at least two; got {len(self.names)}")

    @property
    def places(self) -> np.ndarray:
        return self._rng().choice(8, 2, replace=False)

    @property
    def side(self) -> np.ndarray:
        rng = self._rng()
        rng.choice(8, 2, replace=False)
        return rng.permutation(np.arange(len(self.names)) % 2)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, 20])

    def scenes(self, n: int, binding: float, stream: int):
        """n scenes of one large, plain, upright object, every category equally often: (Scenes, labels (n,), at (n,) 0 or 1).

        Raises: ClipkitError for a binding outside 0..1, or n below 1.
        """
        from clipkit.world import CATEGORIES, WorldSpec
        from clipkit.world.counterfactuals import balanced

        if not 0 <= binding <= 1 or n < 1:
            raise ClipkitError(f"binding is a probability and n at least 1; got {binding} and {n}")
        spec = WorldSpec(max_objects=1, categories=self.names, sizes=("large",), textured=0.0, rotate=False)
        seed = int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
        scenes = balanced(n, seed, spec)
        index = [CATEGORIES.index(name) for name in self.names]
        labels = np.array([index.index(c) for c in scenes.category[:, 0]])
        home = np.random.default_rng(seed).random(n) < binding
        at = np.where(home, self.side[labels], 1 - self.side[labels])
        return scenes.replace(background=self.places[at]), labels, at

    def templates(self) -> list[str]:
        """Two prompt templates that name the places."""
        from clipkit.world import BACKGROUNDS
        from clipkit.world.words import PLACES

        return [f"a photo of a {{}} {PLACES[BACKGROUNDS[place]]}" for place in self.places]

    def scored(self, model, n: int, stream: int) -> dict[str, torch.Tensor]:
        """n balanced scenes: features x (n, D), logits f (n, K, 2) of every name at every place, labels y, at, group (n,)."""
        from clipkit.features.text import pool_features
        from clipkit.world import render

        scenes, labels, at = self.scenes(n, 0.5, stream)
        x = model.image_features(render(scenes, size=model.image_size).images)
        f = model.logit_scale.item() * torch.einsum("nd,zcd->ncz", x, pool_features(model, self.names, self.templates()))
        return {"x": x, "f": f, "y": torch.as_tensor(labels), "at": torch.as_tensor(at), "group": self.groups(labels, at)}

    def groups(self, labels: np.ndarray, at: np.ndarray) -> torch.Tensor:
        """(N,) 0 to 3: twice the home of the category, plus the place where it stands; 0 and 3 are at home."""
        return torch.as_tensor(2 * self.side[labels] + at)


def captions_without_place(scenes, seed: int) -> list[str]:
    """Short captions that tell colour and category and never the place."""
    from clipkit.world import CATEGORIES, COLOURS
    from clipkit.world.words import noun_phrase

    leads = ("a photo of ", "a picture of ", "an image of ", "")
    lead = np.random.default_rng(seed).integers(len(leads), size=len(scenes))
    names = [noun_phrase(1, CATEGORIES[c], tuple(COLOURS)[k]) for c, k in zip(scenes.category[:, 0], scenes.colour[:, 0], strict=True)]
    return [leads[i] + name for i, name in zip(lead, names, strict=True)]


def train_there(world: TwoPlaces, n: int, pairs: int, binding: float, name_places: bool = True, batch: int = 128, device: str = "cpu"):
    """A small CLIP (`clipkit.pretrain.tiny_clip`) trained from scratch on n captioned scenes of `world`, `pairs` pairs in all.

    Captions are the world's short ones, about half of which name the place, or, with name_places=False, none of which does.
    The weights are kept on disk under a key of the arguments and of the code that makes and draws scenes and trains.
    Raises: ClipkitError for fewer pairs than a batch, or a batch larger than n.
    """
    from clipkit.pretrain.tiny_clip import small_clip

    if not batch <= min(n, pairs):
        raise ClipkitError(f"{n} scenes and {pairs} pairs do not fill a batch of {batch}; give more")
    model = small_clip(world.seed, device=device)
    model.module.load_state_dict(kept("two-places", _trained_there, world, n, pairs, binding, name_places, batch, str(device)))
    return model.freeze()


def _trained_there(world: TwoPlaces, n: int, pairs: int, binding: float, name_places: bool, batch: int, device: str) -> dict:
    """Weights of the small CLIP after training."""
    from clipkit.pretrain.losses import info_nce
    from clipkit.pretrain.pairs import contrastive_loss
    from clipkit.pretrain.tiny_clip import small_clip
    from clipkit.train import shuffled, train
    from clipkit.world import caption_batch, render

    model = small_clip(world.seed, device=device)
    scenes, _, _ = world.scenes(n, binding, stream=0)
    pixels = model.preprocess_batch(render(scenes, size=model.image_size).images).to(device)

    def stream():
        turn, rows = 0, shuffled(n, batch, torch.Generator().manual_seed(world.seed), "drop")
        while True:
            told = caption_batch(scenes, "short", seed=turn) if name_places else captions_without_place(scenes, turn)
            tokens = model.tokenize(told).to(device)
            for _ in range(n // batch):
                some = next(rows)
                yield pixels[some], tokens[some]
            turn += 1

    train(model.module, stream(), contrastive_loss(model, info_nce), pairs // batch, lr=1e-3)
    return model.module.state_dict()
