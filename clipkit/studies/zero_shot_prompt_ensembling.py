"""Prompt weighting: a pool of worse prompts, what a prompt's score follows, pictures like those of pretraining.

Letters: N pictures x, P prompts of C classes with text features t (P, C, D), scores and weights (P,).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from clipkit import lab
from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError, unknown
from clipkit.features import extract
from clipkit.metrics import percent_right, spearman
from clipkit.pretrain.recipes import RECIPES
from clipkit.world import (
    BACKGROUNDS,
    CATEGORIES,
    COLOURS,
    SIZES,
    STYLES,
    SUPERCLASS_OF,
    SUPERCLASSES,
    TEXTURES,
    WorldSpec,
    caption_batch,
    render,
    sample_scenes,
)
from clipkit.world.words import PLACES, article
from clipkit.zeroshot import prompt_scores, prompt_weights, weighted_classifier
from clipkit.zeroshot.pool import PromptPool

if TYPE_CHECKING:
    import pandas

STREAM = 2**32 - 5  # scenes of no data set and of no recipe


def crowded_pool(times: int = 8) -> PromptPool:
    """The world's own templates and `times` as many that name more than the class: *a {} in a city, a dog in the snow*.

    The places and the second thing are drawn by lot, the same for every call. `concepts` has the first place.
    """
    shipped = PromptPool.shipped()
    own = [template for template, group in zip(shipped.templates, shipped.groups, strict=True) if group == "world"]
    every = list(product(BACKGROUNDS, CATEGORIES, BACKGROUNDS))
    lot = random.Random(0).sample(every, times * len(own))
    crowded = [f"a {{}} {PLACES[here]}, {article(thing)} {thing} {PLACES[there]}" for here, thing, there in lot]
    groups, places = ("world",) * len(own) + ("crowded",) * len(lot), [("background", here) for here, *_ in lot]
    return PromptPool((*own, *crowded), groups, (*[None] * len(own), *places))


def accuracy_alone(x: Tensor, t: Tensor, labels: Tensor) -> np.ndarray:
    """(P,) percent right of each prompt used alone."""
    return np.array([percent_right(x @ w.T, labels) for w in t])


def effective_number(weights: Tensor) -> float:
    """How many prompts equal weights would spread over: 1 / sum of squared weights.

    >>> import torch
    >>> effective_number(torch.tensor([0.5, 0.5, 0.0]))
    2.0
    """
    return 1 / (weights**2).sum().item()


def accuracy_by_temperature(x: Tensor, labels: Tensor, t: Tensor, scores: Tensor, temperatures: Sequence[float]) -> dict:
    """Temperature of the softmax over scores -> percent right, effective number of prompts."""
    weights = {heat: prompt_weights(scores, temperature=heat) for heat in temperatures}
    return {heat: (percent_right(x @ weighted_classifier(t, w).T, labels), effective_number(w)) for heat, w in weights.items()}


def accuracy_by_pictures(x: Tensor, labels: Tensor, t: Tensor, pretrain: Tensor, scale: float, sizes: Sequence[int]) -> dict[int, float]:
    """Size -> percent right on all pictures, in random order, with weights set by the first so many of them."""
    found = {}
    for size in sizes:
        weights = prompt_weights(prompt_scores(x[: max(1, size)], t, pretrain, scale=scale))
        found[size] = percent_right(x @ weighted_classifier(t, weights).T, labels)
    return found


def average_over_tasks(by_task: Mapping[str, lab.Scores]) -> lab.Scores:
    """Every row of every task's scores with the axis `task`, and without it their mean over the tasks that have it."""
    import pandas

    scores, frames = lab.Scores(), [table.frame().assign(task=task) for task, table in by_task.items()]
    long = pandas.concat(frames).drop(columns="seed")
    axes = [name for name in long.columns if name not in ("value", "task")]
    for row, part in long.groupby(axes, dropna=False, sort=False):
        arm, *rest = row
        settings = {axis: value for axis, value in zip(axes[1:], rest, strict=True) if value == value}
        scores.add(arm, part.value.mean(), **settings)
        for task, value in zip(part.task, part.value, strict=True):
            scores.add(arm, value, **settings, task=task)
    return scores


