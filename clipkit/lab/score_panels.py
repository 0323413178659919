"""One picture and its class scores in several panels: the terms of a sum beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.figures import figure

MOST = 6  # classes that fit


def score_panels(picture: object, parts: Mapping[str, Sequence[float]], names: Sequence[str], truth: int, title: str = "") -> None:
    """A picture, and for each part a bar chart of the classes that are near the top in any of them.

    Args:
        picture: what `imshow` takes, or a PIL picture.
        parts: name -> (C,) scores; a part whose scores are all the same has no highest.
        names: C class names. truth: the true class, marked by ✓ and always shown.

    Raises ClipkitError when a part has not one score for each name.
    """
    scores = {part: np.asarray(values, dtype=float) for part, values in parts.items()}
    for part, values in scores.items():
        if values.shape != (len(names),):
            raise ClipkitError(f"part {part!r} has scores of shape {values.shape}; there are {len(names)} class names")
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


def shown_classes(scores: Sequence[np.ndarray], truth: int) -> list[int]:
    """The truth and the first places of every part in turn, at most `MOST` different classes, ascending."""
    order = [truth]
    ranks = [np.argsort(-values, kind="stable") for values in scores]
    for place in range(len(scores[0])):
        order += [int(rank[place]) for rank in ranks]
    return sorted(dict.fromkeys(order[: len(scores) * len(scores[0]) + 1]), key=order.index)[:MOST]
