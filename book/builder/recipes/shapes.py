"""`nano-dino` learns shapes without a label: self-distillation and contrast between views that share an object's shape and nothing else.

Three terms, one network. (1) DINO: the student's scores of one view follow the teacher's of the other. (2) A picture finds
its other view in the batch (SimCLR). (3) A picture finds its object's outline in the batch: a target from motion, as in
Pathak et al., arXiv:1612.06370 (there the network draws the segmentation of a video). Everything starts easy (plain ground,
object central) and gets hard over the first half: at full difficulty from the first step, the losses stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builder.recipes import probes
from builder.recipes.contrastive import model_config
from builder.recipes.cutouts import camera_batches, cutout_view, outlines
from builder.recipes.dino import Distiller, Student, contrast_loss
from clipkit.models.nano import NanoEncoder, build_nano
from clipkit.pretrain import info_nce
from clipkit.train import History, train
from clipkit.world import WorldSpec

OUTLINE = 16  # pixels a side
TEMPERATURE = 0.1  # of the picture–outline contrast


def _projection(width: int, hidden: int, out: int) -> nn.Sequential:
    """Two layers with batch normalisation: without it all features start nearly parallel, and contrast has nothing to grip."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out), nn.BatchNorm1d(out, affine=False)
    )


class ShapeStudent(Student):
    """A tower with DINO's head, one projection for views and one for outlines."""

    def __init__(self, tower: nn.Module, width: int, n_prototypes: int = 256):
        super().__init__(tower, width, n_prototypes)
        self.views, self.outlines = _projection(width, 256, 64), _projection(OUTLINE**2, 256, 64)


def shape_losses(module: ShapeStudent, features: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The label-free losses of two views: features (2B, width), outlines (2B, OUTLINE²) in 0..1.

    "views": `contrast_loss`; "outlines": symmetric InfoNCE between each view and its own outline.
    """
    z = F.normalize(module.views(features).float(), dim=-1)
    o = F.normalize(module.outlines(targets).float(), dim=-1)
    return {"views": contrast_loss(z.unflatten(0, (2, -1))), "outlines": info_nce(z, o, 1 / TEMPERATURE)}


def train_shapes(
    tower: nn.Module,
    width: int,
    batches: Iterator[tuple[Tensor, Tensor, Tensor]],
    steps: int,
    momentum: float = 0.99,
    easy: float = 0.5,
    seed: int = 0,
    tick=None,
    **loop,
) -> tuple[nn.Module, History]:
    """Train `tower` ((B, 3, S, S) -> (B, width)) on `camera_batches`; returns (the teacher's tower, history).

    Args: momentum: of the teacher. easy: share of the steps over which the views get harder. loop: of `clipkit.train.train`.
    """
    student = ShapeStudent(tower, width)
    distiller, generator, done = Distiller(student, momentum), torch.Generator().manual_seed(seed), 0

    def loss(module: ShapeStudent, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        ease = max(0.0, 1 - done / max(1, easy * steps))
        made = [cutout_view(*batch, generator, ease) for _ in range(2)]
        pixels, targets = torch.cat([v for v, _ in made]), outlines(torch.cat([m for _, m in made]), OUTLINE).flatten(1)
        features = module.tower(pixels)
        parts = shape_losses(module, features, targets)
        distil = distiller.loss(pixels, module.head(features)[1].unflatten(0, (2, -1)))
        return distil + parts["views"] + parts["outlines"]

    def follow(step: int, module: nn.Module, value: float) -> None:
        nonlocal done
        done = step + 1
        distiller.follow(module, step, steps)
        if tick is not None:
            tick(step, module, value)

    history = train(student, batches, loss, steps, after_step=follow, **loop)
    return distiller.teacher.eval().tower, history


def make_dino(recipe, steps: int, device: str, tick, folder: Path) -> tuple[NanoEncoder, dict]:
    """Settings: "vision", "embed_dim", and "worlds", (WorldSpec arguments, share of the steps) one after the other."""
    settings, worlds = model_config(recipe, folder), recipe.settings["worlds"]
    model = NanoEncoder(build_nano(settings).to(device), settings, folder)
    batches = camera_batches(model, [(WorldSpec(**spec), share) for spec, share in worlds], steps, recipe.batch, recipe.seed)
    tower, history = train_shapes(model.module.visual, model.embed_dim, batches, steps, seed=recipe.seed, tick=tick, **recipe.loop)
    model.module.visual = tower
    percent, pictures = probes.vision_card_numbers(model), steps * recipe.batch
    data = {"worlds": [{"spec": spec, "weight": share} for spec, share in worlds]}
    training = {"pictures": pictures, **history.summary()}
    return model, {"data": data, "training": training, "percent": percent, "known_failures": probes.known_failures(percent)}
