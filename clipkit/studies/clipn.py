"""What the CLIPN page needs besides the method and its lessons: pictures of known and unknown things, controls, and judging."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.robust.clipn import YesNo, clipn_scores
from clipkit.robust.ood_splits import OODSplit
from clipkit.studies.clipn_lessons import (
    Pairs,
    data_pairs,
    fit_no_tower,
    generic_pairs,
    held_out_loss,
    shuffled,
    taught,
    without_words,
    world_pairs,
)

__all__ = [
    "WRITTEN_NO",
    "MatchHead",
    "Pairs",
    "answers",
    "caption_words",
    "class_pictures",
    "data_pairs",
    "decisions",
    "fit_no_tower",
    "generic_pairs",
    "held_out_loss",
    "metrics_by_kind",
    "negative_weights",
    "shuffled",
    "taught",
    "without_words",
    "world_pairs",
    "world_pictures",
]
WRITTEN_NO = ("a photo of no {}.", "a photo without {}.", "no {}.", "not a {}.", "a photo with no {} in it.")


def world_pictures(split: OODSplit, n: int, seed: int, part: str = "test", known_only: bool = False, **knobs) -> dict[str, object]:
    """Data sets of n pictures: "known" (labels in the order of split.known), "near", "far", "empty" places, and real "digits".

    With `known_only` the first alone. `knobs` are fields of WorldSpec, styles for instance; they hold for known and unknown
    pictures alike.
    """
    from clipkit.datasets import load_dataset
    from clipkit.datasets.base import Dataset
    from clipkit.datasets.images import ArrayImages
    from clipkit.world import render, without

    sides = {"known": split.known} if known_only else {"known": split.known, "near": split.near, "far": split.far}
    knobs = {"captions": (), **knobs}
    found = {
        name: load_dataset("world", part, n=n, seed=3 * seed + k, factor="category", narrow=True, categories=categories, **knobs)
        for k, (name, categories) in enumerate(sides.items())
    }
    if known_only:
        return found
    bare = render(without(load_dataset("world", part, n=n, seed=3 * seed, **knobs).scenes)).images
    found["empty"] = Dataset("world", part, ArrayImages(bare, [f"place {i}" for i in range(n)]))
    found["digits"] = load_dataset("digits", "test", n=min(n, 300), seed=seed)
    return found


def class_pictures(data, split: OODSplit, n: int, seed: int) -> dict[str, object]:
    """Data sets of at most n pictures of a labelled data set: "known" (labels in the order of split.known), "near"; and real "digits".

    The seed chooses the pictures. Raises ClipkitError: no labels, a class of the split that the data set has not.
    """
    from clipkit.datasets import load_dataset
    from clipkit.datasets.base import Dataset

    if data.labels is None:
        raise ClipkitError(f"{data.name} has no labels, so no class can be called unknown; give a data set with class folders")
    if missing := sorted({*split.known, *split.near} - set(data.classnames)):
        raise ClipkitError(f"{data.name} has no class {missing[0]!r}; split the classes that it has")
    rng, found = np.random.default_rng(seed), {}
    for side, names in {"known": split.known, "near": split.near}.items():
        place = {data.classnames.index(name): i for i, name in enumerate(names)}
        rows = rng.permutation(np.flatnonzero(np.isin(data.labels, list(place))))[:n]
        part, labels = data.subset(rows), np.array([place[label] for label in data.labels[rows].tolist()])
        found[side] = Dataset(data.name, data.split, part.images, labels, list(names), list(data.templates))
    found["digits"] = load_dataset("digits", "test", n=min(n, 300), seed=seed)
    return found


class MatchHead:
    """A logistic regression that tells matched from mismatched pairs by the products f_d g_d: the simplest learnt "no"."""

    def fit(self, pairs: Pairs, seed: int = 0) -> MatchHead:
        """Each pair once as it is and once with a caption that is false of its picture."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        n = len(pairs.images)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        said, true = pairs.said[order], pairs.true
        false = ~((said == true) | (said < 0)).all(1)
        products = torch.cat([pairs.images * pairs.texts, (pairs.images * pairs.texts[order])[false]])
        labels = np.r_[np.ones(n), np.zeros(int(false.sum()))]
        self.head_ = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, class_weight="balanced"))
        self.head_.fit(products.numpy(), labels)
        return self

    def score(self, features: Tensor, weights: Tensor, scale: float) -> Tensor:
        """Agreeing to differ with the head's probabilities in place of yes against no: (N,)."""
        p = (scale * features @ weights.T).softmax(1)
        q = [torch.as_tensor(self.head_.predict_proba((features * w).numpy())[:, 1], dtype=p.dtype) for w in weights]
        return (p * torch.stack(q, 1)).sum(1)


