"""Pools of class descriptions: loading and checking, controls that say nothing, and classifiers from descriptions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right

PHOTO_DESCRIPTIONS = Path(__file__).with_name("photo_descriptions.json")  # ours: CIFAR-10, Imagenette, PACS, clothing, RSSCN7
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, eq=False)
class DescriptionPool:
    """Descriptions of C classes, and the pool of P different ones among them.

    Attributes:
        by_class: class name -> its descriptions, in the classifier's order of classes; at least one each.
        texts: the P different descriptions, in order of first appearance.
        assigned: (C, P) bool, which description was given to which class.

    >>> pool = DescriptionPool({"cat": ["it has whiskers", "it is alive"], "dog": ["it is alive"]})
    >>> pool.texts, pool.assigned.int().tolist()
    (('it has whiskers', 'it is alive'), [[1, 1], [0, 1]])

    Raises: ClipkitError naming the first class without descriptions, or when one is not a text.
    """

    by_class: Mapping[str, Sequence[str]]
    texts: tuple[str, ...] = field(init=False)
    assigned: Tensor = field(init=False, repr=False)

    def __post_init__(self):
        if not self.by_class:
            raise ClipkitError("a pool needs the descriptions of at least one class")
        for name, rows in self.by_class.items():
            if isinstance(rows, str) or not len(rows):
                raise ClipkitError(f"class {name!r} has no descriptions; give it a list with at least one sentence")
            if any(not isinstance(row, str) or not row.strip() for row in rows):
                raise ClipkitError(f"class {name!r} has a description that is empty or not a text; take it out")
        clean = {name: tuple(dict.fromkeys(rows)) for name, rows in self.by_class.items()}
        texts = tuple(dict.fromkeys(text for rows in clean.values() for text in rows))
        place = {text: p for p, text in enumerate(texts)}
        assigned = torch.zeros(len(clean), len(texts), dtype=torch.bool)
        for c, rows in enumerate(clean.values()):
            assigned[c, [place[text] for text in rows]] = True
        for name, value in (("by_class", clean), ("texts", texts), ("assigned", assigned)):
            object.__setattr__(self, name, value)

    @property
    def classnames(self) -> list[str]:
        return list(self.by_class)

    @classmethod
    def from_json(
        cls, path: str | Path, classnames: Sequence[str], aliases: Mapping[str, str] | None = None, most: int | None = None
    ) -> DescriptionPool:
        """Read {class: [sentence, ...]} and take the classes asked for, without the names of any of them.

        Args:
            aliases: class name -> its key in the file, where they differ. most: keep the first so many of each class.

        Raises: ClipkitError for a file that cannot be read or has another form, and naming a class that it lacks.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ClipkitError(
                f"the descriptions in {path} cannot be read ({error}); give a JSON file {{class: [sentence, ...]}}"
            ) from None
        if not isinstance(found, dict):
            raise ClipkitError(f"{path} holds a {type(found).__name__}; a JSON object {{class: [sentence, ...]}} is expected")
        keys = {name: name if name in found else (aliases or {}).get(name, name) for name in classnames}
        for name, key in keys.items():
            if not found.get(key):
                spare = ", ".join(sorted(set(found) - set(keys.values()))[:8]) or "none"
                raise ClipkitError(f"{path} has no descriptions of class {name!r}; it also names: {spare}. Rename one, or use aliases")
        names = [*keys, *keys.values()]
        by_class = {}
        for name, key in keys.items():
            rows = dict.fromkeys(text for text in (without_names(row, names) for row in found[key]) if text)
            if not rows:
                raise ClipkitError(f"the descriptions of class {name!r} in {path} say nothing but names; write new ones")
            by_class[name] = list(rows)[:most]
        return cls(by_class)

    def random_like(self, seed: int) -> DescriptionPool:
        """As many descriptions for each class, drawn from the whole pool without repetition."""
        rng = np.random.default_rng(seed)
        return DescriptionPool(
            {name: [self.texts[p] for p in rng.choice(len(self.texts), len(rows), replace=False)] for name, rows in self.by_class.items()}
        )

    def rotated(self, seed: int) -> DescriptionPool:
        """Every class gets the whole list of another class, by lot. Needs two classes."""
        names = self.classnames
        if len(names) < 2:
            raise ClipkitError("descriptions can be exchanged between classes only if there are two of them")
        order = np.random.default_rng(seed).permutation(len(names))
        taken = {names[a]: names[b] for a, b in zip(order, np.roll(order, 1), strict=True)}
        return DescriptionPool({name: self.by_class[taken[name]] for name in names})

    def characters(self, seed: int) -> DescriptionPool:
        """Every description replaced by random letters, word by word of the same length (always the same for the same text)."""
        rng = np.random.default_rng(seed)
        noise = {text: random_characters(text, rng) for text in self.texts}
        return DescriptionPool({name: [noise[text] for text in rows] for name, rows in self.by_class.items()})

    def words(self, seed: int, vocabulary: Sequence[str]) -> DescriptionPool:
        """The same random words for every class: as many phrases as the longest list, each as many words as one of the pool has.

        One list for all classes, as in WaffleCLIP, is the stronger control: words that differ between classes add noise.
        """
        if not vocabulary:
            raise ClipkitError("random words need a vocabulary of at least one word")
        rng = np.random.default_rng(seed)
        most = max(len(rows) for rows in self.by_class.values())
        lengths = rng.choice([len(text.split()) for text in self.texts], most)
        phrases = [" ".join(rng.choice(np.array(vocabulary, dtype=object), length)) for length in lengths]
        return DescriptionPool(dict.fromkeys(self.by_class, phrases))


