"""`nano-sam`: how the promptable segmenter learns which cells belong together, and what a sloppy prompt means.

No class name is used. Three lessons at once. Attention: the row of a cell should be even over its own segment. Values: cells
of one segment should point the same way, others not. Masks: a box, a point and a coarse mask, all made from a true mask by
spoiling it the way a coarse map is spoilt (blurred, grown, shrunk, mixed with something beside it), should give the true mask back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.datasets.segmentation import category_halves, segmentation_scenes
from clipkit.dense.segmenter import STRIDE, Embedding, Segmenter, to_pixels
from clipkit.train import train

TRAINING_STYLES = ("shaded", "sketch", "pixel", "pastel", "blueprint", "negative")  # all but the one that is tested
QUERIES = 64  # cells a picture whose row of attention is judged
CHUNK = 256  # scenes drawn at once
SMALL = 0.87  # share of the steps on pictures of 80 px, where a step takes a quarter of the time
PROMPTS = 3  # a picture


@dataclass
class Prompts:
    """Q prompts (see `Segmenter.decode`) and the masks (Q, S, S) in 0..1 that were meant."""

    image: Tensor
    boxes: Tensor
    points: Tensor
    masks: Tensor
    meant: Tensor


def segment_batches(
    batch: int, seed: int, prompts: int = 4, styles: tuple[str, ...] = TRAINING_STYLES, split: str = "train", small: float = 0
) -> Iterator[tuple[Tensor, Tensor, Prompts]]:
    """For ever: pixels (B, 3, S, S) in 0..1, segments (B, S, S) int64, and `prompts` prompts a picture.

    S is 128, and 80 for the first `small` batches, with objects as large in pixels: the weights fit any size.
    """
    generator, rng, done = torch.Generator().manual_seed(seed), np.random.default_rng(seed), 0
    for round_ in count():
        side = 80 if done < small else 128
        numbers = {"objects": (1, 4), "sides": (13, 112)} if side == 80 else {"objects": (1, 7), "sides": (8, 84)}
        scenes = segmentation_scenes(split, CHUNK, seed=seed * 10_000 + round_, size=side, styles=styles, **numbers)
        for start in range(0, CHUNK - batch + 1, batch):
            done += 1
            rows = slice(start, start + batch)
            pixels, segments = to_pixels(scenes.images[rows]), torch.from_numpy(scenes.segments[rows])
            if rng.random() < 0.5:
                pixels, segments = pixels.flip(3), segments.flip(2)
            gain = 0.75 + 0.5 * torch.rand(len(pixels), 3, 1, 1, generator=generator)
            pixels = (pixels * gain + 0.2 * (torch.rand(len(pixels), 3, 1, 1, generator=generator) - 0.5)).clamp(0, 1)
            yield pixels, segments, spoilt_prompts(segments, prompts, generator)


def spoilt_prompts(segments: Tensor, each: int, generator: torch.Generator) -> Prompts:
    """Up to `each` prompts a picture of segments (B, S, S): a segment that can be seen, objects three times as often as stuff."""
    image, meant = [], []
    for i, picture in enumerate(segments):
        numbers, area = picture.unique(return_counts=True)
        numbers = numbers[area >= 24]
        weight = torch.where(numbers < 100, 3.0, 1.0)
        chosen = numbers[torch.multinomial(weight, min(each, len(numbers)), generator=generator)]
        image += [i] * len(chosen)
        meant += [picture == c for c in chosen]
    return spoil(torch.tensor(image), torch.stack(meant).float(), generator)


def spoil(image: Tensor, meant: Tensor, generator: torch.Generator) -> Prompts:
    """Box, point and coarse mask from spoilt true masks (Q, S, S), each of the three left out now and then."""
    q, s = len(meant), meant.shape[-1]
    draw = lambda low, high: low + (high - low) * torch.rand(q, generator=generator)  # noqa: E731
    guess = F.avg_pool2d(meant[:, None], STRIDE)  # (Q, 1, h, w)
    blurred = F.avg_pool2d(F.avg_pool2d(guess, 5, 1, 2, count_include_pad=False), 5, 1, 2, count_include_pad=False)
    guess = torch.lerp(guess, blurred, draw(0, 1)[:, None, None, None])
    noise = sum(
        F.interpolate(torch.rand(q, 1, side, side, generator=generator) - 0.5, size=guess.shape[-2:], mode="bilinear")
        for side in (4, 8, 16)
    )
    guess = (guess + draw(0, 0.8)[:, None, None, None] * noise + 0.25 * (draw(0, 1) - 0.5)[:, None, None, None]).clamp(0, 1)[:, 0]
    region = guess > 0.5
    region = torch.where(region.any(2).any(1)[:, None, None], region, guess >= guess.amax((1, 2), keepdim=True))
    rows, columns = region.any(2), region.any(1)
    h, w = region.shape[1:]
    edge = lambda seen, length: (seen.int().argmax(1), length - seen.flip(1).int().argmax(1))  # noqa: E731
    (y0, y1), (x0, x1) = edge(rows, h), edge(columns, w)
    boxes = torch.stack([x0, y0, x1, y1], 1).float() * STRIDE
    boxes = (boxes + (torch.rand(q, 4, generator=generator) - 0.5) * 0.15 * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)).clamp(0, s)
    score = torch.where(region, guess + 0.3 * torch.rand(guess.shape, generator=generator), -1.0).flatten(1).argmax(1)
    points = (torch.stack([score % w, score // w], 1) + 0.5) * STRIDE
    boxes[draw(0, 1) < 0.1] = torch.nan
    points[draw(0, 1) < 0.1] = torch.nan
    guess = torch.where((draw(0, 1) < 0.15)[:, None, None], 0.5, guess)
    return Prompts(image, boxes, points, guess, meant)


def same_segment(embedding: Embedding, segments: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """For up to K = QUERIES random cells a picture and all N cells: whether both are of one segment (B, K, N) in 0, 1; attention
    (mean of the heads); mean cosine of their values over the heads."""
    h, w = embedding.grid
    cells = segments[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].reshape(len(segments), h * w)
    chosen = torch.rand(cells.shape, generator=generator).topk(min(QUERIES, h * w), dim=1).indices.to(cells.device)  # (B, K)
    same = (cells.gather(1, chosen)[:, :, None] == cells[:, None]).float()
    pick = lambda t: t.gather(2, chosen[:, None, :, None].expand(-1, t.shape[1], -1, t.shape[3]))  # noqa: E731
    unit = F.normalize(embedding.values.float(), dim=-1)
    return same, pick(embedding.attention).mean(1), (pick(unit) @ unit.transpose(-1, -2)).mean(1)


def grouping_losses(embedding: Embedding, segments: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """ "attention": cross-entropy of rows (mean of the heads) against the even distribution over the cell's own segment.
    "values": binary cross-entropy of 8 (cosine − 0.5) against "same segment", both answers weighed alike."""
    same, rows, alike = same_segment(embedding, segments, generator)
    attention = -(same / same.sum(-1, keepdim=True) * (rows + 1e-6).log()).sum(-1).mean()
    each = F.binary_cross_entropy_with_logits(8 * (alike - 0.5), same, reduction="none")
    other = 1 - same
    values = (each * same).sum(-1) / same.sum(-1) + (each * other).sum(-1) / other.sum(-1).clamp_min(1)
    return {"attention": attention, "values": values.mean() / 2}


def mask_losses(logits: Tensor, expected: Tensor, meant: Tensor) -> dict[str, Tensor]:
    """ "mask": binary cross-entropy and Dice of mask logits (Q, S, S); "quality": squared error of the expected IoU (Q,)."""
    area = meant.mean((1, 2)).clamp(1e-3, 0.5)[:, None, None]
    weight = 1 + meant * (0.15 / area).clamp(max=8)  # a small object counts too
    bce = (F.binary_cross_entropy_with_logits(logits, meant, reduction="none") * weight).mean()
    p = logits.sigmoid()
    dice = 1 - (2 * (p * meant).sum((1, 2)) + 1) / (p.sum((1, 2)) + meant.sum((1, 2)) + 1)
    return {"mask": bce + dice.mean(), "quality": F.mse_loss(expected, mask_iou(logits.detach() > 0, meant > 0.5))}


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU (Q,) of bool masks (Q, H, W); 1 where both are empty."""
    both, either = (a & b).sum((1, 2)), (a | b).sum((1, 2))
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


