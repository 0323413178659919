"""One task in one of the three settings of limited labels: the methods that may be tried on it, and how they are scored.

Takes features and text weights; knows no model. A prompt comes in as a function `tune(x, y, weights, steps)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clipkit.adapt.gmm import gmm_em
from clipkit.adapt.prototypes import PrototypeBlend
from clipkit.adapt.pseudolabels import balanced_assignment, balanced_confident, confident, pseudolabel_rounds, schedule
from clipkit.adapt.visual_prompts import VisualPrompts
from clipkit.checks import features as checked
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right
from clipkit.studies.pseudolabel_prompts_settings import LimitedLabels, harmonic_accuracy, limited_labels
from clipkit.zeroshot import zeroshot_logits, zeroshot_weights

if TYPE_CHECKING:
    from clipkit.features.samples import Pictures


@dataclass(frozen=True, eq=False)
class Problem:
    """Labelled pictures, hidden ones with what zero-shot says about them, and test pictures.

    Attributes:
        split: which classes are seen and which a hidden picture can have.
        known: (features, labels) or None. hidden: (U, D). truth: (U,), for scoring only.
        probs: (U, C), zero-shot, zero outside `split.classes`. test: (features, labels).
        text_weights: (C, D). scale: the model's logit scale.
    """

    split: LimitedLabels
    known: tuple[Tensor, Tensor] | None
    hidden: Tensor
    truth: Tensor
    probs: Tensor
    test: tuple[Tensor, Tensor]
    text_weights: Tensor
    scale: float

    @classmethod
    def of(
        cls, pool: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], split: LimitedLabels, text_weights: Tensor, scale: float
    ) -> Problem:
        """From features and labels of a pool, split by `limited_labels`. Raises ClipkitError: shapes that do not match, NaN."""
        x, y = checked(pool[0], "pool features"), pool[1]
        if len(split.labelled) + len(split.unlabelled) != len(x) or len(y) != len(x):
            raise ClipkitError(f"a pool of {len(x)} features and {len(y)} labels does not fit the split; split these labels")
        known = (x[split.labelled], y[split.labelled]) if len(split.labelled) else None
        hidden = x[split.unlabelled]
        closed = torch.full((len(text_weights),), -torch.inf).index_fill(0, split.classes, 0.0).to(x)
        probs = (zeroshot_logits(hidden, text_weights, scale) + closed).softmax(1)
        return cls(split, known, hidden, y[split.unlabelled], probs, test, text_weights, float(scale))

    def score(self, logits: Tensor) -> float:
        """Percent right on the test pictures; the harmonic mean over seen and unseen classes where there are both."""
        return harmonic_accuracy(logits.argmax(1).cpu(), self.test[1], self.split.seen)

    def zero_shot(self) -> Tensor:
        """(M, C) logits of the test pictures."""
        return zeroshot_logits(self.test[0], self.text_weights, self.scale)


def training_free(problem: Problem, n_iter: int = 1) -> dict[str, Tensor]:
    """Test logits of rivals that train nothing; all but the first learn from the same pictures as the method.

    - "template_ensemble": zero-shot.
    - "balanced_means": hidden pictures get labels by `balanced_assignment`; class means, blended with the text weights.
    - "gaussian_mixture": `gmm_em` from the zero-shot posteriors, given labels kept fixed.
    """
    p, allowed = problem, problem.split.classes
    y = allowed[balanced_assignment(p.probs[:, allowed].clamp(min=1e-30).log()).argmax(1).cpu()].to(p.truth)
    x = p.hidden if p.known is None else torch.cat([p.known[0], p.hidden])
    y = y if p.known is None else torch.cat([p.known[1], y])
    means = PrototypeBlend(p.scale).fit(x, y, p.text_weights)
    mixture = gmm_em(p.hidden, p.probs, n_iter=n_iter, labelled=p.known, classes=allowed)
    heads = {"balanced_means": means, "gaussian_mixture": mixture}
    return {"template_ensemble": p.zero_shot(), **{arm: head.predict_logits(p.test[0]) for arm, head in heads.items()}}


def self_train(
    problem: Problem, fit: Callable, strategy: str = "grip", rounds: int = 5, k: int = 16, threshold: float | None = None
) -> tuple[list[Tensor], list[float]]:
    """Rounds of pseudolabels: test logits after each round, and the percentage of its pseudolabels that were right.

    Args:
        fit: fit(x, y, weights, share) -> a learner; `share` is this round's part of the training, 1 over their number.
        strategy, rounds, k: see `schedule`. threshold: take every hidden picture that is so sure, instead of K a class.
    """
    p, allowed, tested = problem, problem.split.classes, []
    ks = schedule(strategy, len(p.hidden), len(allowed), rounds, k)

    def round_(x: Tensor, y: Tensor, weights: Tensor, i: int):
        learner = fit(x, y, weights, 1 / len(ks))
        tested.append(learner.predict_logits(p.test[0]))
        return learner

    select = None if threshold is None else lambda f, k: confident(f, threshold, allowed, at_least=len(allowed))
    _, done = pseudolabel_rounds(round_, p.hidden, p.probs, ks, p.known, allowed, select)
    return tested, [100 * (r.labels == p.truth[r.rows]).float().mean().item() for r in done]


def by_round(problem: Problem, arm: str, tested: Sequence[Tensor], right: Sequence[float]) -> dict[str, float]:
    """`self_train`'s result as numbers: {arm: last score, "arm:1": score after round 1 …, "arm:right:1": its labels' accuracy …}."""
    scores = [problem.score(logits) for logits in tested]
    rows = {f"{arm}:{i}": score for i, score in enumerate(scores, 1)} | {f"{arm}:right:{i}": share for i, share in enumerate(right, 1)}
    return {arm: scores[-1], **rows}


def surest(probs: Tensor, truth: Tensor, names: Sequence[str], k: int = 6) -> tuple[list[int], list[str], float]:
    """For a picture of the idea: rows and captions of the K surest of two classes, and the percentage right of all K a class.

    The two classes are those whose K pseudolabels are nearest to two thirds right, so that hits and misses can be seen.
    """
    rows, guess = balanced_confident(probs, k)
    counts = {c: (truth[rows[guess == c]] == c).sum().item() for c in guess.unique().tolist() if (guess == c).sum() == k}
    pair = sorted(counts, key=lambda c: abs(counts[c] - 2 * k / 3))[:2] or [int(guess[0])]
    lines = [(r, c) for c in pair for r in rows[guess == c].tolist()]
    captions = [f"{'✓' if truth[r] == c else '✗'} {names[c]} {100 * probs[r, c]:.0f} %" for r, c in lines]
    return [r for r, _ in lines], captions, 100 * (truth[rows] == guess).float().mean().item()


def visual_self_train(
    model, pictures: Pictures, shots: int, steps: int, seed: int = 0, rounds: int = 3, n: int = 8, lr: float = 0.02, batch: int = 16
) -> dict[str, float]:
    """Growing rounds with prompts in the picture tower, semi-supervised: percent right before and after.

    Args:
        model: a DualEncoder with a ViT. pictures: from `draw_pictures`; pool in random order.
        shots: labels a class. steps: of all rounds together. rounds, n, lr, batch: rounds, prompts, rate (Adam), pictures a step.

    Returns: {"visual_prompt": …, "template_ensemble": …}; the prompts start from the mean patch of the labelled pictures.
    """
    pool, test = pictures.pool, pictures.test
    text_weights = zeroshot_weights(model, pictures.classnames, pictures.templates)
    (x, y), scale = pool, model.logit_scale.item()
    split = limited_labels(y, "semi_supervised", len(text_weights), shots)
    known, hidden = (x[split.labelled], y[split.labelled]), x[split.unlabelled]
    prompts = VisualPrompts(model, n, start=known[0], seed=seed)

    def fit(x: Tensor, y: Tensor, weights: Tensor, i: int) -> VisualPrompts:
        return prompts.fit(x, y, text_weights, weights, steps=max(1, steps // rounds), lr=lr, batch=batch, optimizer="adam")

    before = [zeroshot_logits(model.image_features(part), text_weights, scale) for part in (hidden, test[0])]
    pseudolabel_rounds(fit, hidden, before[0].softmax(1), schedule("grip", len(hidden), len(text_weights), rounds), known)
    after = {"visual_prompt": prompts.predict_logits(test[0]).cpu(), "template_ensemble": before[1]}
    return {arm: percent_right(logits, test[1]) for arm, logits in after.items()}


def class_gains(problem: Problem, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-shot accuracy of each class on the hidden pictures, and the gain of test logits (M, C) over zero-shot, percent.

    The two come from different pictures. From the same test pictures, a class with bad luck at first would seem to
    gain, and gain would fall with accuracy for any method (regression to the mean). Classes without a hidden or test
    picture are left out.
    """
    p, y, c = problem, problem.test[1], problem.probs.shape[1]

    def share(hit: Tensor, y: Tensor) -> Tensor:
        return 100 * torch.bincount(y, hit.double(), c) / torch.bincount(y, minlength=c)

    before = share(p.probs.argmax(1) == p.truth, p.truth)
    gain = share(logits.argmax(1) == y, y) - share(p.zero_shot().argmax(1) == y, y)
    there = before.isfinite() & gain.isfinite()
    return before[there], gain[there]


def over_tasks(table: Mapping, arm: str, setting: str, tasks: Sequence[str]):
    """Mean over tasks of the entries "arm@setting@task": a number, or one a seed when the entries are columns; NaN when none is there.

    >>> over_tasks({"a@s@t": 1.0, "a@s@u": 3.0}, "a", "s", ["t", "u", "v"]).item()
    2.0
    """
    return np.mean([table[key] for name in tasks if (key := f"{arm}@{setting}@{name}") in table] or [np.nan], axis=0)


def slope(points: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Least-squares slope of y on x within each group of points, averaged over groups; groups without spread in x are left out.

    >>> slope([(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])), (torch.tensor([5.0, 7.0]), torch.tensor([9.0, 9.0]))])
    1.0

    Raises ClipkitError when no group has two different x.
    """
    found = []
    for x, y in points:
        dx = x.double() - x.double().mean()
        if len(x) > 1 and dx.square().sum() > 0:
            found.append((dx @ y.double() / dx.square().sum()).item())
    if not found:
        raise ClipkitError("a slope needs a task with two classes of different accuracy")
    return sum(found) / len(found)
