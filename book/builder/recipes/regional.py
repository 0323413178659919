"""A class token that can look at a part of the picture: a CLIP whose patches keep to themselves, by self-distillation.

`nano` averages its tokens, and while it learns to name whole pictures nothing keeps a patch from carrying what is somewhere else.
Here a copy of its tower gets a class token, as the published CLIP models have. In the last block the token looks at a rectangle
of patches only, and must then say what the frozen `nano` says of that rectangle cut out and enlarged. No caption, label or mask is
used. What the dense methods read, values and keys of patches, is never trained by itself.

Source of the idea: CLIPSelf, Wu et al., arXiv:2310.01403; there patches are pooled by a mean, here by the class token's attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builder.recipes import probes
from clipkit.datasets.segmentation import segmentation_scenes
from clipkit.dense.attention import heads_of, merge_heads
from clipkit.dense.patches import embed
from clipkit.models import load_model
from clipkit.models.nano import NanoEncoder, build_nano
from clipkit.pretrain.worlds import SEEN_STYLES
from clipkit.train import arithmetic, train
from clipkit.world import CATEGORIES

GRID, SIDES = 8, (2, 3, 4, 5)  # patches a side of the picture; of a rectangle
CHUNK = 320


def region_features(visual: nn.Module, pixels: Tensor, regions: Tensor) -> Tensor:
    """The class token's features (B, R, D) when in the last block it sees some patches: regions (B, R, h, w) bool.

    With all patches this is the tower's own output.
    """
    x, _ = embed(visual, pixels)
    *early, block = visual.transformer.resblocks
    for layer in early:
        x = layer(x)
    q, k, v, scale = heads_of(block.attn, block.ln_1(x))
    scores = q[:, :, :1] @ k.transpose(-1, -2) * scale  # (B, H, 1, T)
    seen = F.pad(regions.flatten(2), (1, 0), value=True)[:, None]  # (B, 1, R, T); the token always sees itself
    mixed = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v  # (B, H, R, d)
    y = x[:, :1] + block.ls_1(getattr(block, "ln_attn", nn.Identity())(merge_heads(block.attn, mixed)))
    y = y + block.ls_2(block.mlp(block.ln_2(y)))
    return visual.ln_post(y) @ visual.proj


def region_batches(teacher, batch: int, seed: int, each: int = 3) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For ever: pixels (B, 3, 32, 32), regions (B, 1 + each, 8, 8) bool, the first the whole picture, and the teacher's features of
    each, cut out of the same scene at a higher resolution and enlarged, (B, 1 + each, D)."""
    rng, styles = np.random.default_rng(seed), SEEN_STYLES["styles"]
    for number in count(seed * 10_000):
        flat = rng.random() < SEEN_STYLES["style_probs"][0]
        scenes = segmentation_scenes(
            "train", CHUNK, number, categories=CATEGORIES, styles=("flat",) if flat else styles[1:], objects=(1, 5), sides=(12, 84)
        )
        scene = torch.from_numpy(scenes.images).permute(0, 3, 1, 2).float() / 255
        for start in range(0, CHUNK - batch + 1, batch):
            yield _cut(teacher, scene[start : start + batch], rng, each)


def _cut(teacher, scene: Tensor, rng: np.random.Generator, each: int) -> tuple[Tensor, Tensor, Tensor]:
    side = int(rng.choice((64, 128)))  # of the cut-out, in pixels of the scene
    b, regions, crops, pictures = len(scene), [], [], []
    shrink = lambda x: F.interpolate(x[None], size=(32, 32), mode="bilinear", antialias=True, align_corners=False)[0]  # noqa: E731
    for i in range(b):
        y, x = rng.integers(0, 128 - side + 1, 2) // 4 * 4
        whole = scene[i, :, y : y + side, x : x + side]
        pictures.append(shrink(whole))
        seen = torch.zeros(1 + each, GRID, GRID, dtype=torch.bool)
        seen[0] = True
        crops.append(pictures[-1])
        for r in range(each):
            k = int(rng.choice(SIDES))
            top, left = rng.integers(0, GRID - k + 1, 2)
            seen[1 + r, top : top + k, left : left + k] = True
            cell = side // GRID
            crops.append(shrink(whole[:, top * cell : (top + k) * cell, left * cell : (left + k) * cell]))
        regions.append(seen)
    normal = lambda x: (torch.stack(x) - 0.5) / 0.25  # noqa: E731
    with torch.no_grad(), arithmetic(teacher.device.type):
        target = F.normalize(teacher.module.encode_image(normal(crops)).float(), dim=-1)
    return normal(pictures), torch.stack(regions), target.unflatten(0, (b, 1 + each))


def regional_loss(visual: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Mean of 1 − cosine between what the class token says of each region and what the teacher says of it alone."""
    pixels, regions, target = batch
    found = F.normalize(region_features(visual, pixels, regions).float(), dim=-1)
    return (1 - (found * target).sum(-1)).mean()


def make_regional(recipe, steps: int, device: str, tick, folder: Path) -> tuple[NanoEncoder, dict]:
    """Start from the shipped `nano` and train its image tower. Settings: "vision"."""
    teacher = load_model("nano", device=device).freeze()
    settings = {**teacher.config, "name": recipe.name, "vision_cfg": dict(recipe.settings["vision"])}
    module = build_nano(settings).to(device)
    module.load_state_dict(teacher.module.state_dict())  # the class token was there all along, unread
    module.requires_grad_(False)
    for name, p in module.visual.named_parameters():
        p.requires_grad_(name != "positional_embedding")  # fixed sines and cosines
    batches = region_batches(teacher, recipe.batch, recipe.seed + 1)
    history = train(module.visual, batches, regional_loss, steps, after_step=tick, **recipe.loop)
    model = NanoEncoder(module.requires_grad_(True), settings, folder)
    percent = probes.card_numbers(model)
    data = {"teacher": "nano", "scenes": "1 to 5 objects of all categories, styles of nano's pretraining; no caption, label or mask"}
    training = {"pictures": steps * recipe.batch, **history.summary()}
    return model, {"data": data, "training": training, "percent": percent, "known_failures": probes.known_failures(percent)}
