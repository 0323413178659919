"""The page on Trident: pictures and words for its arms, what is chosen on validation scenes, and what is measured beside mean IoU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.dense import (
    Mode,
    Pipeline,
    ScenePictures,
    Segmenter,
    boundary_iou,
    cosines,
    miou_by_offset,
    project,
    refine,
    shrink,
    smooth_labels,
    text_classifier,
    value_maps,
)
from clipkit.dense.background import OFFSETS
from clipkit.dense.patches import is_vit
from clipkit.dense.segmenter import to_pixels
from clipkit.errors import ClipkitError

SIZE = (128, 128)  # pixels that the segmenter sees, and that are labelled
LENGTHS = (12, 20, 32, 48, 70)  # edges of the bins of objects' longer sides, pixels of 128
REGIONS = {"minimal_area": 16, "coarse_thresh": 0.0}  # of those that are prompted


def centre(pixels: Tensor) -> Tensor:
    """Pixels in 0..1 as the small models take them."""
    return (pixels - 0.5) / 0.25


def world_pipeline(clip, dino, segmenter: Segmenter, split: str) -> Pipeline:
    """The names of the split's half of the categories, and eight kinds of background that are one class.

    A window is as large as the pictures that CLIP was trained on, and half a picture wide.
    Raises ClipkitError for a CLIP without attention layers, whose last block cannot be changed.
    """
    from clipkit.datasets.segmentation import category_halves
    from clipkit.world import BACKGROUNDS
    from clipkit.world.prompts import CLASS_TEMPLATES

    if not is_vit(clip.module.visual):
        raise ClipkitError(f"{clip.name} has no vision transformer of open_clip to look into; take nano, nano-local or a ViT of open_clip")
    templates = {0: CLASS_TEMPLATES["background"], -1: CLASS_TEMPLATES["category"]}
    crop = clip.image_size
    text, groups = text_classifier(clip, [list(BACKGROUNDS), *category_halves()[split == "test"]], templates)
    guide = lambda x, n: dino.module.visual.grid(centre(shrink(x, 4 * n)))  # noqa: E731
    mean, std = (torch.tensor(clip.preprocessing[of], device=clip.device).view(3, 1, 1) for of in ("mean", "std"))
    return Pipeline(clip, guide, segmenter, text, groups, lambda x: (x - mean) / std, 2 * crop, crop, crop // 2)


@torch.no_grad()
def load_pictures(pipeline: Pipeline, split: str, n: int, seed: int = 0) -> ScenePictures:
    """n scenes with a label for every pixel."""
    from clipkit.datasets.segmentation import segmentation_scenes

    scenes = segmentation_scenes(split, n, seed)
    pixels, segments = to_pixels(scenes.images), torch.from_numpy(scenes.instances.astype(np.int64))
    return ScenePictures(pixels, torch.from_numpy(scenes.labels), pipeline.segmenter.encode(pixels), segments, scenes)


def choose_constants(pipeline: Pipeline, val: ScenePictures) -> dict[str, float]:
    """By mean IoU on validation scenes, one after the other: σ of NACLIP; β, γ and whether the last block is kept, together, by
    decisions of windows that the guide mixes; then λ (`cos_fac`) of the global step."""
    chosen: dict[str, float] = {}

    def choose(arm: tuple, **options: tuple) -> None:
        """The best combination of the options, for one arm."""
        settings = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
        found = (replace(pipeline, **chosen, **setting).cosines(val, {"it": arm})["it"] for setting in settings)
        best = [max(miou_by_offset(scores, pipeline.groups, val.labels, OFFSETS[::2])) for scores in found]
        chosen.update(settings[int(np.argmax(best))])

    choose(("naclip", "decisions"), sigma=(1.0, 2.0, 5.0))
    choose(("guide", "decisions"), beta=(1.0, 1.2), gamma=(3.0, 10.0), keep=(False, True))
    choose(("guide", "vectors", "segmenter"), cos_fac=(0.0, 1.2, 3.0, 6.0))
    return chosen


def choose_edges(pipeline: Pipeline, val: ScenePictures, labels: Tensor, probabilities: Tensor) -> tuple[dict, int]:
    """By boundary IoU on validation scenes: how sure the segmenter must be and whether the background is prompted too (options of
    `refine`), and how many steps of colour smoothing, for a coarse map."""
    n, number = int(pipeline.groups.max()) + 1, (2, 5, 10)
    options = [{**REGIONS, "iou_thresh": t, "skip": skip} for skip, t in product(((), (0,)), (0.5, 0.65, 0.8))]
    given = (pipeline.segmenter, val.pixels, labels, probabilities)
    redrawn = (refine(*given, embedding=val.embedding, **option).labels for option in options)
    smoothed = (smooth_labels(labels, probabilities, val.pixels, steps) for steps in number)
    by_option, by_steps = (int(np.argmax([boundary_iou(x, val.labels, n).mean for x in tried])) for tried in (redrawn, smoothed))
    return options[by_option], number[by_steps]


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
    constants = (pipeline.guide(pixels, pipeline.cells), pipeline.beta, pipeline.gamma, pipeline.sigma)
    maps, out = value_maps(pipeline.clip, pipeline.normalise(pixels), list(modes.values()), *constants), {}
    for mode, found in zip(modes, maps, strict=True):
        scores = cosines(project(pipeline.clip, found), text)
        share = F.adaptive_avg_pool2d(torch.from_numpy(drawn.instances > 0).float()[:, None], scores.shape[-2:])[:, 0]
        on, off = share > 0.5, share == 0
        right, own = (scores.argmax(1) == name[:, None, None]).float(), scores[torch.arange(n), name]
        order = [(s[a][:, None] > s[b]).float().mean().item() for s, a, b in zip(own, on, off, strict=True) if a.any() and b.any()]
        out[mode] = {"on": 100 * right[on].mean().item(), "off": 100 * right[off].mean().item(), "auc": 100 * float(np.mean(order))}
    return out


def find_middle(instances: np.ndarray) -> tuple[int, int]:
    """(x, y) of the pixel of the largest object that is nearest to its middle."""
    ys, xs = np.nonzero(instances == np.bincount(instances.ravel())[1:].argmax() + 1)
    k = int(np.hypot(ys - ys.mean(), xs - xs.mean()).argmin())
    return int(xs[k]), int(ys[k])


@torch.no_grad()
def find_alike(pipeline: Pipeline, some: ScenePictures, x: int, y: int) -> dict[str, np.ndarray]:
    """Heat maps (h, w) of how alike the cell at a pixel of one picture is to all others: for CLIP, the guide and the segmenter."""
    size, small = some.pixels.shape[-1], pipeline.normalise(shrink(some.pixels, pipeline.crop))
    own = F.normalize(project(pipeline.clip, value_maps(pipeline.clip, small, ["vanilla"])[0]), dim=1)[0]
    found = {"CLIP's own vectors": (own[:, y * own.shape[1] // size, x * own.shape[2] // size] @ own.flatten(1)).reshape(own.shape[1:])}
    n = some.embedding.grid[0]
    cell = (y * n // size) * n + x * n // size
    for caption, of in {"nano-dino, as a guide": "dino", "nano-sam, filtered": "segmenter"}.items():
        found[caption] = pipeline.affinity(some, of)[0, cell].reshape(n, n).sqrt()
    return {name: heat.numpy() for name, heat in found.items()}
