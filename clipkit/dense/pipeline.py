"""Training-free segmentation with CLIP: three choices tell the published methods apart.

An arm is (what mixes CLIP's values in its last block, how windows are joined, whose affinity spreads the map): MaskCLIP is
("maskclip", "decisions"), ProxyCLIP ("guide", "decisions"), Trident before its last step ("guide", "vectors", "segmenter").

Letters: N pictures of H × W pixels, R words, h × w cells.
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
from clipkit.dense.background import OFFSETS
from clipkit.dense.proxy import colour_features, proxy_matrix
from clipkit.dense.segmenter import Embedding, Segmenter
from clipkit.dense.trident_windows import Windowed, window_maps


@dataclass(eq=False)
class ScenePictures:
    """`pixels` (N, 3, H, W) in 0..1 as the segmenter sees them, `labels` (N, H, W), 255 where nothing is known; `segments` (N, H, W),
    what belongs together; `large` (N, 3, …): the same pictures as CLIP is shown them, if not `pixels`."""

    pixels: Tensor
    labels: Tensor
    segments: Tensor
    large: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def picture(self, i: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        return (255 * self.pixels[i]).round().byte().permute(1, 2, 0).numpy()

    def __getitem__(self, rows: slice) -> ScenePictures:
        large = None if self.large is None else self.large[rows]
        return ScenePictures(self.pixels[rows], self.labels[rows], self.segments[rows], large)


@dataclass(frozen=True)
class Pipeline:
    """Models, words, sizes and constants that all arms share.

    Attributes:
        clip: a DualEncoder. guide: pixels in 0..1 (M, 3, H, W) and (h, w) to features (M, C, h, w). segmenter: sees whole pictures.
        text (R, D), groups (R,), see `text_classifier`. normalise: pixels in 0..1 to what `clip` takes.
        side: pixels of a picture's shorter side as CLIP sees it, through windows of `crop` every `stride`.
        patch: pixels of CLIP's cells; the guide's are half as wide, and CLIP's values are brought to its grid.
        guided: whether the guide mixes the values of arms called "chosen", or CLIP itself.
        keep: whether CLIP's last block keeps its residual and MLP beside the guide, which the published method drops.
        beta, gamma: see `proxy_matrix`. sigma: see `neighbourhood`. cos_fac: see `filtered_affinity`.
        offsets: of the background that may be chosen, see `miou_by_offset`.
    """

    clip: object
    guide: Callable[[Tensor, tuple[int, int]], Tensor]
    segmenter: Segmenter
    text: Tensor
    groups: Tensor
    normalise: Callable[[Tensor], Tensor]
    side: int = 64
    crop: int = 32
    stride: int = 16
    patch: int = 4
    guided: bool = True
    keep: bool = False
    beta: float = 1.2
    gamma: float = 3.0
    sigma: float = 5.0
    cos_fac: float = 1.2
    offsets: Sequence[float] = OFFSETS

    @torch.no_grad()
    def cosines(self, pictures: ScenePictures, arms: Mapping[str, tuple]) -> dict[str, Tensor]:
        """Arm -> cosines (N, R, h, w) of cells and words. An arm is (values mixed by, joined, and perhaps: spread by).

        mixed by: a published mode of the last block, "guide" or "colour" with the block as `keep` says, "chosen" as `guided` says.
        joined: "one pass" (the picture seen once, small), "decisions" or "vectors" of windows. spread by: see `affinity`.
        """
        colour = {arm: ("guide", *how) for arm, (mix, *how) in arms.items() if mix == "colour"}
        rest = {arm: how for arm, how in arms.items() if arm not in colour}
        return self._cosines(pictures, rest) | self._blind().cosines(pictures, colour) if colour else self._cosines(pictures, rest)

    def _cosines(self, some: ScenePictures, arms: Mapping[str, tuple]) -> dict[str, Tensor]:
        maps, affinities, found, grid = {}, {}, {}, None
        if any(spread for _, _, *spread in arms.values()):
            grid = (seen := self.segmenter.encode(some.pixels)).grid
        for once in (True, False):
            if mixes := list(dict.fromkeys(mix for mix, joined, *_ in arms.values() if (joined == "one pass") == once)):
                windowed = self.maps(some, mixes, once)
                maps |= {(mix, once): m for mix, m in zip(mixes, windowed, strict=True)}
        for arm, (mix, joined, *spread) in arms.items():
            for of in set(spread) - set(affinities):
                affinities[of] = self.affinity(some, of, seen)
            affinity, windowed = affinities[spread[0]] if spread else None, maps[mix, joined == "one pass"]
            found[arm] = windowed.scores(self.text, affinity, grid) if joined == "vectors" else windowed.averaged(self.text)
            if spread and joined != "vectors":
                found[arm] = aggregate(found[arm], affinity, grid)
        return found

    def maps(self, some: ScenePictures, mixes: Sequence[str], once: bool = False) -> list[Windowed]:
        """What windows of some pictures hold, for each way to mix CLIP's values; `once`: one window, the whole picture, small."""
        guided = Mode("proxy", residual=self.keep, mlp=self.keep)
        modes = [{"guide": guided, "chosen": guided if self.guided else "vanilla"}.get(mix, mix) for mix in mixes]
        pixels = shrink(some.pixels if some.large is None else some.large, self.crop if once else self.side, self.patch)
        crop = max(pixels.shape[-2:]) if once else self.crop
        guide = lambda x: self.guide(x, tuple(2 * n // self.patch for n in x.shape[-2:]))  # noqa: E731
        constants = {"guide": guide, "beta": self.beta, "gamma": self.gamma, "sigma": self.sigma}
        return window_maps(self.clip, pixels, modes, crop, min(crop, self.stride), self.normalise, **constants)

    def _blind(self) -> Pipeline:
        """The same with a guide that knows nothing: colours and places."""
        return replace(self, guide=colour_features)

    def affinity(self, some: ScenePictures, of: str, seen: Embedding | None = None) -> Tensor:
        """Who belongs together in whole pictures, (N, M, M), according to "segmenter", "dino", "colour" or "truth".

        Args: seen: what the segmenter's `encode` gave for these pictures, if it is there already.
        """
        e = self.segmenter.encode(some.pixels) if seen is None else seen
        if of == "segmenter":
            return filtered_affinity(e.attention, e.values, self.cos_fac)
        if of == "truth":
            return label_affinity(some.segments, e.grid)
        return proxy_matrix((self.guide if of == "dino" else colour_features)(some.pixels, e.grid), self.beta, self.gamma)


def shrink(pixels: Tensor, side: int, cell: int = 1) -> Tensor:
    """Pictures (N, 3, H, W) whose shorter side is brought to `side` pixels, the longer to as many cells as fit best; antialiased."""
    height, width = pixels.shape[-2:]
    size = [side if n == min(height, width) else max(side, cell * round(n * side / min(height, width) / cell)) for n in (height, width)]
    return pixels if size == [height, width] else F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
