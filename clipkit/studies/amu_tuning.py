"""The page amu_tuning: rivals that see both networks' features, what a second network is worth, and two of its pictures.

Each head takes a `FewShotInput` (never a test picture) and returns a function from CLIP's and the second network's test
features to logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.adapt.amu import AMU
from clipkit.adapt.fusion import complementarity, uncertainty_statistic
from clipkit.adapt.linear_probe import LinearProbe
from clipkit.adapt.selection import ensemble_logits, select_alpha
from clipkit.adapt.shootout import STRENGTHS, WEIGHTS, FewShotInput, Predict, tip_adapter_f, zero_shot
from clipkit.errors import ClipkitError
from clipkit.lab.figures import figure
from clipkit.metrics import percent_right

MOST = 6  # classes that fit into a panel


def fit_amu(data: FewShotInput, weights: Sequence[float] = WEIGHTS, **settings) -> AMU:
    """AMU(**settings) trained, its alpha then chosen anew on `data.val` (kept as it was where that is None)."""
    head = AMU(**{"scale": data.scale, "seed": data.seed, **settings})
    head.fit(data.features, data.auxiliary, data.labels, data.text_weights)
    if data.val:
        x, y, a = data.val
        head.alpha = select_alpha(zero_shot(data)(x, a), head.bias(x, a), y, weights)
    return head


def concatenate(features: Tensor, auxiliary: Tensor) -> Tensor:
    """(N, D) and (N, E), unit norm, end to end: (N, D + E), unit norm; cosines are the mean of the two cosines."""
    return torch.cat([features, auxiliary.to(features)], 1) / 2**0.5


def concatenate_input(data: FewShotInput) -> FewShotInput:
    """The same task with both features end to end, and text weights that see CLIP's part only: zero-shot logits stay."""
    w = data.text_weights
    w = 2**0.5 * torch.cat([w, w.new_zeros(len(w), data.auxiliary.shape[1])], 1)
    val = data.val and (concatenate(data.val[0], data.val[2]), *data.val[1:])
    return replace(data, features=concatenate(data.features, data.auxiliary), text_weights=w, val=val)


def joint_cache_f(data: FewShotInput) -> Predict:
    """Tip-Adapter-F whose keys are both networks' features end to end (after the two caches of CaFo, arXiv:2303.02151)."""
    predict = tip_adapter_f(concatenate_input(data))
    return lambda x, a: predict(concatenate(x, a), a)


def concat_probe(data: FewShotInput, strengths: Sequence[float] = STRENGTHS, weights: Sequence[float] = WEIGHTS) -> Predict:
    """Logistic regression on both features end to end, its log-probabilities added to the zero-shot logits.

    Scaling and strength are chosen on `data.val`, then the weight. Raises ClipkitError without validation pictures or
    with a class that has no labelled picture.
    """
    if data.val is None:
        raise ClipkitError("concat_probe chooses its settings: pass FewShotInput.val")
    both, zs = concatenate_input(data), zero_shot(data)
    probe = LinearProbe(strengths).fit(both.features, both.labels, *both.val[:2])
    if len(probe.classes_) != len(data.text_weights):
        raise ClipkitError(
            f"labelled pictures of {len(probe.classes_)} classes, text weights of {len(data.text_weights)}: give all classes one"
        )

    def bias(x: Tensor, a: Tensor) -> Tensor:
        return torch.as_tensor(probe.logits(concatenate(x, a))).to(x)

    x, y, a = data.val
    weight = select_alpha(zs(x, a), bias(x, a), y, weights)
    return lambda x, a: ensemble_logits(zs(x, a), bias(x, a), weight)


def usefulness(data: FewShotInput, test: tuple[Tensor, Tensor], labels: Tensor, **settings) -> dict[str, float]:
    """What a second network is worth to AMU(**settings), in percent.

    Args: test: CLIP's and the second network's features of the test pictures. labels: (N,).
    Returns: strength, accuracy of a branch trained by its own loss only; union, how often it or zero-shot is right;
        gain, what the fused scores add to zero-shot. Strength and union are of the test pictures at even places, gain of
        those at odd places: the three do not share the luck of a sample.
    """
    if len(labels) < 2:
        raise ClipkitError("usefulness halves the test pictures: give at least two")
    x, a = test
    alone = fit_amu(data, **{**settings, "lam": 0.0}).own_logits(a)
    fused, zero = fit_amu(data, **settings).predict_logits(x, a), zero_shot(data)(x, a)
    share = complementarity(zero[::2].argmax(1), alone[::2].argmax(1), labels[::2])
    gain = percent_right(fused[1::2], labels[1::2]) - percent_right(zero[1::2], labels[1::2])
    return {"strength": 100 * share["accuracy_b"], "union": 100 * share["union"], "gain": gain}


