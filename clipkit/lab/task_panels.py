"""Two pictures, two texts, and what scores make of them; scores against a graded truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.palette import label, look


def task_panels(axes: np.ndarray, images: Sequence[np.ndarray], texts: Sequence[str], scores: Mapping[str, np.ndarray]) -> None:
    """The two pictures of a task with their texts above, and a 2 × 2 table of two scores below.

    Arguments:
        axes: (2, 2) of a figure. images: two (H, W, 3). texts: two. scores: two names -> (2, 2), picture by text.

    Raises ClipkitError for another number of anything.
    """
    if np.shape(axes) != (2, 2) or len(images) != 2 or len(texts) != 2 or len(scores) != 2:
        raise ClipkitError("a task has two pictures, two texts and here two scores, on two rows of two axes")
    for i, axis in enumerate(axes[0]):
        axis.imshow(images[i], interpolation="nearest")
        axis.set_title(f"picture {i + 1}\n{texts[i]}", fontsize=8)
        axis.axis("off")
    for axis, (name, table) in zip(axes[1], scores.items(), strict=True):
        axis.imshow(table, cmap="cividis")
        for i, j in np.ndindex(2, 2):
            dark = table[i, j] < (table.min() + table.max()) / 2
            axis.text(j, i, f"{table[i, j]:.2f}", ha="center", va="center", color="white" if dark else "black", fontsize=12)
        axis.set(xticks=[0, 1], xticklabels=["text 1", "text 2"], yticks=[0, 1], yticklabels=["picture 1", "picture 2"], title=label(name))
        axis.grid(visible=False)


def graded_violins(axes: np.ndarray, scores: Mapping[str, np.ndarray], truth: np.ndarray, notes: Mapping[str, str], xlabel: str) -> None:
    """One panel a score: its values (N,) as a violin at each level of the truth (N,), the median marked; a note beside the name."""
    levels = np.unique(truth)
    for axis, (name, values) in zip(np.atleast_1d(axes), scores.items(), strict=True):
        drawn = axis.violinplot([values[truth == level] for level in levels], positions=range(len(levels)), showmedians=True, widths=0.8)
        for body in drawn["bodies"]:
            body.set(facecolor=look(name).colour, alpha=0.5)
        for part in ("cmedians", "cmins", "cmaxes", "cbars"):
            drawn[part].set(color="black", linewidth=0.9)
        axis.set_title(f"{label(name)}, {notes[name]}", fontsize=9)
        axis.set(xticks=range(len(levels)), xlabel=xlabel)
    np.atleast_1d(axes)[0].set_ylabel("score")
