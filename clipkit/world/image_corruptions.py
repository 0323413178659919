"""Common corruptions at five severities, for pictures of any size.

The families follow Hendrycks and Dietterich, arXiv:1903.12261 (noise, blur, weather, digital), with strengths of our
own for small pictures: lengths are shares of the picture's side. All arithmetic is on integers, and what is random
depends only on the picture, the name of the corruption and the seed: not on its place in the batch. Severities of
one picture share their random draws, so that 5 is a stronger form of 1 and not another sample.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from clipkit.errors import ClipkitError, unknown

Random = np.random.Generator


def corrupt(images: np.ndarray, name: str, severity: int = 3, seed: int = 0) -> np.ndarray:
    """Corrupted copies.

    Args:
        images: uint8 (N, H, W, 3), or one picture (H, W, 3). name: one of CORRUPTIONS. severity: 1 (mild) to 5.

    Returns: uint8 of the same shape.
    Raises: ClipkitError for an unknown name, a severity out of range, or pictures that are not uint8 RGB.
    """
    if name not in _FILTERS:
        raise unknown("corruption", name, CORRUPTIONS)
    if severity not in (1, 2, 3, 4, 5):
        raise ClipkitError(f"severity goes from 1 to 5, got {severity}")
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ClipkitError(f"corrupt wants uint8 pictures (N, H, W, 3) or (H, W, 3), got {images.dtype} {images.shape}")
    if seed < 0:
        raise ClipkitError(f"seed must not be negative, got {seed}")
    if images.ndim == 3:
        return corrupt(images[None], name, severity, seed)[0]
    out = np.empty_like(images)
    for i, image in enumerate(images):
        image = np.ascontiguousarray(image)
        stream = np.random.SeedSequence([seed, zlib.crc32(name.encode()), zlib.crc32(image.tobytes())])
        out[i] = _FILTERS[name](image, severity - 1, np.random.Generator(np.random.PCG64(stream)))
    return out


# -- noise --------------------------------------------------------------------------------------
def _bell(shape: tuple[int, ...], rng: Random) -> np.ndarray:
    """Nearly normal integers of mean 0 and standard deviation 209: sums of eight bytes."""
    return rng.integers(0, 256, (*shape, 8), dtype=np.uint8).sum(axis=-1, dtype=np.int64) - 1020


def _gaussian_noise(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    sigma = (10, 18, 28, 40, 56)[level]
    return _clip(image + _bell(image.shape, rng) * sigma // 209)


def _shot_noise(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """Photon noise in its normal limit: variance proportional to brightness."""
    photons = (120, 50, 25, 12, 6)[level]  # at full brightness
    deviation = np.sqrt(image.astype(np.float64) * 255 / photons).astype(np.int64)
    return _clip(image + _bell(image.shape, rng) * deviation // 209)


def _impulse_noise(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    share = (0.02, 0.05, 0.09, 0.15, 0.24)[level]
    hit, salt = rng.random(image.shape[:2]), rng.random(image.shape[:2]) < 0.5
    return np.where((hit < share)[..., None], np.where(salt[..., None], 255, 0), image)


# -- blur ---------------------------------------------------------------------------------------
def _gaussian_blur(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    radius = (0.014, 0.022, 0.032, 0.046, 0.065)[level] * max(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _motion_blur(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """Mean along one of eight directions."""
    length = (0.07, 0.11, 0.15, 0.21, 0.28)[level] * max(image.shape[:2])
    dy, dx = ((0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (2, -1), (2, -2), (1, -2))[int(rng.integers(8))]
    return _smear(image, length, dy, dx)


def _smear(image: np.ndarray, length: float, dy: int, dx: int) -> np.ndarray:
    """Mean over a straight path of `length` pixels along (dy, dx) / 2, edges repeated."""
    h, w = image.shape[:2]
    samples = max(2, 2 * round(2 * length))  # four to a pixel, an even number, so that the path is symmetric
    along = 2 * np.arange(samples) - (samples - 1)
    path, weights = np.unique(np.stack([(along * dy + 8) // 16, (along * dx + 8) // 16], axis=1), axis=0, return_counts=True)
    total = np.zeros(image.shape, np.int64)
    for (down, right), weight in zip(path, weights, strict=True):
        rows, columns = np.clip(np.arange(h) + down, 0, h - 1), np.clip(np.arange(w) + right, 0, w - 1)
        total += int(weight) * image[rows[:, None], columns].astype(np.int64)
    return (total + samples // 2) // samples


# -- weather ------------------------------------------------------------------------------------
def _fog(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """A bright veil with soft clouds in it."""
    h, w = image.shape[:2]
    veil = sum(_field(h, w, cells, rng) // weight for cells, weight in ((2, 2), (4, 4), (8, 4)))  # 0..255
    cover = (70, 105, 140, 170, 198)[level] + (veil - 128) // 4  # of 255
    cover = np.clip(cover, 0, 240)[..., None]
    return (image * (255 - cover) + 232 * cover + 127) // 255


def _snowfall(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """Flakes that fall aslant, and a little less contrast behind them."""
    h, w = image.shape[:2]
    share = (0.012, 0.022, 0.034, 0.048, 0.066)[level]
    slant = int(rng.integers(-1, 2))
    flakes = (rng.random((h, w)) < share).astype(np.int64) * 255
    size = max(1, max(h, w) // 32)
    if size > 1:  # flakes keep their size relative to the picture
        flakes = np.asarray(Image.fromarray(flakes.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * (size // 2) + 1)), dtype=np.int64)
    streak = np.clip(_smear(flakes[..., None], 1 + 2 * size, 2, slant) * 2, 0, 255)
    haze = (12, 20, 28, 36, 44)[level]
    behind = image + (255 - image.astype(np.int64)) * haze // 255
    return behind + (255 - behind) * streak // 255


def _brightness(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    return _clip(image.astype(np.int64) + (25, 45, 65, 88, 112)[level])


def _contrast(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """Towards the picture's mean colour."""
    keep = (70, 55, 40, 27, 16)[level]  # percent
    mean = image.reshape(-1, 3).sum(axis=0, dtype=np.int64) // (image.shape[0] * image.shape[1])
    return (image.astype(np.int64) * keep + mean * (100 - keep) + 50) // 100


