"""The page on Trident: pictures and words for its arms, what is chosen on validation pictures, and what is measured beside mean IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.datasets import choose
from clipkit.datasets.pixel_labels import BACKGROUND, IGNORED, LabelledPhotographs, labelled_photographs
from clipkit.datasets.templates import PHOTO
from clipkit.dealing import dealt
from clipkit.dense.attention import Mode
from clipkit.dense.background import choose_offset, miou_by_offset
from clipkit.dense.metrics import boundary_iou
from clipkit.dense.patches import project, value_maps
from clipkit.dense.pipeline import Pipeline, ScenePictures, shrink
from clipkit.dense.refinement import find_regions, refine
from clipkit.dense.segmenter import to_pixels
from clipkit.dense.smoothing import smooth_labels
from clipkit.dense.text import cosines, text_classifier

SIDE, CELL = 128, 16  # pixels of a photograph's shorter side as `nano-sam` sees it, both sides multiples of 16
LENGTHS = (12, 20, 32, 48, 70)  # edges of the bins of objects' longer sides, pixels of 128
REGIONS = {"minimal_area": 16, "coarse_thresh": 0.0}  # of those that are prompted
STUFF = ("sky", "wall", "floor", "grass", "road", "water", "trees", "building")  # what a photograph's background is called


def make_pipeline(clip, dino, segmenter, names: Sequence, templates, **more) -> Pipeline:
    """A window is as large as the pictures that CLIP was trained on, and half a picture's shorter side; it moves by half its cells.

    Args: names, templates: see `text_classifier`. more: of `Pipeline`. Raises ClipkitError for a tower that `value_maps` refuses.
    """

    def guide(x: Tensor, grid: tuple[int, int]) -> Tensor:
        x = F.interpolate(x, (4 * grid[0], 4 * grid[1]), mode="bilinear", antialias=True)
        return dino.module.visual.grid((x - 0.5) / 0.25)

    crop = clip.image_size
    n = value_maps(clip, torch.zeros(1, 3, crop, crop), ["vanilla"])[0].shape[-1]  # cells of a window
    sizes = {"side": 2 * crop, "crop": crop, "stride": max(1, n // 2) * (crop // n), "patch": crop // n}
    mean, std = (torch.tensor(clip.preprocessing[of], device=clip.device).view(3, 1, 1) for of in ("mean", "std"))
    return Pipeline(clip, guide, segmenter, *text_classifier(clip, names, templates), lambda x: (x - mean) / std, **sizes, **more)


def world_pipeline(clip, dino, segmenter, split: str) -> Pipeline:
    """The names of the split's half of the categories, and eight kinds of background that are one class."""
    from clipkit.datasets.segmentation import category_halves
    from clipkit.world import BACKGROUNDS
    from clipkit.world.prompts import CLASS_TEMPLATES

    templates = {0: CLASS_TEMPLATES["background"], -1: CLASS_TEMPLATES["category"]}
    return make_pipeline(clip, dino, segmenter, [list(BACKGROUNDS), *category_halves()[split == "test"]], templates)


def photo_pipeline(clip, dino, segmenter, photographs: LabelledPhotographs) -> Pipeline:
    """The names of the photographs' classes; a background gets several and an offset, where there is none all classes are alike."""
    first, *rest = photographs.names
    if first.casefold() != BACKGROUND:
        return make_pipeline(clip, dino, segmenter, photographs.names, list(PHOTO), offsets=(0.0,))
    return make_pipeline(clip, dino, segmenter, [[first, *(s for s in STUFF if s not in rest)], *rest], list(PHOTO))


