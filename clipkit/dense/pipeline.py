"""Training-free segmentation with CLIP: three choices tell the published methods apart.

An arm is (what mixes CLIP's values in its last block, how windows are joined, whose affinity spreads the map): MaskCLIP is
("maskclip", "decisions"), ProxyCLIP ("guide", "decisions"), Trident before its last step ("guide", "vectors", "segmenter").

Letters: N pictures of S × S pixels, R words, h × w cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.dense.affinity import aggregate, filtered_affinity, label_affinity
from clipkit.dense.attention import Mode
from clipkit.dense.proxy import colour_features, proxy_matrix
from clipkit.dense.segmenter import Embedding, Segmenter
from clipkit.dense.trident_windows import Windowed, window_maps

BATCH = 16  # pictures at once


@dataclass
class ScenePictures:
    """`pixels` (N, 3, S, S) in 0..1, `labels` (N, …) of pixels or of pictures, the segmenter's `embedding`; `segments` (N, S, S) and
    `scenes` (`LabelledScenes`) where the truth is known."""

    pixels: Tensor
    labels: Tensor
    embedding: Embedding
    segments: Tensor | None = None
    scenes: object = None

    def __len__(self) -> int:
        return len(self.pixels)

    def picture(self, i: int) -> np.ndarray:
        """(S, S, 3) uint8."""
        return (255 * self.pixels[i]).round().byte().permute(1, 2, 0).numpy()

    def __getitem__(self, rows: slice) -> ScenePictures:
        segments = None if self.segments is None else self.segments[rows]
        return ScenePictures(self.pixels[rows], self.labels[rows], self.embedding[rows], segments)


@dataclass(frozen=True)
class Pipeline:
    """Models, words, sizes and constants that all arms share.

    Attributes:
        clip: a DualEncoder. guide: pixels in 0..1 (M, 3, c, c) and n to features (M, C, n, n). segmenter: sees whole pictures.
        text (R, D), groups (R,), see `text_classifier`. normalise: pixels in 0..1 to what `clip` takes.
        side: pixels at which CLIP sees a picture, through windows of `crop` every `stride`.
        cells: n of the guide in a window; CLIP's values are brought to its grid.
        keep: whether CLIP's last block keeps its residual and MLP, which the published method drops.
        beta, gamma: see `proxy_matrix`. sigma: see `neighbourhood`. cos_fac: see `filtered_affinity`.
    """

    clip: object
    guide: Callable[[Tensor, int], Tensor]
    segmenter: Segmenter
    text: Tensor
    groups: Tensor
    normalise: Callable[[Tensor], Tensor]
    side: int = 64
    crop: int = 32
    stride: int = 16
    cells: int = 16
    keep: bool = False
    beta: float = 1.2
    gamma: float = 3.0
    sigma: float = 5.0
    cos_fac: float = 1.2

    @torch.no_grad()
    def cosines(self, pictures: ScenePictures, arms: Mapping[str, tuple]) -> dict[str, Tensor]:
        """Arm -> cosines (N, R, h, w) of cells and words. An arm is (values mixed by, joined, and perhaps: spread by).

        mixed by: a published mode of the last block, "guide" or "colour" with the block as `keep` says, "other": guide, block otherwise.
        joined: "one pass" (the picture seen once, small), "decisions" or "vectors" of windows. spread by: see `affinity`.
        """
        colour = {arm: ("guide", *how) for arm, (mix, *how) in arms.items() if mix == "colour"}
        rest = {arm: how for arm, how in arms.items() if arm not in colour}
        parts = [self._cosines(pictures[i : i + BATCH], rest) for i in range(0, len(pictures), BATCH)]
        found = {arm: torch.cat([part[arm] for part in parts]) for arm in rest}
        return found | self._blind().cosines(pictures, colour) if colour else found

    def _cosines(self, some: ScenePictures, arms: Mapping[str, tuple]) -> dict[str, Tensor]:
        maps, affinities, found = {}, {}, {}
        for once in (True, False):
            if mixes := list(dict.fromkeys(mix for mix, joined, *_ in arms.values() if (joined == "one pass") == once)):
                windowed = self.maps(some.pixels, mixes, self.crop if once else self.side)
                maps |= {(mix, once): m for mix, m in zip(mixes, windowed, strict=True)}
        for arm, (mix, joined, *spread) in arms.items():
            for of in set(spread) - set(affinities):
                affinities[of] = self.affinity(some, of)
            affinity, windowed = affinities[spread[0]] if spread else None, maps[mix, joined == "one pass"]
            found[arm] = windowed.scores(self.text, affinity) if joined == "vectors" else windowed.averaged(self.text)
            if spread and joined != "vectors":
                found[arm] = aggregate(found[arm], affinity)
        return found

    def maps(self, pixels: Tensor, mixes: Sequence[str], side: int) -> list[Windowed]:
        """What windows of pictures (N, 3, S, S), brought to `side` pixels, hold, for each way to mix CLIP's values."""
        own, other = (Mode("proxy", residual=keep, mlp=keep) for keep in (self.keep, not self.keep))
        modes = [{"guide": own, "other": other}.get(mix, mix) for mix in mixes]
        constants = {"guide": lambda x: self.guide(x, self.cells), "beta": self.beta, "gamma": self.gamma, "sigma": self.sigma}
        return window_maps(self.clip, shrink(pixels, side), modes, self.crop, self.stride, self.normalise, **constants)

    def _blind(self) -> Pipeline:
        """The same with a guide that knows nothing: colours and places."""
        return replace(self, guide=lambda x, n: colour_features(x, (n, n)))

    def affinity(self, some: ScenePictures, of: str) -> Tensor:
        """Who belongs together in whole pictures, (N, M, M), according to "segmenter", "dino", "colour" or "truth"."""
        e = some.embedding
        if of == "segmenter":
            return filtered_affinity(e.attention, e.values, self.cos_fac)
        if of == "truth":
            return label_affinity(some.segments, e.grid)
        features = self.guide(some.pixels, e.grid[0]) if of == "dino" else colour_features(some.pixels, e.grid)
        return proxy_matrix(features, self.beta, self.gamma)


def shrink(pixels: Tensor, side: int) -> Tensor:
    """Pictures (N, 3, S, S) at another size, antialiased."""
    size = {"size": (side, side), "mode": "bilinear", "antialias": True, "align_corners": False}
    return pixels if pixels.shape[-1] == side else F.interpolate(pixels, **size)
