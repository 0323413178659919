"""Truth made visible: label maps as colours, boxes drawn into pictures. For figures only."""

from __future__ import annotations

import numpy as np

from clipkit.errors import ClipkitError


def label_colours(labels: np.ndarray, alike: int | None = None) -> np.ndarray:
    """Labels as greys and colours that also differ in lightness.

    Args:
        labels: (..., H, W) unsigned integers; 0 becomes dark.
        alike: largest label of the scale, for several maps that should agree; default the largest there is.

    Returns: (..., H, W, 3) uint8.
    Raises: ClipkitError for labels that are not whole numbers from 0 on.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub" or labels.size == 0 or labels.min() < 0:
        raise ClipkitError(f"label_colours wants whole numbers from 0 on, got {labels.dtype} of shape {labels.shape}")
    from matplotlib import colormaps

    top = max(int(labels.max()) if alike is None else alike, 1)
    table = colormaps["cubehelix"](np.linspace(0.08, 0.92, top + 1))[:, :3]
    return (255 * table).round().astype(np.uint8)[np.minimum(labels, top).astype(int)]


def with_boxes(image: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8 with each box (x0, y0, x1, y1 in pixels, ends exclusive) outlined; NaN boxes are skipped."""
    out = np.array(image)
    for x0, y0, x1, y1 in np.asarray(boxes, dtype=float).reshape(-1, 4):
        if np.isnan(x0):
            continue
        rows, columns = slice(int(y0), int(y1)), slice(int(x0), int(x1))
        for y in (int(y0), int(y1) - 1):
            out[y, columns] = colour
        for x in (int(x0), int(x1) - 1):
            out[rows, x] = colour
    return out


def film(strip, sound, clip, size: int = 96) -> None:
    """Draw a clip's frames side by side on one axes, and the spectrogram of its tones under them on another.

    Args:
        strip, sound: matplotlib Axes that share x, in seconds. clip: from `clipkit.world.sample_clips`.
        size: side of a frame in pixels. Cuts are dotted lines in the spectrogram.
    """
    length = len(clip) / clip.fps
    strip.imshow(np.concatenate(list(clip.render(size).images), axis=1), extent=(0, length, 0, length / len(clip)), aspect="auto")
    strip.set_yticks([])
    sound.specgram(clip.tones(), NFFT=640, Fs=8000, noverlap=480, cmap="Greys", vmin=-95)
    for cut in clip.cuts:
        sound.axvline(cut / clip.fps, color="black", linestyle=":", linewidth=1)
    sound.set(xlabel="seconds", ylabel="hertz", ylim=(0, 1700), xlim=(0, length))
    sound.grid(visible=False)