def prepare(models: tuple, dataset: str, n_val: int, n_test: int) -> SimpleNamespace:
    """What the arms of (clip, dino, segmenter) are run on: scenes of the world, or a folder of `labelled_photographs`. `draw` gives a
    seed's test pictures and what else is known of them, nothing of photographs; `data` is () or (the photographs,)."""
    if dataset == "world":
        tuning, pipeline = (world_pipeline(*models, split) for split in ("val", "test"))
        (val, _), (_, scenes) = load_scenes("val", n_val), load_scenes("test", 1)
        draw, names, data = (lambda seed: load_scenes("test", n_test, seed)), ["", *scenes.names], ()
    else:
        held, tested = (labelled_photographs(dataset, split) for split in ("val", "test"))
        tuning = pipeline = photo_pipeline(*models, tested)
        val = load_photographs(held, n_val, -1, models[2])  # no seed of the run: all of them
        draw, names, data = (lambda seed: (load_photographs(tested, n_test, seed, models[2]), None)), tested.names, (tested,)
    return SimpleNamespace(tuning=tuning, pipeline=pipeline, val=val, draw=draw, names=names, data=data)


def load_scenes(split: str, n: int, seed: int = 0) -> tuple[list[ScenePictures], object]:
    """n scenes with a label for every pixel, one by one, and what is known about them."""
    from clipkit.datasets.segmentation import segmentation_scenes

    scenes = segmentation_scenes(split, n, seed)
    whole = ScenePictures(to_pixels(scenes.images), *(torch.from_numpy(x.astype(np.int64)) for x in (scenes.labels, scenes.instances)))
    return [whole[i : i + 1] for i in range(n)], scenes