def caption_words(captions: Sequence[str], known: Sequence[str]) -> list[str]:
    """The different words of captions, sorted, without those of the known class names: candidates for negative labels."""
    own = {word for name in known for word in re.findall(r"[a-z]+", name.lower())}
    return sorted({word for text in captions for word in re.findall(r"[a-z]{3,}", text.lower())} - own)


def negative_weights(model, captions: Sequence[str], avoid: Sequence[str], known: Tensor, templates: Sequence[str], share: float) -> Tensor:
    """(M, D) weights of negative labels: words of the captions but those of `avoid`, and of these the share least like `known` (C, D).

    The features of all words are kept on disk, so other seeds with the same captions read them.
    """
    from clipkit.features.text import pool_features
    from clipkit.robust.ood import choose_negatives

    words, allowed = caption_words(captions, ()), set(caption_words(captions, avoid))
    rows = [i for i, word in enumerate(words) if word in allowed]
    candidates = F.normalize(pool_features(model, words, templates)[:, rows].mean(0), dim=-1).to(known)
    return candidates[choose_negatives(candidates, known, share)]


def metrics_by_kind(arms: dict[str, Callable[[Tensor], Tensor]], features: dict[str, Tensor]) -> dict[str, float]:
    """AUROC ("arm", mean over the kinds of unknown, and "auroc|arm|kind") and FPR95 ("fpr95|arm", "fpr95|arm|kind") of scores."""
    from clipkit.robust.ood_metrics import ood_metrics

    row: dict[str, float] = {}
    for arm, score in arms.items():
        known = score(features["known"])
        found = {kind: ood_metrics(known, score(x)) for kind, x in features.items() if kind != "known"}
        row |= {f"auroc|{arm}|{kind}": m.auroc for kind, m in found.items()} | {f"fpr95|{arm}|{kind}": m.fpr95 for kind, m in found.items()}
        row |= {arm: float(np.mean([m.auroc for m in found.values()])), f"fpr95|{arm}": float(np.mean([m.fpr95 for m in found.values()]))}
    return row


def decisions(said: dict[str, YesNo], threshold: float) -> dict[str, float]:
    """Balanced accuracy, mean over the kinds of unknown, of three rules, and what each keeps, percent ("kept|rule|kind").

    "own_rule": agreeing to differ's own; "winner_rule": competing to win's; "set_threshold": agreeing to differ at a threshold.
    """
    from clipkit.robust.ood_metrics import balanced_accuracy

    rules = {
        "own_rule": lambda s: ~s.reject_agreeing,
        "winner_rule": lambda s: ~s.reject_competing,
        "set_threshold": lambda s: s.agreeing_to_differ >= threshold,
    }
    row: dict[str, float] = {}
    for rule, keep in rules.items():
        kept = {kind: keep(s) for kind, s in said.items()}
        row[rule] = float(np.mean([balanced_accuracy(kept["known"], k) for kind, k in kept.items() if kind != "known"]))
        row |= {f"kept|{rule}|{kind}": 100 * k.double().mean().item() for kind, k in kept.items()}
    return row


def answers(features: Tensor, yes: Tensor, no: Tensor, scale: float, names: Sequence[str]) -> list[str]:
    """What the two towers say of each picture's likeliest class, for instance "cat? no 0.71"."""
    winners, certain = (features @ yes.T).argmax(1).tolist(), clipn_scores(features, yes, no, scale).competing_to_win.tolist()
    return [f"{names[w]}? {'yes' if q >= 0.5 else 'no'} {max(q, 1 - q):.2f}" for w, q in zip(winners, certain, strict=True)]
