"""What all arms of the page on Trident share: models, words and sizes, and the cosines of every arm.

Every arm is a tensor of cosines (N, R, h, w) between cells and words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.dense.affinity import aggregate, filtered_affinity, label_affinity
from clipkit.dense.attention import Mode
from clipkit.dense.patches import project
from clipkit.dense.proxy import colour_features, proxy_matrix
from clipkit.dense.segmenter import Embedding, Segmenter
from clipkit.dense.text import cosines
from clipkit.dense.trident_windows import window_maps

MODES_SHOWN = ("vanilla", "maskclip", "clearclip", "sclip", "naclip")
STRIPPED, KEPT = Mode("proxy"), Mode("proxy", residual=True, mlp=True)
BASE = "spliced_with_global_step"  # the map that refinement starts from
BATCH = 16  # pictures that are encoded at once


@dataclass(frozen=True)
class Bench:
    """Models, words and sizes that all arms share.

    Attributes:
        clip: a DualEncoder. guide: pixels in 0..1 (M, 3, c, c) to features (M, C, h, w). segmenter: sees whole pictures.
        text (R, D), groups (R,), see `text_classifier`. normalise: pixels in 0..1 to what `clip` takes.
        side: pixels of the picture that CLIP sees in windows of `crop` every `stride`; one pass sees it at `crop` pixels.
        keep: whether "proxy" keeps the residual and the MLP of the last block, which the published method drops.
        beta, gamma: see `proxy_matrix`. cos_fac, cap: see `filtered_affinity`. sigma: see `neighbourhood`.
    """

    clip: object
    guide: Callable[[Tensor], Tensor]
    segmenter: Segmenter
    text: Tensor
    groups: Tensor
    normalise: Callable[[Tensor], Tensor]
    side: int = 64
    crop: int = 32
    stride: int = 16
    beta: float = 1.2
    gamma: float = 3.0
    cos_fac: float = 1.2
    cap: float = 0.9
    sigma: float = 5.0
    keep: bool = False

    @property
    def proxy(self) -> Mode:
        """The mode of the arms that a guide spreads."""
        return KEPT if self.keep else STRIPPED

    def with_(self, **changes) -> Bench:
        """The same with some settings changed."""
        return replace(self, **changes)

    def maps(self, pixels: Tensor, modes, side: int) -> list:
        """`window_maps` of pictures (N, 3, S, S) in 0..1 brought to `side` pixels."""
        options = {"guide": self.guide, "beta": self.beta, "gamma": self.gamma, "sigma": self.sigma}
        return window_maps(self.clip, shrunk(pixels, side), list(modes), self.crop, self.stride, self.normalise, **options)


def shrunk(pixels: Tensor, side: int) -> Tensor:
    """Pictures (N, 3, S, S) at another size, antialiased."""
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


@torch.no_grad()
def encode(bench: Bench, pixels: Tensor, batch: int = BATCH) -> list[Embedding]:
    """What the segmenter knows of whole pictures, a few at a time."""
    return [bench.segmenter.encode(part) for part in pixels.split(batch)]


@torch.no_grad()
def one_pass(bench: Bench, pixels: Tensor) -> dict[str, Tensor]:
    """Cosines when CLIP sees the picture once, small: the published modes, and values spread by a guide or by plain colour."""
    names = [*MODES_SHOWN, "proxy_dino"]
    maps = bench.maps(pixels, [*MODES_SHOWN, bench.proxy], bench.crop)
    found = {name: m.averaged(bench.text) for name, m in zip(names, maps, strict=True)}
    grid = tuple(found["vanilla"].shape[-2:])
    plain = bench.with_(guide=lambda x: colour_features(x, grid))
    return found | {"proxy_colour": plain.maps(pixels, [bench.proxy], bench.crop)[0].averaged(bench.text)}


@torch.no_grad()
def in_windows(bench: Bench, pixels: Tensor, embeddings: list[Embedding], segments: Tensor | None = None) -> dict[str, Tensor]:
    """Cosines from windows. "windows_…": the published modes, scores averaged. Then CLIP's values spread by the guide:
    "averaged_logits", "spliced", and "spliced_with_global_step" by the segmenter; "global_dino", "global_colour" and "global_truth":
    the same with other affinities; "averaged_then_global": scores spread in place of features; "other_averaged", "other_global",
    "other_truth": with the last block stripped where it is kept, and kept where it is stripped.

    Args: segments: true segments (N, S, S), for "global_truth".
    """
    names = ["vanilla", "maskclip", "sclip", "naclip"]
    *modes, proxy, other = bench.maps(pixels, [*names, bench.proxy, bench.with_(keep=not bench.keep).proxy], bench.side)
    found = {f"windows_{name}": m.averaged(bench.text) for name, m in zip(names, modes, strict=True)}
    found |= {
        "averaged_logits": proxy.averaged(bench.text),
        "spliced": proxy.scores(bench.text),
        "other_averaged": other.averaged(bench.text),
    }
    sizes, grid = [len(e.features) for e in embeddings], embeddings[0].grid
    whole, averaged = ({"": proxy.spliced().split(sizes), "other": other.spliced().split(sizes)}, found["averaged_logits"].split(sizes))
    parts: dict[str, list[Tensor]] = {}
    for i, (e, seen) in enumerate(zip(embeddings, pixels.split(sizes), strict=True)):
        kinds = {BASE: filtered_affinity(e.attention, e.values, bench.cos_fac, bench.cap)}
        kinds["global_dino"] = proxy_matrix(bench.guide(shrunk(seen, 4 * grid[0])), bench.beta, bench.gamma)
        kinds["global_colour"] = proxy_matrix(colour_features(seen, grid), bench.beta, bench.gamma)
        if segments is not None:
            kinds["global_truth"] = label_affinity(segments.split(sizes)[i], grid)
            parts.setdefault("other_truth", []).append(spread_scores(bench, whole["other"][i], kinds["global_truth"], grid))
        for kind, affinity in kinds.items():
            parts.setdefault(kind, []).append(spread_scores(bench, whole[""][i], affinity, grid))
        parts.setdefault("other_global", []).append(spread_scores(bench, whole["other"][i], kinds[BASE], grid))
        parts.setdefault("averaged_then_global", []).append(aggregate(averaged[i], kinds[BASE], grid))
    return found | {kind: torch.cat(part) for kind, part in parts.items()}


def spread_scores(bench: Bench, maps: Tensor, affinity: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cosines of spliced maps (N, W, h, w) after an affinity (N, M, M) has spread them."""
    return cosines(project(bench.clip, aggregate(maps, affinity, grid)), bench.text)