# What a score may follow beside the accuracy: how common a prompt's words are, and whether the pictures show what it names.


def words_of(text: str) -> list[str]:
    """Lower-case words of a text or template, the place of the class name left out.

    >>> words_of("A photo of a {}, 4 July")
    ['a', 'photo', 'of', 'a', 'july']
    """
    return re.findall(r"[^\W\d_]+", text.replace("{}", " ").lower())


def word_frequency(templates: Sequence[str], captions: Iterable[str]) -> np.ndarray:
    """(P,) mean over a template's words of log10(1 + captions that hold the word, for 1,000); NaN for one without words.

    Raises: ClipkitError without captions.
    """
    captions = list(captions)
    if not captions:
        raise ClipkitError("word frequencies need captions")
    count = Counter(word for caption in captions for word in set(words_of(caption)))
    means = [[np.log10(1 + 1000 * count[word] / len(captions)) for word in words_of(template)] for template in templates]
    return np.array([np.mean(row) if row else np.nan for row in means])


def concept_share(concepts: Sequence[tuple[str, str] | None], scenes) -> np.ndarray:
    """(P,) share of scenes that show what a prompt names, a (factor, value) of the world; NaN where it names nothing.

    Factors of objects are looked up in the first object. Raises: ClipkitError for an unknown factor or value.
    """
    first = scenes.category[:, 0]
    kinds = np.array([list(SUPERCLASSES).index(SUPERCLASS_OF[c]) for c in CATEGORIES])
    known = {
        "background": (BACKGROUNDS, scenes.background),
        "style": (STYLES, scenes.style),
        "colour": (tuple(COLOURS), scenes.colour[:, 0]),
        "texture": (TEXTURES, scenes.texture[:, 0]),
        "size": (SIZES, scenes.size[:, 0]),
        "category": (CATEGORIES, first),
        "superclass": (tuple(SUPERCLASSES), np.where(first >= 0, kinds[first], -1)),
    }
    shares = np.full(len(concepts), np.nan)
    for p, (factor, value) in ((p, concept) for p, concept in enumerate(concepts) if concept is not None):
        if factor not in known or value not in known[factor][0]:
            raise ClipkitError(f"a prompt names {value!r} as {factor!r}, which the world does not have")
        shares[p] = np.mean(known[factor][1] == known[factor][0].index(value))
    return shares


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's correlation of two rows of numbers, positions with a NaN left out; 0 where one of them does not vary."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 3:
        raise ClipkitError("a rank correlation needs at least three numbers on both sides")
    return float(np.nan_to_num(spearman(a[both], b[both])))


# Pictures like those of pretraining.


def diet(name: str, n: int) -> tuple[np.ndarray, list[str]]:
    """About n fresh pictures (n', S, S, 3) uint8 and their captions, from the mixture of worlds and registers of a recipe.

    Raises: ClipkitError for an unknown recipe, one without captions, or n below 1.
    """
    usable = [known for known, recipe in RECIPES.items() if recipe.kind == "clip"]
    if name not in usable:
        raise unknown("recipe with captions", name, usable)
    if n < 1:
        raise ClipkitError(f"n must be at least 1, got {n}")
    recipe, images, captions = RECIPES[name].settings, [], []
    total = sum(weight for _, weight in recipe["worlds"])
    for number, (arguments, weight) in enumerate(recipe["worlds"]):
        scenes = sample_scenes(WorldSpec(**arguments), max(1, round(n * weight / total)), STREAM - number)
        images.append(render(scenes, size=recipe["vision"]["image_size"]).images)
        captions += caption_batch(scenes, recipe["registers"], seed=0)
    return np.concatenate(images), captions


