"""The page pseudolabel_prompts: three settings of limited labels, the methods that are tried in each, and how they are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.adapt.gmm import gmm_em
from clipkit.adapt.prototypes import PrototypeBlend
from clipkit.adapt.pseudolabels import balanced_assignment, balanced_confident, confident, pseudolabel_rounds, schedule
from clipkit.adapt.visual_prompts import VisualPrompts
from clipkit.errors import ClipkitError
from clipkit.features.few_shot import Rows, turns
from clipkit.features.samples import Pictures
from clipkit.metrics import percent_right
from clipkit.zeroshot import zeroshot_logits, zeroshot_weights

SETTINGS = ("semi_supervised", "transductive", "unsupervised")


@dataclass(frozen=True, eq=False)
class LimitedLabels:
    """One setting on one pool of pictures.

    Attributes:
        labelled: (L,) rows of the pool whose labels are known; L may be 0. unlabelled: (U,) the other rows.
        classes: (A,) labels an unlabelled picture can have: all, or the unseen ones in the transductive setting.
        seen: (C,) bool, classes with labels.
    """

    labelled: Tensor
    unlabelled: Tensor
    classes: Tensor
    seen: Tensor


def limit_labels(labels: Tensor, setting: str, n_classes: int, shots: int = 2, seen_share: float = 0.62, seed: int = 0) -> LimitedLabels:
    """Hide labels (N,) of a pool, given in random order, as a setting of the paper does.

    - "semi_supervised": the first `shots` of each class keep theirs.
    - "transductive": a random `seen_share` of the classes (at least one class stays unseen, and one seen) keep all; the
      unlabelled pictures are those of the other classes, and it is known that they are.
    - "unsupervised": all are hidden.

    Raises ClipkitError: an unknown setting, a label out of range, one class only in the transductive setting, no picture left.
    Source: arXiv:2306.01669, section 3.1; 2 labels a class and 62 % of the classes are its numbers.
    """
    checks.one_of("setting", setting, SETTINGS)
    checks.at_least(1, pictures=len(labels))
    labels = checks.labels(labels, len(labels), n_classes).cpu()
    seen = torch.full((n_classes,), setting != "unsupervised")
    known, classes = seen[labels], torch.arange(n_classes)
    if setting == "semi_supervised":
        known = torch.as_tensor(turns(labels.numpy()) < shots)
    elif setting == "transductive":
        if n_classes < 2:
            raise ClipkitError("the transductive setting needs at least two classes, one seen and one unseen")
        count = min(max(1, math.floor(seen_share * n_classes + 0.5)), n_classes - 1)
        classes = torch.as_tensor(np.random.default_rng(seed).permutation(n_classes)[count:]).sort().values
        known = ~torch.isin(labels, classes)
        seen[classes] = False
    if known.all():
        raise ClipkitError(f"every picture has a label in the {setting} setting; give more pictures a class or fewer shots")
    return LimitedLabels(known.nonzero().flatten(), (~known).nonzero().flatten(), classes, seen)


def harmonic_accuracy(predicted: Tensor, labels: Tensor, seen: Tensor) -> float:
    """Percent right: harmonic mean of seen and unseen classes' pictures where there are both, else plain accuracy.

    >>> harmonic_accuracy(torch.tensor([0, 0, 1, 0]), torch.tensor([0, 0, 1, 1]), torch.tensor([True, False]))
    66.66666666666667

    Args: predicted, labels: (N,). seen: (C,) bool.
    Source: arXiv:2306.01669, section 4 (transductive results).
    """
    right, first = (predicted == labels).double(), seen.to(labels.device)[labels]
    if not first.any() or first.all():
        return 100 * right.mean().item()
    a, b = right[first].mean().item(), right[~first].mean().item()
    return 100 * 2 * a * b / (a + b) if a + b else 0.0


@dataclass(frozen=True, eq=False)
class Problem:
    """Labelled pictures, unlabelled ones with what zero-shot says about them, and test pictures.

    Attributes:
        split: which classes are seen and which an unlabelled picture can have.
        labelled: (features, labels) or None. unlabelled: (U, D). truth: (U,), for scoring only.
        probs: (U, C), zero-shot, zero outside `split.classes`. test: (features, labels).
        text_weights: (C, D). scale: the model's logit scale.
    """

    split: LimitedLabels
    labelled: Rows | None
    unlabelled: Tensor
    truth: Tensor
    probs: Tensor
    test: Rows
    text_weights: Tensor
    scale: float

    @classmethod
    def of(cls, pool: Rows, test: Rows, split: LimitedLabels, text_weights: Tensor, scale: float) -> Problem:
        """From features and labels of a pool, split by `limit_labels`. Raises ClipkitError: a pool of another size than the split's."""
        x, y = checks.features(pool[0], "pool features"), pool[1]
        if len(split.labelled) + len(split.unlabelled) != len(x) or len(y) != len(x):
            raise ClipkitError(f"a pool of {len(x)} features and {len(y)} labels does not fit the split; split these labels")
        labelled = (x[split.labelled], y[split.labelled]) if len(split.labelled) else None
        closed = torch.full((len(text_weights),), -torch.inf).index_fill(0, split.classes, 0.0).to(x)
        probs = (zeroshot_logits(x[split.unlabelled], text_weights, scale) + closed).softmax(1)
        return cls(split, labelled, x[split.unlabelled], y[split.unlabelled], probs, test, text_weights, float(scale))

    def score(self, logits: Tensor) -> float:
        """Percent right on the test pictures; the harmonic mean over seen and unseen classes where there are both."""
        return harmonic_accuracy(logits.argmax(1).cpu(), self.test[1], self.split.seen)

    def zero_shot(self) -> Tensor:
        """(M, C) logits of the test pictures."""
        return zeroshot_logits(self.test[0], self.text_weights, self.scale)


