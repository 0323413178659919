"""Captioned pictures as pretraining data, counted and fetched from: a drawn crawl, a folder, or texts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.features.extraction import extract
from clipkit.features.samples import some_rows


@dataclass(frozen=True, eq=False)
class Crawl:
    """N captions, perhaps with pictures, perhaps with the truth.

    Attributes:
        captions: N texts.
        spoken: (N,) int64, the world's category each caption speaks of (-1: none); None where nobody knows.
    """

    captions: list[str]
    spoken: np.ndarray | None = None
    _source: object = field(default=None, repr=False)

    @property
    def has_pictures(self) -> bool:
        return self._source is not None

    def pictures(self, model, rows: Sequence[int]) -> Tensor:
        """(R, D) unit-norm features of the pictures of some captions; only these are drawn or read.

        Raises: ClipkitError when the crawl has no pictures.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if self._source is None:
            raise ClipkitError("these captions come without pictures, so none can be fetched; use a data set with captions")
        if hasattr(self._source, "background"):  # the world's scenes
            from clipkit.world import render

            return torch.cat([model.image_features(render(self._source[part], size=32).images) for part in _parts(rows)])
        return model.image_features(self._source.subset(rows).images)


def world_crawl(n: int, seed: int, usage: Mapping[str, Mapping[str, float]], **knobs) -> Crawl:
    """n single-object scenes of a world (`knobs`: fields of its WorldSpec) with web-like captions; see `world.crawl`.

    Args: usage: how often each category goes by each of its names. `half` among the knobs goes to `world.crawl`.
    """
    from clipkit.world import WorldSpec, crawl, sample_scenes

    half = knobs.pop("half", None)
    scenes = sample_scenes(WorldSpec(**{**knobs, "min_objects": 1, "max_objects": 1}), n, seed)
    made = crawl(scenes, usage, seed, half=half)
    return Crawl(made.captions, made.spoken, scenes)


def loaded_crawl(corpus: str, n: int, seed: int, root=None) -> Crawl:
    """A sample of n captioned pictures of a data set (its split "train", or "test" where there is no other), or lines of a text file.

    Args: corpus: a name of `load_dataset` with captions, or the path of a text file (name ending in .txt), a caption a line.

    Raises: ClipkitError when there are no captions.
    """
    if corpus.endswith(".txt"):
        try:
            with open(corpus, encoding="utf-8") as file:
                lines = [line.strip() for line in file if line.strip()]
        except OSError as error:
            raise ClipkitError(
                f"the captions in {corpus} cannot be read ({error.strerror or error}); give a text file, a caption a line"
            ) from None
        return Crawl([lines[i] for i in some_rows(len(lines), n, seed)])
    try:
        found = load_dataset(corpus, "train", root)
    except ClipkitError:
        found = load_dataset(corpus, "test", root)
    if found.captions is None:
        raise ClipkitError(f"{corpus} has no captions to count in; take a folder with a captions.csv, or a text file with a caption a line")
    found = found.subset(some_rows(len(found), n, seed))
    return Crawl([captions[0] for captions in found.captions], None, found)


def extracted_crawl(model, name: str, n: int) -> tuple[Crawl, Tensor]:
    """n training pictures of a data set, each with all that is told of it as one text, and their features (N, D), kept on disk.

    Raises: ClipkitError when there are no captions.
    """
    every = load_dataset(name, "train")
    if every.captions is None:
        raise ClipkitError(f"{name} has no captions to curate; take one whose pictures have texts, such as clipart")
    every = every.subset(some_rows(len(every), n, 0))
    found = extract(model, every)
    data = every.subset(found.index.numpy())
    return Crawl([", ".join(texts) for texts in data.captions], None, data), found.image


def fitted_texts(model) -> Crawl:
    """What the map of `lite` was fitted on: the names of ImageNet's classes and their glosses. It has read no caption and seen no picture.

    Raises: ClipkitError for any other model, whose texts are not at hand.
    """
    from clipkit.datasets.classnames import imagenet_glosses, imagenet_names

    if model.name != "lite":
        raise ClipkitError(
            f"the captions that trained {model.name} are not at hand; give a sample of them: corpus=FILE.txt, a caption a line"
        )
    return Crawl(imagenet_names() + imagenet_glosses())


def _parts(rows: np.ndarray, size: int = 1024) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
