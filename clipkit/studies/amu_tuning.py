"""Heads that see features of two networks: AMU with its weight chosen, and the plain rivals that see the same.

Each takes a `Given` (never a test picture) and returns a function from CLIP's and the second network's test features to logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from clipkit.adapt.amu import AMU
from clipkit.adapt.fusion import complementarity, uncertainty_statistic
from clipkit.adapt.linear_probe import LinearProbe
from clipkit.adapt.selection import ensemble_logits, select_alpha
from clipkit.adapt.shootout import STRENGTHS, Given, Predict, tip_adapter_f, zero_shot
from clipkit.checks import features as checked
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right

WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)  # of a bias; 0 is zero-shot


def chosen_amu(given: Given, weights: Sequence[float] = WEIGHTS, **settings) -> AMU:
    """AMU(**settings) trained, its alpha then chosen anew on `given.val` (kept as it was where that is None)."""
    head = AMU(**{"scale": given.scale, "seed": given.seed, **settings})
    head.fit(given.features, given.auxiliary, given.labels, given.text_weights)
    if given.val:
        x, y, a = given.val
        head.alpha = select_alpha(zero_shot(given)(x, a), head.bias(x, a), y, weights)
    return head


def join(features: Tensor, auxiliary: Tensor) -> Tensor:
    """(N, D) and (N, E), unit norm, end to end: (N, D + E), unit norm; cosines are the mean of the two cosines."""
    return torch.cat([features, auxiliary.to(features)], 1) / 2**0.5


def joined(given: Given) -> Given:
    """The same task with both features end to end, and text weights that see CLIP's part only: zero-shot logits stay."""
    w = given.text_weights
    w = 2**0.5 * torch.cat([w, w.new_zeros(len(w), given.auxiliary.shape[1])], 1)
    val = given.val and (join(given.val[0], given.val[2]), *given.val[1:])
    return replace(given, features=join(given.features, given.auxiliary), text_weights=w, val=val)


def joint_cache_f(given: Given) -> Predict:
    """Tip-Adapter-F whose keys are both networks' features end to end (after the two caches of CaFo, arXiv:2303.02151)."""
    predict = tip_adapter_f(joined(given))
    return lambda x, a: predict(join(x, a), a)


def concat_probe(given: Given, strengths: Sequence[float] = STRENGTHS, weights: Sequence[float] = WEIGHTS) -> Predict:
    """Logistic regression on both features end to end, its log-probabilities added to the zero-shot logits.

    Scaling and strength are chosen on `given.val`, then the weight. Raises ClipkitError without validation pictures or
    with a class that has no labelled picture.
    """
    if given.val is None:
        raise ClipkitError("concat_probe chooses its settings: pass Given.val")
    both, zs = joined(given), zero_shot(given)
    probe = LinearProbe(strengths).fit(both.features, both.labels, *both.val[:2])
    if len(probe.classes_) != len(given.text_weights):
        raise ClipkitError(
            f"labelled pictures of {len(probe.classes_)} classes, text weights of {len(given.text_weights)}: give all classes one"
        )

    def bias(x: Tensor, a: Tensor) -> Tensor:
        return torch.as_tensor(probe.logits(join(x, a))).to(x)

    x, y, a = given.val
    weight = select_alpha(zs(x, a), bias(x, a), y, weights)
    return lambda x, a: ensemble_logits(zs(x, a), bias(x, a), weight)


def percent(logits: Tensor, labels: Tensor) -> float:
    """Percent of (N,) labels at the top of (N, C) logits."""
    return percent_right(logits, labels)


def usefulness(given: Given, test: tuple[Tensor, Tensor], labels: Tensor, **settings) -> dict[str, float]:
    """What a second network is worth to AMU(**settings), in percent.

    Args: test: CLIP's and the second network's features of the test pictures. labels: (N,).
    Returns: strength, accuracy of a branch trained by its own loss only; union, how often it or zero-shot is right;
        gain, what the fused scores add to zero-shot. Strength and union are of the test pictures at even places, gain of
        those at odd places: the three do not share the luck of a sample.
    """
    if len(labels) < 2:
        raise ClipkitError("usefulness halves the test pictures: give at least two")
    x, a = test
    alone = chosen_amu(given, **{**settings, "lam": 0.0}).own_logits(a)
    fused, zero = chosen_amu(given, **settings).predict_logits(x, a), zero_shot(given)(x, a)
    share = complementarity(zero[::2].argmax(1), alone[::2].argmax(1), labels[::2])
    gain = percent(fused[1::2], labels[1::2]) - percent(zero[1::2], labels[1::2])
    return {"strength": 100 * share["accuracy_b"], "union": 100 * share["union"], "gain": gain}


def by_certainty(zero_shot_logits: Tensor, branches: Mapping[str, Tensor], labels: Tensor, parts: int = 5) -> list[dict]:
    """Accuracy of each branch (name -> (N, C) logits) in `parts` equal groups of pictures, by kurtosis of the zero-shot probabilities.

    Returns: rows {"part": 1 (least certain) to `parts`, "arm": name, "value": percent}.
    """
    order = uncertainty_statistic(checked(zero_shot_logits, "zero-shot logits").softmax(1))[:, 0].argsort()
    if not 1 <= parts <= len(order):
        raise ClipkitError(f"{parts} groups of {len(order)} pictures: take from 1 to {len(order)}")
    groups = list(enumerate(order.tensor_split(parts), 1))
    return [
        {"part": part, "arm": name, "value": percent(logits[rows], labels[rows])}
        for name, logits in branches.items()
        for part, rows in groups
    ]