def random_characters(text: str, rng: np.random.Generator) -> str:
    """Letters by lot in place of every word, of the same length.

    >>> len(random_characters("it has wings", np.random.default_rng(0)))
    12
    """
    return " ".join("".join(rng.choice(list(_LETTERS), len(word))) for word in text.split())


def without_names(sentence: str, names: Sequence[str]) -> str:
    """A sentence with "it" in place of every class name (with its article and plural); "" when nothing else is left.

    >>> without_names("An airplane has wings.", ["airplane", "car"])
    'it has wings'
    """
    phrases = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    text = re.sub(rf"\b(?:(?:an?|the|this|that|some)\s+)?(?:{phrases})(?:e?s)?\b", "it", sentence, flags=re.IGNORECASE)
    text = re.sub(r"\s+", " ", text).strip(" .,:;!?")
    return "" if re.sub(r"\b[Ii]t\b|\W", "", text) == "" else text


def described_prompts(pool: DescriptionPool, template: str = "a photo of a {}, {}") -> list[list[str]]:
    """Texts with class name and description, one list a class: "a photo of a cat, it has whiskers".

    Raises: ClipkitError for a template without two places.
    """
    if template.count("{}") != 2:
        raise ClipkitError(f"template {template!r} needs two {{}}: one for the class name, one for the description")
    return [[template.replace("{}", name, 1).replace("{}", row, 1) for row in rows] for name, rows in pool.by_class.items()]


@torch.no_grad()
def described_weights(model, pool: DescriptionPool, template: str = "a photo of a {}, {}") -> Tensor:
    """Class vectors (C, D) of a DualEncoder from texts with class name and description: the mean of the unit features.

    Not normalised again: logits are the mean of the single texts' logits. Source: Menon and Vondrick, arXiv:2210.07183, eq. 1.
    """
    prompts = described_prompts(pool, template)
    flat = list(dict.fromkeys(text for rows in prompts for text in rows))
    place = {text: p for p, text in enumerate(flat)}
    assigned = torch.zeros(len(prompts), len(flat), dtype=torch.bool)
    for c, rows in enumerate(prompts):
        assigned[c, [place[text] for text in rows]] = True
    return average_by_class(model.text_features(flat), assigned)


def average_by_class(features: Tensor, assigned: Tensor) -> Tensor:
    """Class vectors (C, D): mean of the text features (P, D) that `assigned` (C, P) gives each class; 0 for a class with none.

    They are not normalised again, so that a product with an image feature is the mean of the single similarities.

    Raises: ClipkitError for shapes that do not fit.
    """
    if features.ndim != 2 or assigned.ndim != 2 or assigned.shape[1] != len(features):
        raise ClipkitError(f"want features (P, D) and assigned (C, P), got {tuple(features.shape)} and {tuple(assigned.shape)}")
    share = assigned.to(features)
    return share @ features / share.sum(1, keepdim=True).clamp_min(1)


def described_logits(images: Tensor, captions: Tensor, described: Tensor, weight: float) -> Tensor:
    """Scores (N, C) without class names in the descriptions: weight * <v, t_c> + mean over the class's d of <v, d>.

    Args: images (N, D), captions (C, D) unit norm; described (C, D) from `average_by_class`; weight: 0 or more.

    Source: arXiv:2412.11917, classname-free evaluation; the released code sweeps the weight from 0 to 40.
    """
    checks.at_least(0, weight=weight)
    return images @ (weight * captions + described).T


def choose_weight(caption_scores: Tensor, description_scores: Tensor, labels: Tensor, weights: Sequence[float]) -> float:
    """The weight with which weight * caption_scores + description_scores, both (N, C), is right most often; the first of equals.

    Raises: ClipkitError for no weights or for shapes that differ.
    """
    if not len(weights) or caption_scores.shape != description_scores.shape or len(labels) != len(caption_scores):
        raise ClipkitError("choosing a weight needs some weights, two score tables (N, C) of one shape, and N labels")
    hits = [percent_right(w * caption_scores + description_scores, labels) for w in weights]
    return float(weights[int(np.argmax(hits))])
