"""Zero-shot classification: the page's figures, and what it says of the packaged photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.robust import expected_calibration_error, reliability

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

LOOKS = (("--", "s", "#D55E00"), ("-", "o", "#0072B2"), (":", "^", "#009E73"))  # told apart without colour too


def show_nearest(image, prompts: Sequence[str], probability: Tensor, alt: str) -> None:
    """A picture beside the five prompts with the highest of their (C,) probabilities."""
    top = probability.topk(min(5, len(prompts)))
    with lab.figure(alt=alt, title="Which sentence lies nearest?", size=(6.4, 2.6), columns=2, width_ratios=(1, 1.3)) as (left, right):
        left.imshow(np.asarray(image))
        left.axis("off")
        right.barh([prompts[i] for i in top.indices], 100 * top.values.numpy(), color="0.45")
        right.invert_yaxis()
        right.grid(axis="y", visible=False)
        right.set(xlabel="probability, %", xlim=(0, 100))


def show_templates(single: pandas.DataFrame, marks: Mapping[str, float]) -> None:
    """Accuracy of single templates, seeds x templates: a point for the mean, a stroke a seed; marks: name -> accuracy, a line each."""
    mean = single.mean().sort_values()
    rows = mean.index[:: 1 + len(mean) // 20]  # of eighty templates, every fifth is shown
    alt = f"Accuracy of single templates, from {mean.min():.1f} to {mean.max():.1f} %. "
    alt += ", ".join(f"{name}: {value:.1f} %" for name, value in marks.items())
    with lab.figure(alt=alt, title="Single templates, and their ensemble", size=(6.4, 1.6 + 0.26 * len(rows))) as axes:
        axes.plot(single[rows].T.to_numpy(), rows, "|", color="0.5", markersize=9)
        axes.plot(mean[rows], rows, "o", color="black")
        for (name, value), line, height in zip(marks.items(), ("--", ":"), (1.01, 1.07), strict=True):
            axes.axvline(value, linestyle=line, color="black", linewidth=1.5)
            axes.annotate(name, (value, height), xycoords=("data", "axes fraction"), ha="center", fontsize=11)
        axes.set(xlabel="accuracy, %")


def show_calibration(probabilities: Mapping[str, Tensor], labels: Tensor) -> None:
    """The reliability diagram of up to three classifiers, name -> (N, C), with their expected calibration errors in points."""
    ece = {name: 100 * expected_calibration_error(p, labels) for name, p in probabilities.items()}
    alt = "Hit rate against confidence beside the diagonal; expected calibration error "
    alt += ", ".join(f"{name}: {value:.1f}" for name, value in ece.items()) + "."
    with lab.figure(alt=alt, title="Confidence against hit rate", size=(6.4, 4.4)) as axes:
        draw_reliability(axes, {f"{name}: ECE {ece[name]:.1f}": reliability(p, labels) for name, p in probabilities.items()})


def draw_reliability(axes: Axes, curves: Mapping[str, tuple], least: float = 0.01) -> None:
    """Draw the diagonal and a line for each entry; the area of a point is its bin's share of the pictures.

    Arguments:
        curves: name -> (confidence, accuracy, share), each (bins,) in 0..1, as `clipkit.robust.reliability` gives them.
        least: bins with a smaller share are left out: the hit rate of three pictures says nothing. Empty ones always are.

    Raises ClipkitError: no entry, more than three, or values outside 0..1.
    """
    if not 1 <= len(curves) <= len(LOOKS):
        raise ClipkitError(f"a reliability diagram shows one to {len(LOOKS)} models, got {len(curves)}")
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=1.2, zorder=1)
    for (name, values), (line, marker, colour) in zip(curves.items(), LOOKS, strict=False):
        confidence, hit, share = (np.asarray(v, dtype=float) for v in values)
        if not all(((v >= 0) & (v <= 1 + 1e-9)).all() for v in (confidence, hit, share)):
            raise ClipkitError(f"reliability of {name!r}: confidence, accuracy and share must lie in 0..1")
        at = (share >= least) & (share > 0)
        axes.plot(100 * confidence[at], 100 * hit[at], line, color=colour, marker=marker, markersize=5, label=name)
        axes.scatter(100 * confidence[at], 100 * hit[at], s=700 * share[at], marker=marker, color=colour, alpha=0.35, linewidths=0)
    axes.set(xlabel="confidence, %", ylabel="hit rate, %", xlim=(0, 103), ylim=(0, 103))
    axes.legend(loc="best")


def tell_photographs(names: Sequence[str], guesses: Sequence[Sequence[str]], place: Sequence[int], named: int) -> str:
    """What came out for N photographs, in sentences.

    Args: names (N), guesses: for each photograph all names, the likeliest first; place (N): where its own stands, from 1 on;
    named: how many are right by short names in templates.
    """
    first, three = sum(p == 1 for p in place), sum(p <= 3 for p in place)
    wrong = [f"{name} taken for {row[0]} (right caption at place {p})" for name, row, p in zip(names, guesses, place, strict=True) if p > 1]
    said = f"The first guess is right for {first} of the {len(names)} photographs; for {three} the right caption is among the first three. "
    said += f"With short class names in templates instead of captions, {named} are right. The mistakes: {'; '.join(wrong) or 'none'}. "
    others = Counter(guess for name, row in zip(names, guesses, strict=True) for guess in row[:3] if guess != name)
    hub, times = others.most_common(1)[0]
    return said + f"The name that stands most often under pictures of something else is {hub}: {times} times."
