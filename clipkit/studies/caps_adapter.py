"""The page caps_adapter: the world as target domain and as generator, and captioners of pictures whose class is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.adapt.caps import build_support
from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.features.samples import draw
from clipkit.world import STYLES, WorldSpec, describe, draw_texts, render, sample_scenes
from clipkit.world.drawing import attributes_of

# Five domains: every style but the two with ordinary outlines and colours, each in a place of its own.
STYLE_SHIFTS: Mapping[str, str] = {"sketch": "night", "pastel": "snow", "pixel": "city", "blueprint": "sea", "negative": "desert"}
PLACES = "on grass,in a forest,in the water,in the sky,on a road,in a city,indoors,in the snow,on sand,against a plain background"
# Questions that any photograph of a thing can be asked.
PHOTO_QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "view": {
        f"a {v}": f"a {v} of a {{}}" for v in ("close-up photo", "photo taken from far away", "blurry photo", "dark photo", "bright photo")
    },
    "colour": {c: f"a photo of a {c} {{}}" for c in ("red", "orange", "yellow", "green", "blue", "brown", "grey", "white", "black")},
    "place": {p: f"a photo of a {{}} {p}" for p in PLACES.split(",")},
}


def photo_sentence(name: str, read: Mapping[str, str]) -> str:
    """What PHOTO_QUESTIONS found, as a caption.

    >>> photo_sentence("cat", {"view": "a dark photo", "colour": "black", "place": "on grass"})
    'a dark photo of a black cat on grass.'
    """
    return f"{read['view']} of a {read['colour']} {name} {read['place']}."


def world_sentence(name: str, read: Mapping[str, str]) -> str:
    """What a captioner read, as a caption of the world.

    >>> world_sentence("cat", {"colour": "red", "background": "snow", "style": "sketch"})
    'a red cat in the snow, pencil sketch'
    """
    return describe(name, **read)


@dataclass(frozen=True, eq=False)
class Captioner:
    """Captions of pictures whose class is known, as in arXiv:2405.16591, where they lie sorted into folders.

    Attributes:
        read: features (N, D), N class names -> what is seen in each picture, {attribute: word}.
        sentence: (class name, {attribute: word}) -> caption.
    """

    read: Callable[[Tensor, Sequence[str]], list[dict[str, str]]]
    sentence: Callable[[str, Mapping[str, str]], str]

    def __call__(self, features: Tensor, names: Sequence[str], prompt: str = "") -> list[str]:
        """One caption for each of (N, D) picture features of the classes `names`; before it the prompt, filled, if there is one.

        Raises ClipkitError: NaN, another number of names.
        """
        features = checks.features(features, "features of pictures")
        if len(names) != len(features):
            raise ClipkitError(f"{len(features)} pictures but {len(names)} class names: give one for each")
        starts = [f"{prompt.replace('{}', name)}. " if prompt else "" for name in names]
        return [start + self.sentence(name, row) for start, name, row in zip(starts, names, self.read(features, names), strict=True)]


def ask_model(model, classnames: Sequence[str], questions: Mapping[str, Mapping[str, str]]) -> Callable:
    """`Captioner.read` of the image-text model itself: one zero-shot question for each attribute.

    Args: questions: attribute -> answer -> template with {} for the class name. An answer is told from its rivals by the
        cosine of the picture to its filled template.
    """
    place, weights = {name: i for i, name in enumerate(classnames)}, {}
    for attribute, answers in questions.items():
        texts = [template.replace("{}", name) for name in classnames for template in answers.values()]
        weights[attribute] = model.text_features(texts).view(len(classnames), len(answers), -1)  # (C, V, D)

    def read(features: Tensor, names: Sequence[str]) -> list[dict[str, str]]:
        rows, found = torch.tensor([place[name] for name in names]), {}
        for attribute, w in weights.items():
            best = torch.einsum("nd,nvd->nv", features.to(w), w[rows]).argmax(1).tolist()
            found[attribute] = [list(questions[attribute])[i] for i in best]
        return _rows(found)

    return read


def learn_attributes(features: Tensor, attributes: Mapping[str, Sequence[str]], strength: float = 0.1) -> Callable:
    """`Captioner.read` learnt from described pictures: a logistic regression for each attribute; the class does not enter.

    Stands for a captioning model that was trained elsewhere. It can name what its corpus shows, whether or not the text
    tower of the image-text model has a word for it.

    Args: features (N, D); attributes: name -> N words, at least two different ones; strength: scikit-learn's C.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression(C=strength, max_iter=1000)))
    model.fit(features.double().cpu().numpy(), np.stack([np.asarray(words) for words in attributes.values()], axis=1))
    return lambda features, _: _rows(dict(zip(attributes, model.predict(features.double().cpu().numpy()).T.tolist(), strict=True)))