def _desaturate(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """Towards grey; no colour is left at 5."""
    keep = (65, 45, 28, 12, 0)[level]  # percent
    wide = image.astype(np.int64)
    luma = (wide @ np.array([77, 151, 28]))[..., None] >> 8
    return _clip(luma + (wide - luma) * keep // 100)


# -- digital ------------------------------------------------------------------------------------
def _pixelate(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    h, w = image.shape[:2]
    share = (0.72, 0.58, 0.46, 0.36, 0.28)[level]
    small = Image.fromarray(image).resize((max(1, round(w * share)), max(1, round(h * share))), Image.Resampling.BOX)
    return np.asarray(small.resize((w, h), Image.Resampling.NEAREST))


def _jpeg(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=(40, 25, 16, 10, 5)[level])
    return np.asarray(Image.open(file))


def _elastic(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """Every pixel fetched from a smoothly varying distance, in sixteenths of a pixel."""
    h, w = image.shape[:2]
    reach = round((0.4, 0.7, 1.0, 1.4, 1.9)[level] * max(h, w) / 2)  # sixteenths, at most
    dy, dx = ((_field(h, w, 6, rng) - 128) * reach // 128 for _ in range(2))
    y = np.clip(np.arange(h)[:, None] * 16 + dy, 0, (h - 1) * 16)
    x = np.clip(np.arange(w) * 16 + dx, 0, (w - 1) * 16)
    y0, x0, fy, fx = y // 16, x // 16, (y % 16)[..., None], (x % 16)[..., None]
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    wide = image.astype(np.int64)
    top = wide[y0, x0] * (16 - fx) + wide[y0, x1] * fx
    bottom = wide[y1, x0] * (16 - fx) + wide[y1, x1] * fx
    return (top * (16 - fy) + bottom * fy + 128) // 256


def _occlusion_patch(image: np.ndarray, level: int, rng: Random) -> np.ndarray:
    """One grey square over some of the picture."""
    h, w = image.shape[:2]
    side = max(1, round((0.2, 0.28, 0.36, 0.46, 0.58)[level] * min(h, w)))
    u, v = rng.random(2)
    y, x = int(u * (h - side + 1)), int(v * (w - side + 1))
    out = image.copy()
    out[y : y + side, x : x + side] = 127
    return out


# -- inside -------------------------------------------------------------------------------------
def _field(h: int, w: int, cells: int, rng: Random) -> np.ndarray:
    """Smooth random (h, w) int64, 0..255, that varies over about 1 / cells of the side."""
    grid = rng.integers(0, 256, (cells + 1, cells + 1), dtype=np.uint8)
    return np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC), dtype=np.int64)


def _clip(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255)


_FILTERS: dict[str, Callable[[np.ndarray, int, Random], np.ndarray]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "gaussian_blur": _gaussian_blur,
    "motion_blur": _motion_blur,
    "fog": _fog,
    "snowfall": _snowfall,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "saturate": _desaturate,
    "elastic": _elastic,
    "occlusion_patch": _occlusion_patch,
}
CORRUPTIONS: tuple[str, ...] = tuple(_FILTERS)
