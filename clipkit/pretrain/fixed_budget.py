"""Contrastive training at a fixed budget of steps: what comes out depends on the pairs, and only on them.

For pages that compare *data* (curated, rewritten, captioned, generated): model, loss, schedule and number of pairs seen are
the same for every arm. The image tower is frozen as a rule, so that pictures are features (N, F) and a training takes seconds;
pixels (N, 3, S, S) and a whole model work too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.pretrain.frozen_clip import ProjectionHeads, feature_batches
from clipkit.pretrain.losses import info_nce
from clipkit.train import train

THIRDS = ("head", "middle", "tail")


def budget_clip(
    images: Tensor,
    tokens: Tensor,
    module: object = None,
    *,
    steps: int,
    vocabulary: int | None = None,
    batch: int = 256,
    lr: float = 2e-3,
    seed: int = 0,
    weights: Tensor | None = None,
    draws: Tensor | None = None,
    mix: Sequence[float] | None = None,
    loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    **options,
):
    """Train a small CLIP for `steps` steps of `batch` pairs.

    Args:
        images: cached features (N, F), or pixels for a module of one's own. N may be smaller than a batch only with `draws`.
        tokens: (N, L) int64, or (N, K, L) for K texts a picture: each visit draws one of them, by `mix` (K,) or evenly.
        module: anything with encode_image, encode_text and logit_scale: a `ProjectionHeads`, a DualEncoder. None: new `TwoHeads`
            from `seed` for these features, with a learnt temperature. It is trained in place.
        vocabulary: of new heads; None: the tokens seen here, so that no other can be asked about later.
        seed: of new weights, of the order, of the texts drawn.
        weights: (N,) not negative: a pair's weight in the loss (see `weighted_info_nce`).
        draws: (N,) not negative: pairs are drawn with replacement in proportion. None: passes without replacement.
        loss: (image_features, text_features, logit_scale) -> 0-d tensor; None for InfoNCE.
        options: go to `clipkit.train` (warmup, weight_decay, ema, precision, after_step ...).

    Returns: the trained module, in evaluation mode.
    Raises: ClipkitError for shapes that do not fit, NaN, weights that are negative or all zero, weights with a loss of one's own.
    """
    _checked(images, tokens, weights, draws, mix)
    if weights is not None and loss is not None:
        raise ClipkitError("weights belong to InfoNCE; a loss of your own must weigh its pairs itself")
    if module is None:
        if images.ndim != 2:
            raise ClipkitError(f"images of shape {tuple(images.shape)} are no features; give a module that encodes them: small_clip(seed)")
        module = ProjectionHeads(images.shape[1], vocabulary or int(tokens.max()) + 1, seed, learnt=True).to(images.device)
    relative = None if weights is None else weights / weights.mean()

    def objective(_: nn.Module, rows_and_texts: tuple[Tensor, Tensor]) -> Tensor:
        rows, texts = rows_and_texts
        v, t = module.encode_image(images[rows]), module.encode_text(texts)
        if relative is not None:
            return weighted_info_nce(v, t, module.logit_scale, relative[rows])
        return (loss or info_nce)(v, t, module.logit_scale)

    trained = module if isinstance(module, nn.Module) else module.module
    train(trained, _batches(tokens, batch, seed, draws, mix), objective, steps, lr=lr, **options)
    return module


def _batches(tokens: Tensor, batch: int, seed: int, draws: Tensor | None, mix: Sequence[float] | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows (B,) and (B, L) of their tokens, for ever."""
    generator = torch.Generator().manual_seed(seed)
    every = torch.arange(len(tokens))
    order = feature_batches(every, every, batch, seed) if draws is None else None
    chance = None if draws is None else draws.double().cpu()
    shares = torch.ones(tokens.shape[1]) if mix is None and tokens.ndim == 3 else None if mix is None else torch.tensor(mix)
    while True:
        rows = next(order)[0] if order is not None else torch.multinomial(chance, batch, replacement=True, generator=generator)
        rows = rows.to(tokens.device)
        if tokens.ndim == 2:
            yield rows, tokens[rows]
        else:
            yield rows, tokens[rows, torch.multinomial(shares, len(rows), replacement=True, generator=generator).to(tokens.device)]