def fit_closed_forms(problem: Problem, n_iter: int = 1) -> dict[str, Tensor]:
    """Test logits of rivals that train nothing; all but the first learn from the same pictures as the method.

    - "template_ensemble": zero-shot.
    - "balanced_means": unlabelled pictures get labels by `balanced_assignment`; class means, blended with the text weights.
    - "gaussian_mixture": `gmm_em` from the zero-shot posteriors, given labels kept fixed.
    """
    p, allowed = problem, problem.split.classes
    x, y = p.unlabelled, allowed[balanced_assignment(p.probs[:, allowed].clamp(min=1e-30).log()).argmax(1).cpu()].to(p.truth)
    if p.labelled is not None:
        x, y = torch.cat([p.labelled[0], x]), torch.cat([p.labelled[1], y])
    means = PrototypeBlend(p.scale).fit(x, y, p.text_weights)
    mixture = gmm_em(p.unlabelled, p.probs, n_iter=n_iter, labelled=p.labelled, classes=allowed)
    found = {arm: head.predict_logits(p.test[0]) for arm, head in (("balanced_means", means), ("gaussian_mixture", mixture))}
    return {"template_ensemble": p.zero_shot(), **found}


def self_train(
    problem: Problem, fit: Callable, strategy: str = "grip", rounds: int = 5, k: int = 16, threshold: float | None = None
) -> tuple[list[Tensor], list[float]]:
    """Rounds of pseudolabels: test logits after each round, and the percentage of its pseudolabels that were right.

    Args: fit: (x, y, weights, share) -> a learner; `share` is this round's part of the training, 1 over their number.
        strategy, rounds, k: see `schedule`. threshold: take every unlabelled picture that is so sure, instead of K a class.
    """
    p, allowed, tested = problem, problem.split.classes, []
    ks = schedule(strategy, len(p.unlabelled), len(allowed), rounds, k)

    def fit_round(x: Tensor, y: Tensor, weights: Tensor, i: int):
        learner = fit(x, y, weights, 1 / len(ks))
        tested.append(learner.predict_logits(p.test[0]))
        return learner

    select = None if threshold is None else lambda f, k: confident(f, threshold, allowed, at_least=len(allowed))
    _, done = pseudolabel_rounds(fit_round, p.unlabelled, p.probs, ks, p.labelled, allowed, select)
    return tested, [100 * (r.labels == p.truth[r.rows]).float().mean().item() for r in done]


