"""The page gda_adapter: how a head is weighed under a selection protocol, long tails, classes without pictures, known Gaussians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.adapt.cache import TipAdapter
from clipkit.adapt.gda import GDA
from clipkit.adapt.logistic import LogisticHead
from clipkit.adapt.prototypes import PrototypeBlend
from clipkit.adapt.selection import ensemble_logits, equal_spread, select_alpha
from clipkit.adapt.zeroshot_probe import ZeroShotProbe
from clipkit.errors import ClipkitError
from clipkit.lab.palette import label
from clipkit.lab.plots import heatmap
from clipkit.metrics import percent_right

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from clipkit.features.few_shot import FewShot


def macro_percent(logits: Tensor, labels: Tensor) -> float:
    """Mean over the classes that occur of the percent right in each."""
    return float(np.mean([percent_right(logits[labels == c], labels[labels == c]) for c in labels.unique()]))


def predict(
    head, text_weights: Tensor, scale: float, support: tuple[Tensor, Tensor], rows: tuple | None, test: Tensor, added: str = "always"
) -> tuple[Tensor, float | None]:
    """Logits (M, C) of a fitted head on test features (M, D), and the weight with which it was added to zero-shot.

    A head with a method `search` sets its own numbers on `rows`; where that is None it stays as it came. Any other is
    added to zero-shot with a weight from `select_alpha`; without rows the weight is that of equal spread on the support
    times k / 4 at k shots, the proportion of the prototype blend.

    Args:
        support: features and labels that the head was fitted on. rows: those that may be looked at for choosing, or None.
        added: "always"; "chosen", to zero-shot only where there are rows, else the head stands alone; "never".

    Returns: the weight is None for a head that was not added.
    """

    def zero_shot(features: Tensor) -> Tensor:
        return scale * features @ text_weights.T

    searches = hasattr(head, "search")
    if searches and rows is not None:
        head.search(*rows)
    logits = head.predict_logits(test)
    if searches or added == "never" or (added == "chosen" and rows is None):
        return logits, None
    if rows is None:
        x, labels = support
        shots = int(labels.bincount().max())
        alpha = shots / 4 * equal_spread(zero_shot(x), head.predict_logits(x))
    else:
        alpha = select_alpha(zero_shot(rows[0]), head.predict_logits(rows[0]), rows[1])
    return ensemble_logits(zero_shot(test), logits, alpha), alpha


def zipf_shots(n_classes: int, most: int, seed: int) -> np.ndarray:
    """(C,) training pictures of each class under Zipf's law: most, most/2, most/3 ... rounded up, in a random order.

    >>> sorted(zipf_shots(5, 16, 0).tolist())
    [4, 4, 6, 8, 16]
    """
    checks.at_least(1, n_classes=n_classes, most=most)
    return np.ceil(most / (1 + np.random.default_rng(seed).permutation(n_classes))).astype(int)


def long_tail(draw: FewShot, text_weights: Tensor, most: int, scale: float, seed: int) -> dict[str, float]:
    """Macro accuracy of heads on a support with a long tail, settings chosen on validation pictures thinned alike.

    Returns {arm: percent} and, for the classes with the fewest pictures alone, {arm_rare: percent}; arms gda_zipf (uniform
    prior), gda_zipf_prior (the support's), logistic_zipf, clap_zipf, tip_zipf, blend_zipf, zero_shot_macro.
    """
    few = zipf_shots(len(text_weights), most, seed)
    thin, rare = draw.thinned(few), torch.as_tensor(few == few.min())
    support, rows, (xt, yt) = thin.pool, thin.val, thin.test
    heads = {"gda_zipf": GDA(), "gda_zipf_prior": GDA(prior="empirical"), "logistic_zipf": LogisticHead(scale)}
    heads |= {"clap_zipf": ZeroShotProbe(scale, penalty="clap"), "tip_zipf": TipAdapter(1.0, 5.5, scale)}
    logits = {"zero_shot_macro": scale * xt @ text_weights.T}
    logits["blend_zipf"] = PrototypeBlend(scale).fit(*support, text_weights).predict_logits(xt)
    for arm, head in heads.items():
        logits[arm], _ = predict(head.fit(*support, text_weights), text_weights, scale, support, rows, xt)
    found = {arm: macro_percent(guess, yt) for arm, guess in logits.items()}
    return found | {f"{arm}_rare": macro_percent(guess[rare[yt]], yt[rare[yt]]) for arm, guess in logits.items()}


def new_classes(draw: FewShot, text_weights: Tensor, most: int, scale: float, seed: int) -> dict[str, float]:
    """Accuracy when a random half of the classes has no picture, each half judged among its own classes.

    Arms: zero_shot_base, zero_shot_new; gda_base and gda_new as in the released code (mean of the classes' covariances,
    pseudo-inverse; new precision), gda_shared_base and gda_shared_new (the paper's shrunk precision for both). The mixing
    weight is chosen on validation pictures of the base half and used for both, as in the released code.

    Raises ClipkitError for fewer than two classes.
    """
    if len(text_weights) < 2:
        raise ClipkitError("halves need at least two classes")
    halves = torch.as_tensor(np.random.default_rng(seed).permutation(len(text_weights))).tensor_split(2)
    base, new = (half.sort().values for half in halves)
    seen, unseen, found = draw.of(base), draw.of(new), {}
    for arm, head, precision in (("gda", GDA("none", cov="class_mean"), "new"), ("gda_shared", GDA(), "shared")):
        head.fit(*seen.shots(most), text_weights[base])
        alpha = select_alpha(scale * seen.val[0] @ text_weights[base].T, head.predict_logits(seen.val[0]), seen.val[1])
        extended = head.extend(text_weights[new], precision=precision)
        for kind, part, weights, used in (("base", seen, text_weights[base], head), ("new", unseen, text_weights[new], extended)):
            zero_shot = scale * part.test[0] @ weights.T
            found[f"zero_shot_{kind}"] = percent_right(zero_shot, part.test[1])
            found[f"{arm}_{kind}"] = percent_right(ensemble_logits(zero_shot, used.predict_logits(part.test[0]), alpha), part.test[1])
    return found


def subtract(rows, base: str, on: str = "arm"):
    """Values less those of the row named `base`, long; rows: DataFrame with `seed`, `shots`, `value`, `on` and perhaps `protocol`."""
    keys = [key for key in ("seed", "shots", "protocol") if key in rows]
    table = rows.pivot(index=keys, columns=on, values="value")[list(rows[on].unique())]
    return table.sub(table.pop(base), axis=0).melt(ignore_index=False).reset_index()


def draw_gain_by_task(rows, title: str):
    """Heat map of points over zero-shot; rows: `task`, `arm`, `value`, with an arm zero_shot. Returns tasks x other arms."""
    gain = rows.pivot_table("value", "task", "arm", sort=False)
    gain = gain.sub(gain.pop("zero_shot"), axis=0).rename(index=label, columns=label)
    best = ", ".join(f"{task}: {arm}" for task, arm in gain.idxmax(axis=1).items())
    heatmap(gain, alt=f"{title}, by task. Best head: {best}", title=title, centre=0.0, bar_label="points")
    return gain


@dataclass(frozen=True, eq=False)
class KnownGaussians:
    """C Gaussian classes in D dimensions with one covariance.

    Attributes: means (C, D), covariance (D, D), root (D, D) with root root^T = covariance; all float64.
    """

    means: Tensor
    covariance: Tensor
    root: Tensor

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n features of each class, class by turns: (n C, D) float64 and (n C,) int64. A smaller n is the start of a larger one."""
        checks.at_least(1, n=n)
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(len(self.means)).repeat(n)
        noise = torch.stack([torch.randn(self.means.shape, generator=generator, dtype=torch.float64) for _ in range(n)])
        return self.means[labels] + noise.flatten(0, 1) @ self.root.T, labels

    def bayes_logits(self, features: Tensor) -> Tensor:
        """Logits (N, C) of the best classifier there is, for equal priors."""
        weight = torch.linalg.solve(self.covariance, self.means.T).T
        return features.to(weight) @ weight.T - (weight * self.means).sum(1) / 2


def known_gaussians(n_classes: int = 10, d: int = 64, decay: float = 1.5, distance: float = 4.5, seed: int = 0) -> KnownGaussians:
    """Classes with a covariance whose eigenvalues fall like i^-decay (mean 1) along random axes.

    The means scatter along every axis in proportion to the noise there, so that every axis carries the same
    information, `distance` being the typical Mahalanobis distance of two means. A rule that measures plain distances
    sees the few long axes only.

    Raises ClipkitError for sizes below 1 or a negative decay or distance.
    """
    checks.at_least(1, n_classes=n_classes, d=d)
    checks.at_least(0, decay=decay, distance=distance)
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    spectrum = torch.arange(1, d + 1, dtype=torch.float64) ** -decay
    root = axes * (spectrum * d / spectrum.sum()).sqrt()
    means = torch.randn(n_classes, d, generator=generator, dtype=torch.float64) * distance / (2 * d) ** 0.5
    return KnownGaussians(means @ root.T, root @ root.T, root)


def learning_curves(heads: Mapping[str, object], sizes: Sequence[int], seeds: Sequence[int], n_test: int = 200, **world) -> list[dict]:
    """Accuracy of heads on known Gaussians against examples a class, with "bayes_rule" as the ceiling.

    Args:
        heads: arm -> estimator with fit(features, labels) and predict_logits. sizes: examples a class.
        seeds: each has its own world, support and test examples, `n_test` a class. world: of `known_gaussians`.

    Returns: a row {"seed", "shots", "arm", "value"} for each, value in percent.
    """
    rows = []
    for seed in seeds:
        truth = known_gaussians(seed=seed, **world)
        (x, y), (test, labels) = truth.sample(max(sizes), 2 * seed), truth.sample(n_test, 2 * seed + 1)
        for k in sizes:
            few = slice(k * len(truth.means))
            logits = {arm: head.fit(x[few], y[few]).predict_logits(test) for arm, head in heads.items()}
            for arm, guess in (logits | {"bayes_rule": truth.bayes_logits(test)}).items():
                rows.append({"seed": seed, "shots": k, "arm": arm, "value": percent_right(guess, labels)})
    return rows


def discriminant_plane(means: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes (D, 2) of the plane that both borders cross at right angles, and the Gaussian border's normal (2,) in it.

    The first axis leads from mean to mean, (2, D); the second completes the direction precision @ (difference), which
    is the normal of the border between two Gaussians with that shared precision (D, D).

    Raises ClipkitError when the means coincide.
    """
    gap = means[1] - means[0]
    if not np.linalg.norm(gap) > 0:
        raise ClipkitError("the two means are the same: there is no border between them")
    first, normal = gap / np.linalg.norm(gap), precision @ gap
    rest = normal - (normal @ first) * first
    if np.linalg.norm(rest) < 1e-9 * np.linalg.norm(normal):  # both borders are one: any second axis will do
        rest = np.eye(len(gap))[np.abs(first).argmin()]
        rest = rest - (rest @ first) * first
    axes = np.stack([first, rest / np.linalg.norm(rest)], axis=1)
    return axes, normal @ axes


def draw_two_clouds(axes: Axes, points: Mapping[str, object], means: object, covariance: object, precision: object) -> None:
    """Draw features of two classes, their common two-sigma ellipse around each mean, and the two borders.

    Args:
        points: class name -> features (N, D), two of them. means: (2, D). covariance, precision: (D, D), shared.
    """
    means, covariance, precision = (np.asarray(a, dtype=np.float64) for a in (means, covariance, precision))
    plane, normal = discriminant_plane(means, precision)
    values, vectors = np.linalg.eigh(plane.T @ covariance @ plane)
    turn = np.linspace(0, 2 * np.pi, 90)
    ellipse = 2 * (vectors * np.sqrt(np.maximum(values, 0))) @ np.stack([np.cos(turn), np.sin(turn)])  # (2, 90)
    high = 0.0
    for (name, rows), mean, marker, colour, fill in zip(points.items(), means, "os", ("0.2", "#0072B2"), ("full", "none"), strict=True):
        flat = (np.asarray(rows, dtype=np.float64) - means.mean(0)) @ plane
        ring = ellipse + ((mean - means.mean(0)) @ plane)[:, None]
        axes.plot(*flat.T, marker, color=colour, markersize=5, alpha=0.65, fillstyle=fill, label=name)
        axes.plot(*ring, color=colour, linewidth=1.8)
        high = max(high, np.abs(ring[1]).max(), np.abs(flat[:, 1]).max(initial=0.0))
    limits, heights = axes.get_xlim(), np.array([-high, high])
    axes.plot([0, 0], heights, ":", color="black", label="border of the nearest mean")
    axes.plot(-normal[1] / normal[0] * heights, heights, "-", color="black", label="border of the Gaussians")
    axes.set(xlabel="from mean to mean", ylabel="across", xlim=limits)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
