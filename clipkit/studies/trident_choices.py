"""How label maps come of cosines, and what is chosen on validation scenes for the page on Trident.

The only setting that every arm has is one number, added to the cosines of the background's words; it is chosen for each arm on
validation scenes by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from clipkit.dense.affinity import filtered_affinity
from clipkit.dense.metrics import boundary_iou, iou_of
from clipkit.dense.proxy import resize
from clipkit.dense.refinement import Refined, find_regions, propose, vote
from clipkit.dense.segmenter import Embedding
from clipkit.dense.smoothing import colour_smoothing
from clipkit.dense.text import segment
from clipkit.errors import ClipkitError
from clipkit.studies.trident_bench import BASE, KEPT, STRIPPED, Bench, encode, in_windows, one_pass, spread_scores

MINIMAL_AREA = 16  # pixels of a region that is prompted
OFFSETS = tuple(round(-0.2 + 0.025 * i, 3) for i in range(27))  # of the background, in cosine


def choose_offset(scores: Tensor, groups: Tensor, truth: Tensor) -> float:
    """The background's offset with the best mean IoU on validation scenes; of equals the smallest in size."""
    found = {b: iou_of(matrix).mean for b, matrix in zip(OFFSETS, offset_confusions(scores, groups, truth), strict=True)}
    return max(found, key=lambda b: (round(found[b], 6), -abs(b)))


def offset_confusions(scores: Tensor, groups: Tensor, truth: Tensor, offsets: tuple[float, ...] = OFFSETS) -> list[Tensor]:
    """The confusion matrix (C, C) at each ascending offset of the background's words, all from one pass over the pixels.

    A pixel is background where its margin, best other word minus best background word, is at most the offset; so one table of
    (how many offsets lie below the margin, true class, best other class) holds all matrices.
    """
    n, levels = int(groups.max()) + 1, torch.tensor(offsets)
    if len(scores) != len(truth):
        raise ClipkitError(f"{len(scores)} maps and {len(truth)} label maps do not go together")
    table = torch.zeros((len(offsets) + 1) * n * n, dtype=torch.int64)
    for part, labels in zip(scores.split(16), truth.split(16), strict=True):
        fine = resize(part, tuple(labels.shape[-2:]))
        back, (fore, name) = fine[:, groups == 0].amax(1), fine[:, groups > 0].max(1)
        below = torch.bucketize(fore - back, levels)  # offsets smaller than the margin
        table += torch.bincount(((below * n + labels) * n + groups[groups > 0][name]).flatten(), minlength=len(table))
    table = table.reshape(-1, n, n)
    above = table.flip(0).cumsum(0).flip(0)[1:]  # [j]: pixels with a margin above offset j
    matrices = above.clone()
    matrices[:, :, 0] += table.sum(2).cumsum(0)[:-1]
    return list(matrices)


def labels_of(scores: Tensor, groups: Tensor, size: tuple[int, int], offset: float) -> tuple[Tensor, Tensor]:
    """Label maps and probabilities at picture size (see `segment`), a few pictures at a time."""
    parts = [segment(part, size, groups, background=offset) for part in scores.split(16)]
    return torch.cat([p.labels for p in parts]), torch.cat([p.probabilities for p in parts])


@dataclass
class Drawn:
    """Scenes with everything that several arms need: `pixels` (N, 3, S, S) in 0..1, true `labels` (N, S, S), the segmenter's
    embeddings, and the cosines of every arm."""

    scenes: object
    pixels: Tensor
    labels: Tensor
    embeddings: list[Embedding]
    scores: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.labels.shape[-2:])


@torch.no_grad()
def look(bench: Bench, scenes, arms: bool = True) -> Drawn:
    """What all models make of scenes (`clipkit.datasets.segmentation.LabelledScenes`)."""
    from clipkit.dense.segmenter import to_pixels

    pixels = to_pixels(scenes.images)
    drawn = Drawn(scenes, pixels, torch.from_numpy(scenes.labels), encode(bench, pixels))
    if arms:
        segments = torch.from_numpy(scenes.instances.astype(np.int64))
        drawn.scores = one_pass(bench, pixels) | in_windows(bench, pixels, drawn.embeddings, segments)
    return drawn


def best_miou(scores: Tensor, groups: Tensor, truth: Tensor) -> float:
    """Mean IoU at the best offset: what a setting is chosen by on validation scenes."""
    return max(iou_of(matrix).mean for matrix in offset_confusions(scores, groups, truth, OFFSETS[::2]))