def accuracy_by_certainty(zero_shot_logits: Tensor, branches: Mapping[str, Tensor], labels: Tensor, parts: int = 5) -> list[dict]:
    """Accuracy of each branch (name -> (N, C) logits) in `parts` equal groups of pictures, by kurtosis of the zero-shot probabilities.

    Returns: rows {"part": 1 (least certain) to `parts`, "arm": name, "value": percent}.
    """
    order = uncertainty_statistic(zero_shot_logits.softmax(1))[:, 0].argsort()
    if not 1 <= parts <= len(order):
        raise ClipkitError(f"{parts} groups of {len(order)} pictures: take from 1 to {len(order)}")
    groups = list(enumerate(order.tensor_split(parts), 1))
    return [
        {"part": part, "arm": name, "value": percent_right(logits[rows], labels[rows])}
        for name, logits in branches.items()
        for part, rows in groups
    ]


def branches_by_certainty(data: FewShotInput, test: tuple[Tensor, Tensor], labels: Tensor, **settings) -> list[dict]:
    """`accuracy_by_certainty` of zero_shot, of bias_alone and of their sum, amu; the arguments are those of `usefulness`."""
    head, zero = fit_amu(data, **settings), zero_shot(data)(*test)
    branches = {"zero_shot": zero, "bias_alone": head.own_logits(test[1]), "amu": head.predict_logits(*test)}
    return accuracy_by_certainty(zero, branches, labels)


def partial_correlation(x: Sequence[float], y: Sequence[float], given: Sequence[float], group: Sequence | None = None) -> float:
    """Pearson's correlation of x and y after what `given` explains, linearly, is taken out of both.

    Args:
        x, y, given: (n,) numbers.
        group: (n,) labels; all three are first brought to mean 0 within each group, so that only differences between
            members of one group count.

    Returns: a number in [-1, 1]; 0 where x or y does not move any more.
    Raises ClipkitError: lengths that differ, fewer than three points, NaN.

    >>> partial_correlation([1, 2, 3, 4], [1, 3, 2, 4], given=[1, -1, -1, 1]).__round__(6)
    0.8

    Source: Frisch and Waugh, Partial time regressions as compared with individual trends (1933).
    """
    group = np.zeros(len(x)) if group is None else np.asarray(group)
    if len({len(x), len(y), len(given), len(group)}) > 1:
        raise ClipkitError(f"columns and group labels of one length are wanted, got {len(x)}, {len(y)}, {len(given)}, {len(group)}")
    columns = np.stack([checks.vector(v, "partial correlation", at_least=3) for v in (x, y, given)])
    size = np.abs(columns).max(1, keepdims=True)
    for name in np.unique(group):
        columns[:, group == name] -= columns[:, group == name].mean(1, keepdims=True)
    columns[np.abs(columns) <= 1e-9 * size] = 0.0  # rounding is no movement
    x, y, z = columns
    if z @ z > 0:
        x, y = (v - z * (z @ v) / (z @ z) for v in (x, y))
    norms = np.sqrt(x @ x), np.sqrt(y @ y)
    if min(n / max(s, 1e-300) for n, s in zip(norms, size[:2, 0], strict=True)) <= 1e-9:
        return 0.0
    return float(np.clip(x @ y / (norms[0] * norms[1]), -1, 1))


def shown_classes(scores: Sequence[np.ndarray], truth: int) -> list[int]:
    """The truth and the first places of every part in turn, at most `MOST` different classes."""
    ranks = np.stack([np.argsort(-values, kind="stable") for values in scores], axis=1)  # (C, parts)
    return list(dict.fromkeys([truth, *ranks.flatten().tolist()]))[:MOST]