def load_photographs(photographs: LabelledPhotographs, n: int, seed: int, segmenter) -> list[ScenePictures]:
    """At most n photographs that no other seed of the run has; labels at the size at which the segmenter sees them."""
    own = photographs.subset(dealt(len(photographs), seed))
    own, found = own.subset(choose(None, len(own), min(n, len(own)), 0, own.name)), []
    for i in range(len(own)):
        large, labels = to_pixels(np.asarray(own.images[i])[None]), torch.from_numpy(own.labels(i))[None]
        pixels = shrink(large, getattr(segmenter, "side", 2 * SIDE) // 2, CELL)
        labels = F.interpolate(labels[None].float(), pixels.shape[-2:], mode="nearest-exact")[0].long()
        found.append(ScenePictures(pixels, labels, labels, large=large))
    return found


def cosines_of(pipeline: Pipeline, pictures: Sequence[ScenePictures], arms: Mapping[str, tuple]) -> dict[str, list[Tensor]]:
    """Arm -> cosines (R, h, w) of each picture's cells and words."""
    found = [pipeline.cosines(picture, arms) for picture in pictures]
    return {arm: [each[arm][0] for each in found] for arm in arms}


def mious(pipeline: Pipeline, pictures: Sequence[ScenePictures], scores: Sequence[Tensor], offsets: Sequence[float]) -> list[float]:
    """Mean IoU in percent by each of the offsets, see `miou_by_offset`."""
    return [100 * x for x in miou_by_offset(scores, pipeline.groups, [p.labels[0] for p in pictures], offsets)]


def best_offset(pipeline: Pipeline, val: Sequence[ScenePictures], scores: Sequence[Tensor]) -> float:
    """The background's offset with the best mean IoU, see `choose_offset`."""
    return choose_offset(scores, pipeline.groups, [p.labels[0] for p in val], pipeline.offsets)


def stack(maps: Sequence[Tensor], beside: int = -1) -> Tensor:
    """Label maps (1, H, W) of several sizes on one canvas (N, H, W); `beside` fills what is left, -1 no class, 255 not judged."""
    height, width = (max(m.shape[d] for m in maps) for d in (1, 2))
    return torch.cat([F.pad(m, (0, width - m.shape[2], 0, height - m.shape[1]), value=beside) for m in maps])


def choose_constants(pipeline: Pipeline, val: Sequence[ScenePictures], attention: bool) -> dict[str, float]:
    """By mean IoU on validation pictures, one after the other: σ of NACLIP; β, γ and whether the last block is kept, by decisions of
    windows that the guide mixes; whether it is to mix them at all; λ of the global step. σ and the block only with attention."""
    chosen: dict[str, float] = {}

    def settle(arm: tuple, **options: tuple) -> None:
        """The best combination of the options, for one arm."""
        settings = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
        tried = [replace(pipeline, **chosen, **setting) for setting in settings]
        best = [max(mious(p, val, cosines_of(p, val, {"it": arm})["it"], p.offsets[::2])) for p in tried]
        chosen.update(settings[int(np.argmax(best))])

    if attention:
        settle(("naclip", "decisions"), sigma=(1.0, 2.0, 5.0))
    settle(("guide", "decisions"), beta=(1.0, 1.2), gamma=(3.0, 10.0), keep=(False, True)[: 1 + attention])
    settle(("chosen", "decisions"), guided=(True, False))
    settle(("chosen", "vectors", "segmenter"), cos_fac=(0.0, 1.2, 3.0, 6.0))
    return chosen


def choose_edges(pipeline: Pipeline, val: Sequence[ScenePictures], coarse: Sequence) -> tuple[dict, int]:
    """By boundary IoU on validation pictures: how sure the segmenter must be and whether the background is prompted too (options of
    `refine`), and how many steps of colour smoothing, for coarse maps (labels, probabilities)."""
    n, number = int(pipeline.groups.max()) + 1, (2, 5, 10)
    options = [{**REGIONS, "iou_thresh": t, "skip": skip} for skip, t in product(((), (0,)), (0.5, 0.65, 0.8))]
    pairs = list(zip(val, coarse, strict=True))
    redrawn = ([refine(pipeline.segmenter, p.pixels, *c, **option).labels for p, c in pairs] for option in options)
    smoothed = ([smooth_labels(*c, p.pixels, steps) for p, c in pairs] for steps in number)
    truth = stack([p.labels for p in val], IGNORED)
    by_option, by_steps = (int(np.argmax([boundary_iou(stack(x), truth, n).mean for x in tried])) for tried in (redrawn, smoothed))
    return options[by_option], number[by_steps]


@torch.no_grad()
def prompted_iou(segmenter, pictures: Sequence[ScenePictures]) -> dict[str, float]:
    """Is the segmenter one? Each true region's box and an inner point are the prompt: mean IoU, in percent, of its mask and of the box."""
    found = {"prompted_mask": [], "prompted_box": []}
    for picture in pictures:
        labels = picture.segments.where(picture.labels != IGNORED, 0)
        depth = F.avg_pool2d(F.one_hot(labels).movedim(-1, 1).float(), 15, 1, 7)  # largest well inside a region
        regions, seen = find_regions(labels, depth, **REGIONS, skip=(0,)), segmenter.encode(picture.pixels)
        masks, (height, width) = regions.masks, labels.shape[-2:]
        prompts = regions.boxes, regions.points, torch.full((len(masks), *seen.grid), 0.5)
        (x0, y0, x1, y1), ys, xs = regions.boxes[..., None, None].unbind(1), torch.arange(height)[:, None], torch.arange(width)
        answers = segmenter.decode(seen, regions.image, *prompts)[0] > 0 if len(masks) else masks
        for name, said in zip(found, (answers, (ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1)), strict=True):
            found[name] += (100 * (said & masks).sum((1, 2)) / (said | masks).sum((1, 2))).tolist()
    return {name: float(np.mean(values)) for name, values in found.items()}


def recall_by_length(labels: Tensor, scenes) -> dict[str, float]:
    """Percent of each object's visible pixels with the right label, mean over the objects of each bin of lengths that has any."""
    right, found = (labels == torch.from_numpy(scenes.labels)).numpy(), {}
    for i in range(len(labels)):
        for k in np.unique(scenes.instances[i])[1:]:
            place = np.clip(np.digitize(scenes.sides[i, k - 1], LENGTHS), 1, len(LENGTHS) - 1)
            found.setdefault(int(place), []).append(100 * right[i][scenes.instances[i] == k].mean())
    return {f"{LENGTHS[b - 1]} to {LENGTHS[b]}": float(np.mean(found[b])) for b in sorted(found)}


@torch.no_grad()
def find_names(pipeline: Pipeline, modes: Mapping[str, str | Mode], n: int, seed: int) -> dict[str, dict[str, float]]:
    """In pictures of one object: do the cells on the object know its name, or others? For each mode, percent:

    on, off: cells wholly on and wholly off the object whose nearest category is the object's. auc: how often a cell on the object is
    nearer to the object's name than one off it (50: no order; below: upside down).
    """
    from clipkit.datasets.world import stream
    from clipkit.world import CATEGORIES, WorldSpec, render, single_objects
    from clipkit.world.prompts import CLASS_TEMPLATES

    drawn = render(scenes := single_objects(WorldSpec(), n, stream("names", seed)), size=pipeline.crop, masks=True)
    pixels, name = to_pixels(drawn.images), torch.from_numpy(scenes.category[:, 0].astype(np.int64))
    text, _ = text_classifier(pipeline.clip, list(CATEGORIES), list(CLASS_TEMPLATES["category"]))
    guided = pipeline.guide(pixels, (2 * pipeline.crop // pipeline.patch,) * 2)
    constants = (guided, pipeline.beta, pipeline.gamma, pipeline.sigma)
    maps, out = value_maps(pipeline.clip, pipeline.normalise(pixels), list(modes.values()), *constants), {}
    for mode, found in zip(modes, maps, strict=True):
        scores = cosines(project(pipeline.clip, found), text)
        share = F.adaptive_avg_pool2d(torch.from_numpy(drawn.instances > 0).float()[:, None], scores.shape[-2:])[:, 0]
        on, off = share > 0.5, share == 0
        right, own = (scores.argmax(1) == name[:, None, None]).float(), scores[torch.arange(n), name]
        order = [(s[a][:, None] > s[b]).float().mean().item() for s, a, b in zip(own, on, off, strict=True) if a.any() and b.any()]
        out[mode] = {"on": 100 * right[on].mean().item(), "off": 100 * right[off].mean().item(), "auc": 100 * float(np.mean(order))}
    return out


def find_middle(segments: np.ndarray) -> tuple[int, int]:
    """(x, y) of the pixel of the largest segment, other than 0, that is nearest to its middle."""
    ys, xs = np.nonzero(segments == np.bincount(segments.ravel())[1:IGNORED].argmax() + 1)
    k = int(np.hypot(ys - ys.mean(), xs - xs.mean()).argmin())
    return int(xs[k]), int(ys[k])


@torch.no_grad()
def find_alike(pipeline: Pipeline, one: ScenePictures, x: int, y: int) -> dict[str, np.ndarray]:
    """Heat maps (h, w) of how alike the cell at a pixel of one picture is to all others: for CLIP, the guide and the segmenter."""
    (height, width), small = one.pixels.shape[-2:], pipeline.normalise(shrink(one.pixels, pipeline.crop, pipeline.patch))
    own = F.normalize(project(pipeline.clip, value_maps(pipeline.clip, small, ["vanilla"])[0]), dim=1)[0]
    at = own[:, y * own.shape[1] // height, x * own.shape[2] // width]
    found = {"CLIP's own vectors": (at @ own.flatten(1)).reshape(own.shape[1:])}
    rows, columns = grid = pipeline.segmenter.encode(one.pixels).grid
    for caption, of in {"nano-dino, as a guide": "dino", "the segmenter, filtered": "segmenter"}.items():
        row = pipeline.affinity(one, of)[0, (y * rows // height) * columns + x * columns // width]
        found[caption] = row.reshape(grid).sqrt()
    return {name: heat.numpy() for name, heat in found.items()}