@torch.no_grad()
def choose_constants(
    bench: Bench, drawn: Drawn, sigmas=(1.0, 2.0, 5.0), betas=(1.0, 1.2), gammas=(3.0, 10.0), facs=(0.0, 1.2, 3.0, 6.0)
) -> Bench:
    """The bench with its constants chosen one after the other on validation scenes: σ of NACLIP; whether the last block is kept, β and
    γ of the guide together, by averaged scores from windows; then cos_fac of the global step."""

    def best(options, scores):
        found = [best_miou(score, bench.groups, drawn.labels) for score in scores]
        return options[int(np.argmax(found))]

    near = (bench.with_(sigma=s).maps(drawn.pixels, ["naclip"], bench.side)[0] for s in sigmas)
    sigma = best(sigmas, [m.averaged(bench.text) for m in near])
    options, maps = [], []
    for beta in betas:
        for gamma in gammas:
            options += [{"keep": keep, "beta": beta, "gamma": gamma} for keep in (False, True)]
            maps += bench.with_(beta=beta, gamma=gamma).maps(drawn.pixels, [STRIPPED, KEPT], bench.side)
    constants = best(options, [m.averaged(bench.text) for m in maps])
    sizes, grid = [len(e.features) for e in drawn.embeddings], drawn.embeddings[0].grid
    whole = maps[options.index(constants)].spliced().split(sizes)

    def spread(fac):
        affinity = (filtered_affinity(e.attention, e.values, fac, bench.cap) for e in drawn.embeddings)
        return torch.cat([spread_scores(bench, m, a, grid) for m, a in zip(whole, affinity, strict=True)])

    return bench.with_(sigma=sigma, **constants, cos_fac=best(facs, [spread(fac) for fac in facs]))


@dataclass(frozen=True)
class Choices:
    """What was chosen on validation scenes: the background's offset of every arm, how sure the segmenter must be and whether the
    background is prompted too, and how many steps of colour smoothing."""

    offsets: dict[str, float]
    iou_thresh: float
    skip: tuple[int, ...]
    steps: int


def choose(bench: Bench, drawn: Drawn, thresholds=(0.5, 0.65, 0.8), steps=(2, 5, 10)) -> Choices:
    """Offsets by mean IoU; refinement and smoothing, both after the global step, by boundary IoU."""
    offsets = {arm: choose_offset(scores, bench.groups, drawn.labels) for arm, scores in drawn.scores.items()}
    n = int(bench.groups.max()) + 1
    score = lambda labels: boundary_iou(labels, drawn.labels, n).mean  # noqa: E731
    coarse = labels_of(drawn.scores[BASE], bench.groups, drawn.size, offsets[BASE])
    tried = [
        (t, skip, s) for skip in ((), (0,)) for t, s in zip(thresholds, sharpened(bench, drawn, *coarse, thresholds, skip), strict=True)
    ]
    sharp = [score(torch.cat([part.labels for part in s])) for _, _, s in tried]
    smooth = [score(smoothed(drawn, *coarse, n_steps)) for n_steps in steps]
    return Choices(offsets, *tried[int(np.argmax(sharp))][:2], steps[int(np.argmax(smooth))])


def sharpened(
    bench: Bench, drawn: Drawn, labels: Tensor, p: Tensor, thresholds: tuple[float, ...], skip: tuple[int, ...]
) -> list[list[Refined]]:
    """For each threshold of the expected IoU the refined maps, a few pictures at a time; every region is prompted once."""
    out, start = [[] for _ in thresholds], 0
    for e in drawn.embeddings:
        rows = slice(start, start + len(e.features))
        start = rows.stop
        regions = find_regions(labels[rows], p[rows], MINIMAL_AREA, skip=skip)
        answers = propose(bench.segmenter, drawn.pixels[rows], regions, p[rows], e)
        for parts, threshold in zip(out, thresholds, strict=True):
            parts.append(vote(answers, labels[rows], p[rows], threshold))
    return out


def smoothed(drawn: Drawn, labels: Tensor, p: Tensor, steps: int) -> Tensor:
    """Labels (N, S, S) after `colour_smoothing` of the classes that the coarse map of each picture has."""
    out = torch.empty_like(labels)
    for i in range(len(labels)):
        names = labels[i].unique()
        fine = colour_smoothing(p[i : i + 1, names], drawn.pixels[i : i + 1], steps, (1, 2, 4))
        out[i] = names[fine[0].argmax(0)]
    return out
