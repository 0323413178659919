"""Counting by blocks: whole-number bins, a classifier whose class weights may be sentences, and the DACE loss.

A picture is cut into blocks of r × r pixels; each block's number of dots is a class; the expected number is its density.

Letters: B pictures, h × w blocks, K bins, C channels of the frozen tower's map, D joint dimensions, M dots of a picture.
Source: CLIP-EBC, arXiv:2403.09281; released code: Yiming-M/CLIP-EBC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit import checks
from clipkit.dense.transport import dm_count_loss
from clipkit.errors import ClipkitError

Bins = Sequence[tuple[float, float]]
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def count_bins(n: int) -> list[tuple[float, float]]:
    """{0}, {1}, ... {n − 1}, and one bin for n and more.

    >>> count_bins(2)
    [(0, 0), (1, 1), (2, inf)]
    """
    checks.at_least(1, n=n)
    return [*((k, k) for k in range(n)), (n, math.inf)]


def real_bins(most: float, step: float) -> list[tuple[float, float]]:
    """{0}, (0, step], (step, 2 step], ... up to `most`, and one bin for all above: what blurred dots need.

    >>> real_bins(1, 0.5)
    [(0, 0), (0, 0.5), (0.5, 1.0), (1.0, inf)]
    """
    checks.positive(most=most, step=step)
    edges = [step * k for k in range(1, round(most / step) + 1)]
    return [(0, 0), *pairwise([0, *edges, math.inf])]


def count_sentences(bins: Bins, noun: str = "object") -> list[str]:
    """A sentence for each whole-number bin. The released code says "more than four" of four and more; this says "or more".

    >>> count_sentences(count_bins(2), "person")
    ['There is no person.', 'There is one person.', 'There are two or more persons.']
    """
    told = [WORDS[int(low)] if low < len(WORDS) else str(int(low)) for low, _ in bins]
    plain = [f"There {'is' if low < 2 else 'are'} {word} {noun}{'s' * (low > 1)}." for word, (low, _) in zip(told, bins, strict=True)]
    return [*plain[:-1], f"There are {told[-1]} or more {noun}s."]


def bin_classes(counts: Tensor, bins: Bins) -> Tensor:
    """The bin of each number, int64 of the same shape.

    Raises ClipkitError where bins are whole numbers and a count is not (the released code then says 0 without a word), or is negative.
    """
    whole = all(right[0] == left[1] + 1 for left, right in pairwise(bins))
    if whole and counts.is_floating_point() and (counts != counts.round()).any():
        odd = counts[counts != counts.round()][0].item()
        raise ClipkitError(f"bins of whole numbers take whole counts, got {odd:.3g}: leave the dots unblurred, or use real_bins")
    if (counts < 0).any():
        raise ClipkitError(f"counts are not negative, got {counts.min().item():g}")
    edges = torch.tensor([high for _, high in bins[:-1]], dtype=torch.float32, device=counts.device)
    return torch.bucketize(counts.float(), edges)


def anchor_points(counts: Tensor, bins: Bins, mode: str = "mean") -> Tensor:
    """The number that each bin stands for, (K,) float32: the mean of the training blocks in it, or its "value" (its middle, or low end).

    A bin without a training block has its value. Raises ClipkitError: an unknown mode.
    """
    checks.one_of("mode of anchor points", mode, ("mean", "value"))
    anchors = torch.tensor([low if high == math.inf else (low + high) / 2 for low, high in bins], dtype=torch.float32)
    if mode == "mean":
        classes, flat = bin_classes(counts, bins).flatten(), counts.flatten().float()
        n = classes.bincount(minlength=len(bins))
        sums = torch.zeros(len(bins)).index_add(0, classes, flat)
        anchors = torch.where(n > 0, sums / n.clamp(min=1), anchors)
    return anchors


class ResidualDecoder(nn.Module):
    """Maps (B, C, h, w) of a frozen tower to (B, D, h, w): narrow to `width`, one residual block, a 1 × 1 convolution.

    No normalisation over places: how full a picture is must pass. The block starts as the identity.
    """

    def __init__(self, channels: int, out: int, width: int = 32):
        super().__init__()
        self.narrow, self.first = nn.Conv2d(channels, width, 1), nn.Conv2d(width, width, 3, padding=1)
        self.second, self.out = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, out, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.narrow(x))
        return self.out(F.relu(x + self.second(F.relu(self.first(x)))))


class BlockwiseCounter(nn.Module):
    """A decoder whose vectors are compared with one code a bin: logits e^τ x̂·ĝ_k, density Σ p_k a_k.

    Args: channels: C. anchors: (K,), see `anchor_points`. codes: (K, D), text features or any others; of any length, not zero.
        learn: whether training may change the codes. width: of the decoder. scale: e^τ at the start; codes that are much alike need more.
    """

    def __init__(self, channels: int, anchors: Tensor, codes: Tensor, learn: bool = False, width: int = 32, scale: float = 1 / 0.07):
        super().__init__()
        checks.features(codes, "codes", at_least=2)
        checks.positive(scale=scale)
        if anchors.shape != (len(codes),):
            raise ClipkitError(f"{len(codes)} codes and anchors of shape {tuple(anchors.shape)}: give one of each for every bin")
        self.decoder = ResidualDecoder(channels, codes.shape[1], width)
        self.register_buffer("anchors", anchors.clone())
        self.codes = nn.Parameter(codes.detach().clone(), requires_grad=learn)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))  # τ: its own, not CLIP's

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, C, h, w) to logits (B, K, h, w) and densities (B, h, w), none above the largest anchor."""
        x = F.normalize(self.decoder(maps), dim=1)
        logits = self.log_scale.exp() * torch.einsum("bdhw,kd->bkhw", x, F.normalize(self.codes, dim=1))
        return logits, torch.einsum("bkhw,k->bhw", logits.softmax(1), self.anchors)


def dace_loss(
    logits: Tensor, density: Tensor, counts: Tensor, bins: Bins, count_loss: str = "l1", weight: float = 1.0, **dm
) -> dict[str, Tensor]:
    """Cross-entropy of the blocks' bins (summed over blocks, so it grows with the picture) plus `weight` times a loss on the numbers.

    Args: logits, density: of `BlockwiseCounter`. counts: (B, h, w). count_loss: "l1", |d̂ − d| summed over blocks, or "dm", which
        needs dots, reduction, and takes options, see `dm_count_loss`.
    Returns: "loss", and its parts "cross_entropy" and "count". Raises ClipkitError: see `bin_classes`; an unknown loss.
    """
    checks.one_of("loss on the count", count_loss, ("l1", "dm"))
    checks.same_shape(density, counts, what="densities and counts")
    entropy = F.cross_entropy(logits, bin_classes(counts, bins), reduction="none").sum((1, 2)).mean()
    off = dm_count_loss(density, counts, **dm) if count_loss == "dm" else (density - counts).abs().sum((1, 2)).mean()
    return {"loss": entropy + weight * off, "cross_entropy": entropy, "count": off}