def _rows(columns: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def train_style_captioner(model, n: int, seed: int = 2024) -> Captioner:
    """A captioner for pictures of one object, learnt on n described pictures of all seven styles and all backgrounds."""
    corpus = sample_scenes(WorldSpec(max_objects=1, styles=STYLES), n, seed)
    return Captioner(learn_attributes(model.image_features(render(corpus).images), attributes_of(corpus)), world_sentence)


def domain_pictures(model, split: str, style: str, seed: int, **options) -> tuple[Tensor, Tensor, object]:
    """One object a picture in one style, before the background that STYLE_SHIFTS gives it, sorted by class.

    The scenes of a seed are the same in every style but for the background: domains are paired.

    Args: options: of `load_dataset("world", ...)`: n or per_class, categories, narrow.
    Returns: features (N, D), labels (N,) int64, Scenes.
    """
    data = load_dataset("world", split, seed=seed, styles=(style,), captions=(), **options)
    order = np.argsort(data.labels, kind="stable")
    scenes = data.scenes[order].replace(background=STYLE_SHIFTS[style])
    return model.image_features(render(scenes).images), torch.as_tensor(data.labels[order]), scenes


def draw_features(model, texts: Sequence[str], seed: int, garble: float = 0.0) -> Tensor:
    """Features (N, D) of one picture drawn for each text; see `clipkit.world.draw_texts`."""
    return model.image_features(render(draw_texts(texts, seed, garble)).images)


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
    truth: dict[str, list[str]] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)


def draw_domain(
    model, style: str, seed: int, captioners: Mapping[str, Callable], sizes: tuple[int, int, int], garble: float = 0.0, **classes
) -> DomainTask:
    """Draw a domain, caption its training pictures, and draw supports of as many pictures a class from the captions.

    Args:
        captioners: kind of support -> captioner (see `build_support`). Each caption begins with "a photo of a NAME".
            Further kinds: "garbled", the first captioner's captions drawn by a generator that garbles; "true_caption",
            captions that tell the truth; "class_name", pictures drawn from that beginning alone, the same in every domain.
        sizes: training and validation pictures a class, test pictures. classes: `categories` and `narrow` of the world.
    """
    m, n_val, n_test = sizes
    (x, y, scenes), val, test = (
        domain_pictures(model, split, style, seed, **size, **classes)
        for split, size in (("train", {"per_class": m}), ("val", {"per_class": n_val}), ("test", {"n": n_test}))
    )
    truth, names = attributes_of(scenes), [classes["categories"][i] for i in y]
    true = [world_sentence(name, read) for name, read in zip(names, _rows(truth), strict=True)]
    every = {**captioners, "garbled": next(iter(captioners.values())), "true_caption": lambda *_: true}
    pictures, texts, prompt = {}, {}, "a photo of a {}"
    for kind, captioner in every.items():
        generator = partial(draw_features, model, seed=seed, garble=garble if kind == "garbled" else 0.0)
        pictures[kind], texts[kind], _ = build_support(captioner, generator, x, y, classes["categories"], m, f"{prompt}. ")
    texts["class_name"] = [prompt.replace("{}", name) for name in names]
    pictures["class_name"] = draw_features(model, texts["class_name"], seed)
    return DomainTask((x, y), val[:2], test[:2], truth, pictures, texts)


def load_photographs(model, dataset: str, seed: int, sizes: tuple[int, int, int]) -> DomainTask:
    """The same of a data set of pictures (see `clipkit.features.samples.draw`): nothing is drawn."""
    data = draw(model, dataset, seed, *sizes)
    return DomainTask(data.shots(sizes[0]), data.val, data.test)
