"""The numbers of the page on Trident: every arm on one draw of test scenes, and where a model keeps an object's name."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.dense.attention import Mode
from clipkit.dense.metrics import boundary_iou, class_prior, iou_of, mean_iou, patch_oracle
from clipkit.metrics import kendall
from clipkit.studies.trident_bench import BASE, BATCH, KEPT, Bench, encode, shrunk, spread_scores
from clipkit.studies.trident_choices import (
    Choices,
    Drawn,
    best_miou,
    choose,
    choose_constants,
    labels_of,
    look,
    offset_confusions,
    sharpened,
    smoothed,
)

__all__ = [
    "BASE", "BATCH", "EDGES", "KEPT", "PUBLISHED", "Bench", "Choices", "Drawn", "best_miou", "choose", "choose_constants", "encode",
    "evaluate", "labels_of", "look", "mean_iou", "recall_by_size", "sharpened", "shrunk", "smoothed", "spread_scores", "where_names_are",
]  # fmt: skip
PUBLISHED = ("windows_vanilla", "windows_maskclip", "windows_sclip", "windows_naclip", "averaged_logits", "trident")  # weakest first
EDGES = (12, 20, 32, 48, 70)  # of the bins of objects' longer sides, in pixels of a picture of 128


def recall_by_size(labels: Tensor, scenes, edges: tuple[float, ...] = EDGES) -> list[float]:
    """Share of each object's visible pixels with the right label, mean over the objects of each bin of sides; NaN for an empty bin."""
    right = (labels == torch.from_numpy(scenes.labels)).numpy()
    shares, sides = [], []
    for i in range(len(labels)):
        for k in np.unique(scenes.instances[i])[1:]:
            shares.append(right[i][scenes.instances[i] == k].mean())
            sides.append(scenes.sides[i, k - 1] * 128 / labels.shape[-1])
    where = np.clip(np.digitize(sides, edges) - 1, 0, len(edges) - 2)
    return [float(np.mean(np.array(shares)[where == b])) if (where == b).any() else float("nan") for b in range(len(edges) - 1)]


def evaluate(bench: Bench, chosen: Choices, drawn: Drawn, train_labels: Tensor | None = None) -> dict[str, float]:
    """Everything the page reports of one draw of test scenes, in percent (the last in correlation).

    Arm: mean IoU. "refined", "unrefined", "colour_smoothed": boundary IoU; with "_miou": mean IoU; "trident" is mean IoU of the
    refined map. "recall|arm|bin": see `recall_by_size`. "floor", "ceiling_8", "ceiling_32": class prior of `train_labels`, and the
    best that a grid of so many cells a side allows. "accepted": share of regions whose mask was taken. "order_agreement": Kendall's τ.
    """
    n, truth = int(bench.groups.max()) + 1, drawn.labels
    row = {}
    for arm, scores in drawn.scores.items():
        offset = chosen.offsets[arm]
        row[arm] = 100 * iou_of(offset_confusions(scores, bench.groups, truth, (offset,))[0]).mean
        if arm in ("averaged_logits", BASE):
            base = labels_of(scores, bench.groups, drawn.size, offset)
            row |= {f"recall|{arm}|{b}": 100 * v for b, v in enumerate(recall_by_size(base[0], drawn.scenes)) if v == v}  # no empty bin
    base = labels_of(drawn.scores[BASE], bench.groups, drawn.size, chosen.offsets[BASE])
    [parts] = sharpened(bench, drawn, *base, (chosen.iou_thresh,), chosen.skip)
    ways = {
        "unrefined": base[0],
        "refined": torch.cat([part.labels for part in parts]),
        "colour_smoothed": smoothed(drawn, *base, chosen.steps),
    }
    for way, labels in ways.items():
        row[way], row[f"{way}_miou"] = 100 * boundary_iou(labels, truth, n).mean, 100 * mean_iou(labels, truth, n).mean
    row["trident"] = row["refined_miou"]
    row["accepted"] = 100 * torch.cat([p.accepted for p in parts]).float().mean().item()
    row |= {f"ceiling_{g}": 100 * mean_iou(patch_oracle(truth, (g, g), n), truth, n).mean for g in (8, 32)}
    if train_labels is not None:
        row["floor"] = 100 * mean_iou(class_prior(train_labels, n).expand_as(truth), truth, n).mean
    return row | {"order_agreement": kendall(range(len(PUBLISHED)), [row[arm] for arm in PUBLISHED])}


@torch.no_grad()
def where_names_are(bench: Bench, modes: dict[str, str | Mode], n: int = 200, seed: int = 0) -> dict[str, dict[str, float]]:
    """In pictures of one object: do the cells on the object know its name, or others? For each mode, percent:

    on, off: cells wholly on and wholly off the object whose nearest category is the object's. auc: how often a cell on the object is
    nearer to the object's name than one off it (50: no order; below: upside down).
    """
    from clipkit.datasets.world import stream
    from clipkit.dense.patches import project, value_maps
    from clipkit.dense.segmenter import to_pixels
    from clipkit.dense.text import cosines, text_classifier
    from clipkit.world import CATEGORIES, WorldSpec, render, single_objects
    from clipkit.world.prompts import CLASS_TEMPLATES

    drawn = render(scenes := single_objects(WorldSpec(), n, stream("names", seed)), size=bench.crop, masks=True)
    pixels, name = to_pixels(drawn.images), torch.from_numpy(scenes.category[:, 0].astype(np.int64))
    text, _ = text_classifier(bench.clip, list(CATEGORIES), list(CLASS_TEMPLATES["category"]))
    maps = value_maps(bench.clip, bench.normalise(pixels), list(modes.values()), bench.guide(pixels), bench.beta, bench.gamma, bench.sigma)
    out = {}
    for mode, found in zip(modes, maps, strict=True):
        scores = cosines(project(bench.clip, found), text)
        share = F.adaptive_avg_pool2d(torch.from_numpy(drawn.instances > 0).float()[:, None], scores.shape[-2:])[:, 0]
        on, off = share > 0.5, share == 0
        right = (scores.argmax(1) == name[:, None, None]).float()
        own = scores[torch.arange(n), name]
        order = [(s[a][:, None] > s[b]).float().mean().item() for s, a, b in zip(own, on, off, strict=True) if a.any() and b.any()]
        out[mode] = {"on": 100 * right[on].mean().item(), "off": 100 * right[off].mean().item(), "auc": 100 * float(np.mean(order))}
    return out
