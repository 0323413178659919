"""What inputs must be. Each question is asked here, in one sentence, and nowhere else; tensors, arrays and lists are taken alike.

What passes is returned as a tensor; what does not raises ClipkitError. Settings that are None were not given, and pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown


def tensor(x, what: str) -> Tensor:
    """`x` itself if it is a tensor, else a tensor with the numbers of an array or of (nested) lists."""
    if isinstance(x, Tensor):
        return x
    kind = type(x).__name__
    try:
        x = np.asarray(x)
        if x.dtype.kind == "u" and x.dtype.itemsize > 1:
            x = x.astype(np.int64)
        return torch.from_numpy(x if min(x.strides, default=0) >= 0 else x.copy())
    except (TypeError, ValueError, RuntimeError):
        raise ClipkitError(f"{what}: want a tensor, an array or a list of numbers, got {kind}") from None


def finite(x: Tensor, what: str) -> Tensor:
    """`x` (N, ...) if no number of it is NaN or infinite."""
    if x.is_floating_point() and not torch.isfinite(x.detach().sum(dtype=torch.promote_types(x.dtype, torch.float32))):
        bad = (~torch.isfinite(x)).reshape(len(x) if x.ndim else 1, -1).any(1).nonzero().flatten()  # the sum alone may overflow
        if len(bad):
            raise ClipkitError(f"{what}: {len(bad)} rows hold NaN or infinite values, the first is row {int(bad[0])}; compute them again")
    return x


def features(x, what: str = "features", width: int | None = None, at_least: int = 1) -> Tensor:
    """Finite floating-point (N, D), N at least `at_least`, D equal to `width` if that is given; for logits and probabilities too."""
    x = tensor(x, what)
    if x.ndim != 2 or len(x) < at_least or not x.is_floating_point():
        raise ClipkitError(f"{what}: want floating-point numbers (N, D), N at least {at_least}, got {tuple(x.shape)} {x.dtype}")
    if width not in (None, x.shape[1]):
        raise ClipkitError(f"{what}: {x.shape[1]} dimensions where {width} are wanted; take all features from one model")
    return finite(x, what)


def unit(x: Tensor, what: str = "features") -> Tensor:
    """`x` (N, D) if every row is of unit length, to the rounding of half precision."""
    length = x.detach().float().norm(dim=1)
    row = int((length - 1).abs().argmax())
    if (length[row] - 1).abs() > 0.02:
        raise ClipkitError(f"{what} must be of unit length, row {row} has length {length[row]:.3g}; use F.normalize({what}, dim=-1)")
    return x


def labels(y, n: int, n_classes: int | None = None, what: str = "labels") -> Tensor:
    """(n,) int64, each in [0, n_classes)."""
    y = tensor(y, what)
    if y.shape != (n,) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ClipkitError(f"{what}: want {n} integers, got {tuple(y.shape)} {y.dtype}")
    if n and (int(y.min()) < 0 or (n_classes is not None and int(y.max()) >= n_classes)):
        wanted = "be 0 or more" if n_classes is None else f"lie between 0 and {n_classes - 1}"
        raise ClipkitError(f"{what} must {wanted}, got {int(y.min())} to {int(y.max())}")
    return y.long()


def support(x, y, text_weights=None, n_classes: int | None = None) -> tuple[Tensor, Tensor, Tensor | None, int]:
    """What a few-shot head learns from: features (N, D), labels (N,), text weights (C, D) or None, and C, on the features' device.

    C is the number of text weights if there are any, else `n_classes`, else the largest label plus one.
    """
    x = features(x)
    if text_weights is not None:
        text_weights = features(text_weights, "text weights", x.shape[1]).to(x)
        if n_classes not in (None, len(text_weights)):
            raise ClipkitError(f"n_classes = {n_classes}, but there are text weights of {len(text_weights)} classes; leave n_classes out")
        n_classes = len(text_weights)
    y = labels(y, len(x), n_classes).to(x.device)
    return x, y, text_weights, int(y.max()) + 1 if n_classes is None else n_classes


def fitted(head, name: str, x=None):
    """The fitted attribute `name` of a head, or, given test features (N, D), these on its device and in its dtype.

    D is the last dimension of the attribute.
    """
    weight = getattr(head, name, None)
    if weight is None:
        raise ClipkitError(f"this {type(head).__name__} is not fitted: call fit(...) first")
    return weight if x is None else features(x, width=weight.shape[-1]).to(weight)


def same_shape(*tensors: Tensor, what: str) -> None:
    """Whether all tensors are of one shape."""
    if len({tuple(t.shape) for t in tensors}) > 1:
        raise ClipkitError(f"{what} must be of one shape, got {', '.join(str(tuple(t.shape)) for t in tensors)}")


def vector(x, what: str = "values", at_least: int = 1) -> np.ndarray:
    """Finite numbers (N,) as a float64 array, N at least `at_least`."""
    x = tensor(x, what).detach().double().cpu()
    if x.ndim != 1 or len(x) < at_least:
        raise ClipkitError(f"{what}: want numbers (N,), N at least {at_least}, got shape {tuple(x.shape)}")
    return finite(x, what).numpy()


def paired(truth, scores) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors (N,), true values and scores, item by item."""
    truth, scores = vector(truth, "true values"), vector(scores, "scores")
    if len(truth) != len(scores):
        raise ClipkitError(f"{len(truth)} true values and {len(scores)} scores: give one score for each item")
    return truth, scores


def probabilities(p, what: str = "probabilities") -> Tensor:
    """(N, C), no number negative, rows that add up to 1 to the rounding of half precision."""
    p = features(p, what)
    sums = p.detach().double().sum(1)
    row = int((sums - 1).abs().argmax())
    wrong = f"row {row} adds up to {sums[row]:.3g}" if (sums[row] - 1).abs() > 1e-2 else ""
    wrong = f"one is {p.min():.3g}" if (p < 0).any() else wrong
    if wrong:
        raise ClipkitError(f"{what}: want rows that are not negative and sum to 1, but {wrong}; of logits give logits.softmax(1)")
    return p


def positive(**numbers: float | None) -> None:
    """Whether each number is above 0 and finite."""
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise ClipkitError(f"{name} must be positive, got {value}")


def at_least(low: float, **numbers: float | None) -> None:
    """Whether each number is finite and not below `low`."""
    for name, value in numbers.items():
        if value is not None and not low <= value < math.inf:
            raise ClipkitError(f"{name} must be at least {low}, got {value}")


def share(**numbers: float | None) -> None:
    """Whether each number lies in [0, 1]."""
    for name, value in numbers.items():
        if value is not None and not 0 <= value <= 1:
            raise ClipkitError(f"{name} must lie between 0 and 1, got {value}")


def one_of(kind: str, name: str, names: Iterable[str]) -> None:
    """Whether a name is among those that are known."""
    if name not in names:
        raise unknown(kind, name, names)
