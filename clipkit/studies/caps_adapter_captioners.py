"""Captioners of pictures whose class is known: attributes read from the picture's feature, put into a sentence.

`ReadoutCaptioner` asks the image–text model itself, zero-shot; `ProbeCaptioner` has learnt from captioned pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown

Questions = Mapping[str, Mapping[str, str]]

# Questions that any photograph of a thing can be asked.
PHOTO_QUESTIONS: Questions = {
    "view": {
        name: f"{name} of a {{}}"
        for name in ("a close-up photo", "a photo taken from far away", "a blurry photo", "a dark photo", "a bright photo")
    },
    "colour": {
        name: f"a photo of a {name} {{}}" for name in ("red", "orange", "yellow", "green", "blue", "brown", "grey", "white", "black")
    },
    "place": {
        name: f"a photo of a {{}} {name}"
        for name in (
            "on grass", "in a forest", "in the water", "in the sky", "on a road", "in a city", "indoors", "in the snow", "on sand",
            "against a plain background",
        )
    },
}  # fmt: skip


def photo_sentence(name: str, read: Mapping[str, str]) -> str:
    """What PHOTO_QUESTIONS found, as a caption.

    >>> photo_sentence("cat", {"view": "a dark photo", "colour": "black", "place": "on grass"})
    'a dark photo of a black cat on grass.'
    """
    return f"{read['view']} of a {read['colour']} {name} {read['place']}."


class _Captioner:
    """What both share: `read` gives attributes, the sentence is the caller's."""

    sentence: Callable[[str, Mapping[str, str]], str]

    def read(self, features: Tensor, names: Sequence[str]) -> list[dict[str, str]]:
        raise NotImplementedError

    def __call__(self, features: Tensor, names: Sequence[str], prompt: str = "") -> list[str]:
        """One caption for each of (N, D) picture features of the classes `names`; before it the prompt, filled, if there is one."""
        starts = [f"{prompt.replace('{}', name)}. " if prompt else "" for name in names]
        return [start + self.sentence(name, row) for start, name, row in zip(starts, names, self.read(features, names), strict=True)]


class ReadoutCaptioner(_Captioner):
    """One zero-shot question for each attribute, the answers in a sentence.

    Args:
        model: a DualEncoder; only its text tower is used, once.
        classnames: C names.
        questions: attribute -> answer -> template with {} for the class name. An answer is told from its rivals by
            the cosine of the picture to its filled template.
        sentence: (class name, {attribute: answer}) -> caption.

    The class is taken as given, as in arXiv:2405.16591, where the pictures to caption are sorted into folders. What
    the captioner says of a picture is what the model itself sees there; no truth enters.
    """

    def __init__(self, model, classnames: Sequence[str], questions: Questions, sentence: Callable[[str, Mapping[str, str]], str]):
        if not questions or not len(classnames):
            raise ClipkitError("a captioner needs at least one class name and one question")
        for attribute, answers in questions.items():
            if not answers or any("{}" not in template for template in answers.values()):
                raise ClipkitError(f"question {attribute!r} needs answers whose templates have {{}} where the class name goes")
        self.classnames, self.questions, self.sentence = list(classnames), questions, sentence
        texts = [t.replace("{}", name) for answers in questions.values() for name in classnames for t in answers.values()]
        features = model.text_features(texts)
        sizes = [len(answers) for answers in questions.values()]
        parts = features.split([len(classnames) * size for size in sizes])
        self._weights = [part.view(len(classnames), size, -1) for part, size in zip(parts, sizes, strict=True)]  # (C, V, D) each

    def read(self, features: Tensor, names: Sequence[str]) -> list[dict[str, str]]:
        """The answer to every question for (N, D) picture features of the classes `names` (N of them).

        Raises ClipkitError: NaN, another number of names, a name that is no class of this captioner.
        """
        features = _checked(features, names)
        place = {name: i for i, name in enumerate(self.classnames)}
        for name in names:
            if name not in place:
                raise unknown("class", name, self.classnames)
        rows = torch.tensor([place[name] for name in names])
        found: list[dict[str, str]] = [{} for _ in names]
        for (attribute, answers), weights in zip(self.questions.items(), self._weights, strict=True):
            best = torch.einsum("nd,nvd->nv", features.to(weights), weights[rows]).argmax(1)
            for row, at in zip(found, best.tolist(), strict=True):
                row[attribute] = list(answers)[at]
        return found


class ProbeCaptioner(_Captioner):
    """One logistic regression for each attribute, learnt from a corpus of described pictures; the answers in a sentence.

    Stands for a captioning model that was trained elsewhere. It can name what its corpus shows, whether or not the
    text tower of the image–text model has a word for it.

    Args:
        strength: scikit-learn's C on standardised features. sentence: as for `ReadoutCaptioner`.

    Attributes after `fit`: attributes_, the names it reads.
    """

    def __init__(self, sentence: Callable[[str, Mapping[str, str]], str], strength: float = 0.1):
        if not strength > 0:
            raise ClipkitError(f"strength must be positive, got {strength}")
        self.sentence, self.strength = sentence, strength

    def fit(self, features: Tensor, attributes: Mapping[str, Sequence[str]]) -> ProbeCaptioner:
        """Learn from (N, D) picture features and N words for each attribute.

        Raises ClipkitError: NaN, another number of words, no attribute.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if not attributes:
            raise ClipkitError("a captioner needs at least one attribute to learn")
        self._probes = {}
        for name, words in attributes.items():
            x = _checked(features, words).double().cpu().numpy()
            if len(set(words)) == 1:  # nothing to tell apart: always that word
                self._probes[name] = words[0]
                continue
            model = make_pipeline(StandardScaler(), LogisticRegression(C=self.strength, max_iter=1000))
            self._probes[name] = model.fit(x, list(words))
        self.attributes_ = list(attributes)
        return self

    def read(self, features: Tensor, names: Sequence[str]) -> list[dict[str, str]]:
        """The most probable word of every attribute for (N, D) picture features; the class `names` do not enter."""
        if not hasattr(self, "_probes"):
            raise ClipkitError("this captioner is not fitted: call fit(features, attributes) first")
        x = _checked(features, names).double().cpu().numpy()
        columns = {a: [p] * len(x) if isinstance(p, str) else [str(word) for word in p.predict(x)] for a, p in self._probes.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _checked(features: Tensor, names: Sequence[str]) -> Tensor:
    if features.ndim != 2 or not torch.isfinite(features).all():
        raise ClipkitError("a captioner takes finite features (N, D); NaN or another shape was given: extract them again")
    if len(names) != len(features):
        raise ClipkitError(f"{len(features)} pictures but {len(names)} words or class names: give one for each")
    return features
