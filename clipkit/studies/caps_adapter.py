"""The world as target domain and as generator: pictures of one style and place, features of pictures drawn from texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from clipkit.studies.caps_adapter_captioners import ProbeCaptioner

# Five domains: every style but the two with ordinary outlines and colours, each in a place of its own.
STYLE_SHIFTS: Mapping[str, str] = {"sketch": "night", "pastel": "snow", "pixel": "city", "blueprint": "sea", "negative": "desert"}


def domain_pictures(model, split: str, style: str, seed: int, **options) -> tuple[Tensor, Tensor, object]:
    """One object a picture in one style, before the background that STYLE_SHIFTS gives it, sorted by class.

    The scenes of a seed are the same in every style but for the background: domains are paired.

    Args:
        options: of `load_dataset("world", ...)`: n or per_class, categories, narrow.

    Returns: features (N, D), labels (N,) int64, Scenes.
    """
    from clipkit.datasets import load_dataset
    from clipkit.world import render

    data = load_dataset("world", split, seed=seed, styles=(style,), captions=(), **options)
    order = np.argsort(data.labels, kind="stable")
    scenes = data.scenes[order].replace(background=STYLE_SHIFTS[style])
    return model.image_features(render(scenes).images), torch.as_tensor(data.labels[order]), scenes


def drawn_features(model, texts: Sequence[str], seed: int, garble: float = 0.0) -> Tensor:
    """Features (N, D) of one picture drawn for each text; see `clipkit.world.draw_texts`."""
    from clipkit.world import draw_texts, render

    return model.image_features(render(draw_texts(texts, seed, garble)).images)


def style_captioner(model, n: int, seed: int = 2024) -> ProbeCaptioner:
    """A captioner for pictures of one object, learnt on n described pictures of all seven styles and all backgrounds."""
    from clipkit.world import STYLES, WorldSpec, render, sample_scenes
    from clipkit.world.drawing import attributes_of

    corpus = sample_scenes(WorldSpec(max_objects=1, styles=STYLES), n, seed)
    return ProbeCaptioner(world_sentence).fit(model.image_features(render(corpus).images), attributes_of(corpus))


def world_sentence(name: str, read: Mapping[str, str]) -> str:
    """What a captioner read, as a caption of the world.

    >>> world_sentence("cat", {"colour": "red", "background": "snow", "style": "sketch"})
    'a red cat in the snow, pencil sketch'
    """
    from clipkit.world import describe

    return describe(name, **read)


@dataclass(frozen=True, eq=False)
class DomainTask:
    """One target domain for one seed. For photographs nothing can be drawn: the last three are then empty.

    Attributes:
        train, val, test: (features, labels); in the world the first are sorted by class, with equally many of each.
        truth: attribute -> the words that are true of the training pictures.
        pictures: kind of support -> (M, D) features of drawn pictures, in the order of train's labels.
        texts: kind of support -> the M texts that they were drawn from.
    """

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    truth: dict[str, list[str]]
    pictures: dict[str, Tensor]
    texts: dict[str, list[str]]


def domain_task(
    model,
    style: str,
    seed: int,
    classnames: Sequence[str],
    tellers: Mapping[str, Callable],
    *,
    m: int,
    n_val: int,
    n_test: int,
    garble: float = 0.0,
    prompt: str = "a photo of a {}",
    **options,
) -> DomainTask:
    """Draw a domain, caption its training pictures, and draw supports of m pictures a class from the captions.

    Args:
        tellers: kind of support -> captioner (see `build_support`). Each caption begins with the prompt.
            Further kinds: "garbled", the first teller's captions drawn by a generator that garbles; "true_caption",
            captions that tell the truth; "class_name", pictures drawn from the prompt alone, the same in every domain.
        m, n_val: training and validation pictures a class. n_test: test pictures. options: as for `domain_pictures`.
    """
    from clipkit.adapt import build_support
    from clipkit.world.drawing import attributes_of

    (x, y, scenes), val, test = (
        domain_pictures(model, split, style, seed, **size, **options)
        for split, size in (("train", {"per_class": m}), ("val", {"per_class": n_val}), ("test", {"n": n_test}))
    )
    truth = attributes_of(scenes)
    names = [classnames[i] for i in y]
    told = [world_sentence(name, dict(zip(truth, words, strict=True))) for name, *words in zip(names, *truth.values(), strict=True)]
    every = {**tellers, "garbled": next(iter(tellers.values())), "true_caption": lambda *_: told}
    pictures, texts = {}, {}
    for kind, teller in every.items():
        pen = partial(drawn_features, model, seed=seed, garble=garble if kind == "garbled" else 0.0)
        pictures[kind], texts[kind], _ = build_support(teller, pen, x, y, classnames, m, f"{prompt}. ")
    texts["class_name"] = [prompt.replace("{}", name) for name in names]
    pictures["class_name"] = drawn_features(model, texts["class_name"], seed)
    return DomainTask((x, y), val[:2], test[:2], truth, pictures, texts)


def folder_task(model, dataset: str, seed: int, *, m: int, n_val: int, n_test: int) -> DomainTask:
    """The same of a data set of pictures (see `clipkit.features.samples.draw`): nothing is drawn."""
    from clipkit.features.samples import draw

    data = draw(model, dataset, seed, shots=m, n_val=n_val, n_test=n_test)
    return DomainTask(data.shots(m), data.val, data.test, {}, {}, {})