def segmenter_loss(module: Segmenter, batch: tuple[Tensor, Tensor, Prompts]) -> Tensor:
    """The sum of all four losses on one batch of `segment_batches`."""
    pixels, segments, prompts = batch
    embedding = module.encode(pixels)
    logits, expected = module.decode(embedding, prompts.image, prompts.boxes, prompts.points, prompts.masks)
    grouping, masks = grouping_losses(embedding, segments), mask_losses(logits, expected, prompts.meant)
    return 0.3 * grouping["attention"] + grouping["values"] + 2 * masks["mask"] + 2 * masks["quality"]


@torch.no_grad()
def segmenter_numbers(module: Segmenter, n: int = 96, seed: int = 5) -> dict[str, float]:
    """What the card says: on unseen scenes with the *tested* categories in the tested style, percent.

    mask_iou: mean IoU of decoded masks with the true ones; prompt_iou: of the coarse masks that went in; own_segment: share
    of the attention that stays on a cell's own segment; pairs: same-or-different right at cosine 0.5, balanced; quality_error:
    mean absolute error of the expected IoU.
    """
    module.eval()
    found: dict[str, list[float]] = {}
    generator = torch.Generator().manual_seed(seed)
    for pixels, segments, prompts in islice(segment_batches(8, seed, styles=("flat",), split="test"), n // 8):
        embedding = module.encode(pixels)
        logits, expected = module.decode(embedding, prompts.image, prompts.boxes, prompts.points, prompts.masks)
        iou = mask_iou(logits > 0, prompts.meant > 0.5)
        coarse = F.interpolate(prompts.masks[:, None], size=logits.shape[-2:], mode="bilinear")[:, 0] > 0.5
        same, rows, alike = same_segment(embedding, segments, generator)
        right = ((alike > 0.5) == same.bool()).float()
        measured = {
            "mask_iou": iou.mean(),
            "prompt_iou": mask_iou(coarse, prompts.meant > 0.5).mean(),
            "own_segment": (rows * same).sum(-1).mean(),
            "pairs": (right[same == 1].mean() + right[same == 0].mean()) / 2,
            "quality_error": (expected - iou).abs().mean(),
        }
        for name, value in measured.items():
            found.setdefault(name, []).append(value.item())
    return {name: round(100 * sum(values) / len(values), 1) for name, values in found.items()}


def make_segmenter(recipe, steps: int, device: str, tick, folder: Path) -> tuple[Segmenter, dict]:
    """Settings: those of `Segmenter`."""
    module = Segmenter(**recipe.settings).to(device)
    batches = segment_batches(recipe.batch, recipe.seed, PROMPTS, small=SMALL * steps)
    history = train(module, batches, segmenter_loss, steps, after_step=tick, **recipe.loop)
    shown, tested = category_halves()
    return module, {
        "data": {"categories": list(shown), "styles": list(TRAINING_STYLES)},
        "never_seen": {"categories": list(tested), "styles": ["flat"]},
        "training": {"prompts": PROMPTS, "pictures": steps * recipe.batch, "small_share": SMALL, **history.summary()},
        "percent": segmenter_numbers(module),
    }