def draw_score_panels(picture: object, parts: Mapping[str, Sequence[float]], names: Sequence[str], truth: int, title: str = "") -> None:
    """A picture, and for each part a bar chart of the classes that are near the top in any of them.

    Args:
        picture: what `imshow` takes, or a PIL picture.
        parts: name -> (C,) scores; a part whose scores are all the same has no highest.
        names: C class names. truth: the true class, marked by ✓ and always shown.
    """
    scores = {part: np.asarray(values, dtype=float) for part, values in parts.items()}
    shown = shown_classes(list(scores.values()), truth)
    best = {part: int(values.argmax()) if np.ptp(values) > 0 else None for part, values in scores.items()}
    told = "; ".join(f"{part}: {'all the same' if top is None else names[top]}" for part, top in best.items())
    alt = f"A picture of the class {names[truth]} and {len(scores)} bar charts of class scores. Highest in each: {told}."
    with figure(alt=alt, title=title, size=(6.4, 1.2 + 0.3 * len(shown)), columns=1 + len(scores)) as axes:
        axes[0].imshow(np.asarray(picture))
        axes[0].axis("off")
        for panel, (part, values) in zip(axes[1:], scores.items(), strict=True):
            panel.barh(range(len(shown)), values[shown], color=["black" if s == best[part] else "0.7" for s in shown])
            panel.axvline(0, color="0.4", linewidth=0.8)
            labels = [names[s] + (" ✓" if s == truth else "") for s in shown]
            panel.set_yticks(range(len(shown)), labels if panel is axes[1] else [""] * len(shown))
            panel.tick_params(axis="x", labelsize=9)
            panel.set_title(part, fontsize=12)
            panel.invert_yaxis()
            panel.grid(axis="y", visible=False)


def draw_networks(rows, title: str):
    """Strength, union and gain of each second network in three panels, the largest gain on top. Returns networks x these three.

    rows: DataFrame, a row for each seed, task and number of shots, with columns `network`, `arm` (one of the three) and `value`.
    """
    points = rows.dropna(subset="network").pivot_table("value", "network", "arm", sort=False).sort_values("gain")
    told = "{0}: alone {1.strength:.0f} %, either right {1.union:.0f} %, gain {1.gain:.1f} points"
    alt, size = "; ".join(told.format(name, row) for name, row in points.iterrows()), (6.4, 1.3 + 0.3 * len(points))
    with figure(alt=alt, title=title, size=size, columns=3, sharey=True) as axes:
        for panel, (what, xlabel) in zip(
            axes, {"strength": "alone, %", "union": "either right, %", "gain": "gain, points"}.items(), strict=True
        ):
            panel.plot(points[what], points.index, "o", color="black", markersize=9)
            panel.set(xlabel=xlabel, xmargin=0.2, ymargin=0.15)
    return points


# What a part of AMU adds: the arm that has it, and the arm that is the same without it.
PARTS = {
    "start at class means": ("amu_low_shot", "without_mean_start"),
    "loss of its own": ("amu_low_shot", "without_own_loss"),
    "weight by kurtosis": ("fusion_by_uncertainty", "fusion_constant"),
    "weight by entropy": ("fusion_by_entropy", "fusion_constant"),
    "weight by margin": ("fusion_by_margin", "fusion_constant"),
}


def draw_parts(means, title: str) -> str:
    """What each of PARTS adds, a stroke a seed and a dot their mean; means: DataFrame seeds x arms. Returns the dots in words."""
    worth = {part: means[one] - means[other] for part, (one, other) in PARTS.items() if other in means}
    said = "; ".join(f"{part} {values.mean():+.1f}" for part, values in worth.items()).replace("-", "−")
    with figure(alt=f"In points: {said}.", title=title, size=(6.4, 1.3 + 0.4 * len(worth))) as axes:
        axes.plot(np.stack(list(worth.values())), list(worth), "|", color="0.4", markersize=14, markeredgewidth=2)
        axes.plot([values.mean() for values in worth.values()], list(worth), "o", color="black")
        axes.axvline(0, color="0.4", linewidth=1)
        axes.set(xlabel="accuracy with it minus without, points", ylim=(len(worth) - 0.5, -0.5))
    return said