def weighted_info_nce(image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float, weights: Tensor) -> Tensor:
    """InfoNCE in which pair i counts weights[i] times as an anchor, in both directions; equal weights of 1 give `info_nce`.

    Args: features (B, D), unit norm; weights (B,), not negative. The sum is divided by B, not by the weights of the batch, so
    that a batch of light pairs moves the model little. Negatives are not weighted.
    """
    logits = logit_scale * image_features @ text_features.T
    target = torch.arange(len(logits), device=logits.device)
    each = F.cross_entropy(logits, target, reduction="none") + F.cross_entropy(logits.T, target, reduction="none")
    return 0.5 * (weights * each).mean()


def rarity_weights(matches: Sequence[np.ndarray], counts: np.ndarray, power: float = 1.0) -> Tensor:
    """(N,) float32 with mean 1: (1 / count of the pair's rarest entry) ** power, 0 for a text without entries.

    The usual inverse-frequency weight, for texts that hold several counted strings.
    Raises: ClipkitError when no text has an entry.
    """
    rarest = np.array([float(counts[ids].min()) if len(ids) else np.inf for ids in matches])
    if not np.isfinite(rarest).any():
        raise ClipkitError("no text has an entry to weigh it by; match them with the metadata that was counted")
    weights = rarest**-power
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def frequency_thirds(frequency: np.ndarray) -> np.ndarray:
    """(C,) int: 0 for the most frequent third of the classes (head), 1 (middle), 2 for the rarest third (tail); ties by order.

    >>> frequency_thirds(np.array([5, 90, 1, 40, 7, 2])).tolist()
    [1, 0, 2, 0, 1, 2]

    Raises: ClipkitError for fewer than three classes.
    """
    frequency = np.asarray(frequency)
    if frequency.ndim != 1 or len(frequency) < 3:
        raise ClipkitError(f"thirds need the frequencies of three classes or more, got shape {frequency.shape}")
    place = np.empty(len(frequency), dtype=np.int64)
    place[np.argsort(-frequency, kind="stable")] = np.arange(len(frequency))
    return place * 3 // len(frequency)


def by_thirds(per_class: np.ndarray, frequency: np.ndarray) -> dict[str, float]:
    """Mean of per-class numbers (C,) over all classes ("mean") and over each third by frequency; NaN classes are left out.

    Raises: ClipkitError for lengths that differ, or a third in which every class is NaN.
    """
    per_class, third = np.asarray(per_class, dtype=float), frequency_thirds(frequency)
    if per_class.shape != third.shape:
        raise ClipkitError(f"one number and one frequency a class: {per_class.shape} and {third.shape}")
    if any(np.isnan(per_class[third == k]).all() for k in range(3)):
        raise ClipkitError("a third of the classes has no test picture at all; take more test pictures")
    return {"mean": float(np.nanmean(per_class)), **{name: float(np.nanmean(per_class[third == k])) for k, name in enumerate(THIRDS)}}


def balanced_rows(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """(size,) rows, as equally many of each class as there are: classes that run out leave their share to the others. -1 is no class.

    Raises: ClipkitError when fewer than `size` rows have a class.
    """
    labels = np.asarray(labels)
    if (labels >= 0).sum() < size:
        raise ClipkitError(f"{size} rows are wanted and {(labels >= 0).sum()} have a class")
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[labels[order] >= 0]
    turn = np.empty(len(order), dtype=np.int64)  # how manieth of its class each row is, in random order
    for c in np.unique(labels[order]):
        mine = labels[order] == c
        turn[mine] = np.arange(mine.sum())
    return np.sort(order[np.argsort(turn, kind="stable")[:size]])


def _checked(images: Tensor, tokens: Tensor, weights: Tensor | None, draws: Tensor | None, mix: Sequence[float] | None) -> None:
    if tokens.ndim not in (2, 3) or len(tokens) != len(images) or not len(images):
        raise ClipkitError(f"want (N, L) or (N, K, L) tokens for N pictures; got {tuple(tokens.shape)} for {len(images)}")
    checks.finite(images, "images")
    for name, given in (("weights", weights), ("draws", draws)):
        if given is not None and not (given.shape == (len(images),) and (given >= 0).all() and given.sum() > 0):
            raise ClipkitError(f"{name}: one number a pair, none negative, not all zero; got shape {tuple(given.shape)}")
    if mix is not None and not (tokens.ndim == 3 and len(mix) == tokens.shape[1] and min(mix) >= 0 and sum(mix) > 0):
        raise ClipkitError(f"mix gives one share for each of the K texts of tokens (N, K, L); got {len(mix)} for {tuple(tokens.shape)}")
