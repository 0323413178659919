"""Class by class: accuracy before, on the way, and after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def class_change(hits: Mapping[str, np.ndarray], labels: np.ndarray, names, title: str = "Class by class"):
    """One column of points a class, sorted by the first arm: the first as a line, the last as dots, others as crosses.

    Arguments: hits: name of the arm -> (N,) bool, right or not; labels (N,); names: of the classes.
    Returns: DataFrame (classes that occur x arms) of percentages, sorted.
    """
    import pandas as pd

    from clipkit.lab.figures import figure

    labels = np.asarray(labels)
    present = np.unique(labels)
    rows = {arm: [100 * np.asarray(hit)[labels == c].mean() for c in present] for arm, hit in hits.items()}
    table = pd.DataFrame(rows, index=[names[c] for c in present]).sort_values(next(iter(hits)), kind="stable")
    first, *middle, last = table.columns
    gain = table[last] - table[first]
    alt = f"Accuracy of {len(table)} classes. From {first} to {last}, {int((gain > 0).sum())} gain and {int((gain < 0).sum())} lose; "
    alt += f"the most {gain.idxmax()} ({gain.max():+.0f} points) and {gain.idxmin()} ({gain.min():+.0f})."
    with figure(alt=alt, title=title, size=(6.4, 3.8)) as axes:
        place = np.arange(len(table))
        axes.vlines(place, table[first], table[last], color="0.75")
        axes.plot(place, table[first], "-", color="black", label=first)
        for arm in middle:
            axes.plot(place, table[arm], "x", color="0.4", markersize=5, label=arm)
        axes.plot(place, table[last], "o", color="#0072B2", markersize=5, label=last)
        axes.set(xlabel=f"classes, the worst of “{first}” first", ylabel="accuracy, %", xticks=[])
        axes.legend(loc="upper left")
    return table
