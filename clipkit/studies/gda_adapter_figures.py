"""Two classes with one covariance in the plane that holds both borders: the nearest mean's and the Gaussians'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def discriminant_plane(means: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes (D, 2) of the plane that both borders cross at right angles, and the Gaussian border's normal (2,) in it.

    The first axis leads from mean to mean, (2, D); the second completes the direction precision @ (difference), which
    is the normal of the border between two Gaussians with that shared precision (D, D).

    Raises ClipkitError when the means coincide.
    """
    gap = means[1] - means[0]
    if not np.linalg.norm(gap) > 0:
        raise ClipkitError("the two means are the same: there is no border between them")
    first = gap / np.linalg.norm(gap)
    normal = precision @ gap
    rest = normal - (normal @ first) * first
    if np.linalg.norm(rest) < 1e-9 * np.linalg.norm(normal):  # both borders are one: any second axis will do
        rest = np.eye(len(gap))[np.abs(first).argmin()]
        rest = rest - (rest @ first) * first
    axes = np.stack([first, rest / np.linalg.norm(rest)], axis=1)
    return axes, normal @ axes


def two_clouds(axes: Axes, points: Mapping[str, object], means: object, covariance: object, precision: object) -> None:
    """Draw features of two classes, their common two-sigma ellipse around each mean, and the two borders.

    Args:
        points: class name -> features (N, D), two of them. means: (2, D). covariance, precision: (D, D), shared.

    Raises ClipkitError for other than two classes.
    """
    if len(points) != 2:
        raise ClipkitError(f"two classes are drawn, not {len(points)}")
    means, covariance, precision = (np.asarray(a, dtype=np.float64) for a in (means, covariance, precision))
    plane, normal = discriminant_plane(means, precision)
    middle = means.mean(0)
    values, vectors = np.linalg.eigh(plane.T @ covariance @ plane)
    turn = np.linspace(0, 2 * np.pi, 90)
    ellipse = 2 * (vectors * np.sqrt(np.maximum(values, 0))) @ np.stack([np.cos(turn), np.sin(turn)])  # (2, 90)
    high = 0.0
    for (name, rows), mean, marker, colour, fill in zip(points.items(), means, "os", ("0.2", "#0072B2"), ("full", "none"), strict=True):
        flat = (np.asarray(rows, dtype=np.float64) - middle) @ plane
        axes.plot(*flat.T, marker, color=colour, markersize=5, alpha=0.65, fillstyle=fill, label=name)
        ring = ellipse + ((mean - middle) @ plane)[:, None]
        axes.plot(*ring, color=colour, linewidth=1.8)
        high = max(high, np.abs(ring[1]).max(), np.abs(flat[:, 1]).max(initial=0.0))
    low, right = axes.get_xlim()
    heights = np.array([-high, high])
    axes.plot([0, 0], heights, ":", color="black", label="border of the nearest mean")
    axes.plot(-normal[1] / normal[0] * heights, heights, "-", color="black", label="border of the Gaussians")
    axes.set(xlabel="from mean to mean", ylabel="across", xlim=(low, right))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