def self_train_visual(
    model, pictures: Pictures, shots: int, steps: int, seed: int = 0, rounds: int = 3, n: int = 8, batch: int = 16
) -> dict[str, float]:
    """Growing rounds with prompts in the picture tower, semi-supervised: percent right before and after.

    Args:
        model: a DualEncoder with a ViT. pictures: from `draw_pictures`; pool in random order.
        shots: labels a class. steps: of all rounds together (Adam, rate 0.02). rounds, n, batch: rounds, prompts, pictures a step.

    Returns: {"visual_prompt": …, "template_ensemble": …}. Prompts start from the mean patch of the labelled pictures.
    """
    (x, y), test, scale = pictures.pool, pictures.test, model.logit_scale.item()
    text_weights = zeroshot_weights(model, pictures.classnames, pictures.templates)
    split = limit_labels(y, "semi_supervised", len(text_weights), shots)
    labelled, unlabelled = (x[split.labelled], y[split.labelled]), x[split.unlabelled]
    prompts = VisualPrompts(model, n, start=labelled[0], seed=seed)

    def fit(x: Tensor, y: Tensor, weights: Tensor, i: int) -> VisualPrompts:
        return prompts.fit(x, y, text_weights, weights, steps=max(1, steps // rounds), lr=0.02, batch=batch, optimizer="adam")

    before = [zeroshot_logits(model.image_features(part), text_weights, scale) for part in (unlabelled, test[0])]
    pseudolabel_rounds(fit, unlabelled, before[0].softmax(1), schedule("grip", len(unlabelled), len(text_weights), rounds), labelled)
    after = prompts.predict_logits(test[0]).cpu()
    return {"visual_prompt": percent_right(after, test[1]), "template_ensemble": percent_right(before[1], test[1])}


def most_confident(probs: Tensor, truth: Tensor, names: Sequence[str], k: int = 6) -> tuple[list[int], list[str], float]:
    """For a picture of the idea: rows and captions of the K surest of two classes, and the percentage right of all K a class.

    Of all classes it takes the two whose K pseudolabels are nearest to two thirds right: hits and misses can be seen.
    """
    rows, guess = balanced_confident(probs, k)
    counts = {c: (truth[rows[guess == c]] == c).sum().item() for c in guess.unique().tolist() if (guess == c).sum() == k}
    pair = sorted(counts, key=lambda c: abs(counts[c] - 2 * k / 3))[:2] or [int(guess[0])]
    lines = [(r, c) for c in pair for r in rows[guess == c].tolist()]
    captions = [f"{'✓' if truth[r] == c else '✗'} {names[c]} {100 * probs[r, c]:.0f} %" for r, c in lines]
    return [r for r, _ in lines], captions, 100 * (truth[rows] == guess).float().mean().item()


def class_gains(problem: Problem, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-shot accuracy of each class on the unlabelled pictures, and the gain of test logits (M, C) over zero-shot, percent.

    The two come from different pictures: from the same, a class with bad luck at first would seem to gain (regression to
    the mean). Classes without an unlabelled or test picture are left out.
    """
    p, y, c = problem, problem.test[1], problem.probs.shape[1]

    def share(hit: Tensor, y: Tensor) -> Tensor:
        return 100 * torch.bincount(y, hit.double(), c) / torch.bincount(y, minlength=c)

    before = share(p.probs.argmax(1) == p.truth, p.truth)
    gain = share(logits.argmax(1) == y, y) - share(p.zero_shot().argmax(1) == y, y)
    there = before.isfinite() & gain.isfinite()
    return before[there], gain[there]


def mean_slope(points: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Least-squares slope of y on x within each group of points, averaged over groups; groups without spread in x are left out.

    >>> mean_slope([(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])), (torch.tensor([5.0, 7.0]), torch.tensor([9.0, 9.0]))])
    1.0

    Raises ClipkitError: no group has two different x.
    """
    centred = [(x.double() - x.double().mean(), y.double()) for x, y in points]
    found = [(x @ y / x.square().sum()).item() for x, y in centred if x.square().sum() > 0]
    if not found:
        raise ClipkitError("a slope needs a task with two classes of different accuracy")
    return sum(found) / len(found)
