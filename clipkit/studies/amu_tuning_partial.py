"""Partial correlation within groups: do two things rise together where a third is held fixed?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.registry.stats import finite_vector


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
    columns = np.stack([finite_vector(v, "partial correlation", at_least=3) for v in _same_length(x, y, given)])
    group = np.zeros(columns.shape[1]) if group is None else np.asarray(group)
    if len(group) != columns.shape[1]:
        raise ClipkitError(f"{columns.shape[1]} points and {len(group)} group labels: give one for each")
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


def _same_length(*columns: Sequence[float]) -> tuple[Sequence[float], ...]:
    if len({len(c) for c in columns}) > 1:
        raise ClipkitError(f"partial correlation needs columns of one length, got {', '.join(str(len(c)) for c in columns)}")
    return columns