def photo_crops(n: int, side: int = 96) -> np.ndarray:
    """n square crops (n, side, side, 3) uint8 of the packaged photographs, each a random tenth to all of the shorter side."""
    if n < 1:
        raise ClipkitError(f"n must be at least 1, got {n}")
    photos, rng = load_dataset("photos").images, np.random.default_rng(0)
    whole = [photos[i].convert("RGB") for i in range(len(photos))]
    crops = np.empty((n, side, side, 3), np.uint8)
    for i in range(n):
        photo = whole[i % len(whole)]
        edge = max(8, int(min(photo.size) * rng.uniform(0.1, 1.0)))
        x, y = (int(rng.integers(0, length - edge + 1)) for length in photo.size)
        crops[i] = np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC, box=(x, y, x + edge, y + edge)))
    return crops


def pretraining_features(model, n: int, source: str | None = None) -> Tensor:
    """Features (n', D) of about n pictures that stand for those of a model's pretraining.

    Args: source: a data set (its split "test"); None: the diet of a shipped nano, or, for any other model, at most 500 crops
    of the packaged photographs.
    """
    if source is not None:
        return extract(model, load_dataset(source, "test")).image[:n]
    return model.image_features(diet(model.name, n)[0] if model.name.startswith("nano") else photo_crops(min(n, 500)))


def show_alone(templates: Sequence[str], own: np.ndarray, task: str) -> None:
    """About twelve templates with their accuracy alone (P,), from the best down."""
    ladder = own.argsort()[:: -(len(own) // 11)][:12]
    alt = f"Accuracy of {len(ladder)} templates, each used alone: " + ", ".join(f"{templates[p]}: {own[p]:.1f} %" for p in ladder)
    with lab.figure(alt=alt, title=f"Some templates, each alone (task: {task})", size=(6.4, 3.8)) as axes:
        axes.barh([templates[p] for p in ladder][::-1], own[ladder][::-1], color="0.45")
        axes.set(xlabel="accuracy, %")


def show_settings(tables: Sequence[pandas.DataFrame], live: Sequence[pandas.DataFrame], flat: pandas.Series, alt: str) -> None:
    """A panel for each table of (setting, accuracy), thin lines for the same of the run at hand, a line for each arm of `flat`."""
    middle = flat.iloc[0]
    reach = max(1, 1.2 * max(float((table.iloc[:, 1] - middle).abs().max()) for table in tables))  # points shown at least
    with lab.figure(alt=alt, title="Temperature of the weights, and pictures that set them", columns=2, sharey=True) as both:
        for axes, table, thin in zip(both, tables, live, strict=True):
            lab.curves(table, *table.columns, ax=axes, xscale="log", live=thin)
            for (arm, height), dashes in zip(flat.items(), (":", "--"), strict=True):
                axes.axhline(height, color="0.4", linestyle=dashes, label=lab.label(arm))
            ticks = sorted(table.iloc[:, 0].unique())
            axes.set(ylim=(middle - reach, middle + reach))
            axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
            axes.minorticks_off()
        both[1].legend(loc="lower right")


def show_scores(scores: Mapping[str, Tensor], own: np.ndarray, task: str) -> None:
    """A point for each template, a panel for each kind of score: accuracy alone (P,) against score (P,)."""
    rho = {kind: rank_correlation(score, own) for kind, score in scores.items()}
    alt = f"Score against accuracy of each template, task {task}. Rank correlation: " + ", ".join(f"{k} {v:.2f}" for k, v in rho.items())
    with lab.figure(alt=alt, title=f"Score and accuracy, task: {task}", columns=2, sharey=True) as both:
        for axes, (kind, score) in zip(both, scores.items(), strict=True):
            axes.plot(score, own, "o", color="black", markersize=4, alpha=0.6)
            axes.set(xlabel=f"{kind}, logits", ylabel="accuracy, %", title=f"correlation {rho[kind]:.2f}".replace("-", "−"))
