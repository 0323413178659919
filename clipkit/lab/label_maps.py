"""Pictures, label maps and heat maps side by side, with names written on the regions: readable without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.lab.figures import figure

COLOURS = np.array(
    [(86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (0, 114, 178), (240, 228, 66), (150, 110, 80)], np.uint8
)
LETTER = 0.043  # width of a letter of the names, in widths of a panel


def coloured(labels: np.ndarray) -> np.ndarray:
    """(H, W) labels to (H, W, 3) uint8: class 0 pale, every other class a colour by its number."""
    return np.where((labels == 0)[..., None], np.uint8(235), COLOURS[labels % len(COLOURS)])


def panels(
    parts: Mapping[str, np.ndarray],
    alt: str,
    title: str = "",
    names: Sequence[str] = (),
    columns: int = 3,
    points: Mapping[str, tuple] | None = None,
) -> None:
    """Draw each part under its caption: (H, W, 3) uint8 a picture, (H, W) integers a label map, (H, W) floats a heat map.

    Args:
        names: of the classes, written on the three largest regions of each; without them nothing is written.
        points: caption -> (x, y), marked with a cross, in pixels of the part.
    Raises ClipkitError for a part of another shape.
    """
    rows = -(-len(parts) // columns)
    with figure(alt=alt, title=title, size=(6.4, 0.45 + 2.35 * rows), rows=rows, columns=columns) as axes:
        for axis in np.ravel(axes):
            axis.axis("off")
        for axis, (caption, part) in zip(np.ravel(axes), parts.items(), strict=False):
            part = np.asarray(part)
            if part.ndim == 3 and part.dtype == np.uint8:
                axis.imshow(part)
            elif part.ndim == 2 and np.issubdtype(part.dtype, np.integer):
                axis.imshow(coloured(part))
                _write(axis, part, names)
            elif part.ndim == 2:
                axis.imshow(part, cmap="cividis")
            else:
                raise ClipkitError(f"a panel is a picture, a label map or a heat map; {caption!r} has shape {part.shape}")
            if points and caption in points:
                axis.plot(*points[caption], marker="x", color="white", markersize=13, markeredgewidth=4.5)
                axis.plot(*points[caption], marker="x", color="black", markersize=12, markeredgewidth=2)
            axis.set_title(caption, fontsize=11.5, loc="center", fontweight="normal")


def _write(axis, labels: np.ndarray, names: Sequence[str]) -> None:
    """The names of the three largest connected regions of named classes other than 0, each at the pixel farthest from its edge."""
    from scipy.ndimage import distance_transform_edt, label

    found = []
    for c in np.unique(labels):
        if 0 < c < len(names):
            parts, count = label(labels == c)
            found += [((parts == k).sum(), parts == k, names[c]) for k in range(1, count + 1)]
    largest = sorted((region for region in found if region[0] >= 0.008 * labels.size), key=lambda region: -region[0])[:3]
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    for _, mask, name in largest:
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        half = min(0.5, LETTER * len(name) / 2) * labels.shape[1]  # half of the name's width, so that no border cuts it
        x = float(np.clip(x, half, labels.shape[1] - half))
        axis.text(x, y, name, ha="center", va="center", fontsize=10, bbox=box, clip_on=True)
