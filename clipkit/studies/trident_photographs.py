"""The page on Trident where nothing has a mask: photographs, a convolutional CLIP, and only what can be said without truth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipkit.dense.affinity import filtered_affinity
from clipkit.dense.proxy import colour_features, proxy_matrix
from clipkit.dense.text import text_classifier
from clipkit.errors import ClipkitError
from clipkit.models.inputs import as_picture
from clipkit.studies.trident_bench import BASE, Bench, encode, shrunk, spread_scores
from clipkit.studies.trident_choices import labels_of

SIDE, CROP, STRIDE, GLOBAL = 384, 192, 96, 128  # CLIP's picture and windows; the size at which the global encoder sees a picture


def photo_bench(clip, segmenter, names: list[str], templates: list[str]) -> Bench:
    """A bench whose guide is plain colour, as no self-supervised model of photographs is at hand.

    Raises ClipkitError for a model that takes one picture size only.
    """
    if not clip.any_size:
        raise ClipkitError(f"{clip.name} takes pictures of {clip.image_size} pixels; for photographs use -p model lite")
    text, groups = text_classifier(clip, names, templates)
    normalise = lambda x: clip.preprocess_batch((x * 255).round().byte().permute(0, 2, 3, 1).numpy())  # noqa: E731
    guide = lambda x: colour_features(x, (12, 12), place=1.0)  # noqa: E731
    return Bench(clip, guide, segmenter, text, groups, normalise, SIDE, CROP, STRIDE)


def squares(images, side: int = SIDE) -> Tensor:
    """The middle square of each picture, (N, 3, side, side) in 0..1."""
    from PIL import Image

    out = []
    for image in images:
        image = as_picture(image)
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)
        out.append(torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255)
    return torch.stack(out)


@torch.no_grad()
def photo_scores(bench: Bench, pixels: Tensor) -> tuple[dict[str, Tensor], list]:
    """Cosines (N, R, h, w) of the arms that photographs allow, and the global encoder's embeddings."""
    own, proxy = bench.maps(pixels, ["maskclip", "proxy"], bench.side)
    embeddings = encode(bench, shrunk(pixels, GLOBAL), batch=4)
    sizes, grid = [len(e.features) for e in embeddings], embeddings[0].grid
    scores = {"own_cells": own.averaged(bench.text), "averaged_logits": proxy.averaged(bench.text), "spliced": proxy.scores(bench.text)}
    parts: dict[str, list[Tensor]] = {BASE: [], "global_colour": []}
    for e, maps, seen in zip(embeddings, proxy.spliced().split(sizes), pixels.split(sizes), strict=True):
        parts[BASE].append(spread_scores(bench, maps, filtered_affinity(e.attention, e.values, bench.cos_fac), grid))
        parts["global_colour"].append(spread_scores(bench, maps, proxy_matrix(colour_features(seen, grid, 1.0)), grid))
    return scores | {arm: torch.cat(part) for arm, part in parts.items()}, embeddings


def without_truth(bench: Bench, scores: dict[str, Tensor], labels: np.ndarray, size: tuple[int, int] = (96, 96)) -> dict[str, float]:
    """What label maps show without masks, percent. "own|arm": pixels with the picture's own class. "first|arm": pictures in which that
    class covers most pixels. "regions|arm": connected regions a picture, a number. "same|arm": pixels labelled as by averaged logits."""
    from scipy.ndimage import label

    maps = {arm: labels_of(s, bench.groups, size, 0.0)[0] for arm, s in scores.items()}
    truth, row = torch.as_tensor(labels), {}
    for arm, found in maps.items():
        row[f"own|{arm}"] = 100 * (found == truth[:, None, None]).float().mean().item()
        most = torch.stack([torch.bincount(m.flatten(), minlength=len(bench.text)) for m in found]).argmax(1)
        row[f"first|{arm}"] = 100 * (most == truth).float().mean().item()
        row[f"regions|{arm}"] = float(np.mean([sum(label(m == c)[1] for c in np.unique(m)) for m in found.numpy()]))
        row[f"same|{arm}"] = 100 * (found == maps["averaged_logits"]).float().mean().item()
    return row
