"""Self-distillation without labels (DINO): a student agrees with the moving average of itself across views.

Source: Caron et al., arXiv:2104.14294, algorithm 1; two global and `n_local` local crops.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.pretrain.train import History, cosine_schedule, train


class DinoHead(nn.Module):
    """Three-layer projection to `n_prototypes` scores through a unit-norm bottleneck (weight-normalised last layer)."""

    def __init__(self, width: int, n_prototypes: int = 256, hidden: int = 256, bottleneck: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck))
        self.prototypes = nn.Parameter(torch.randn(n_prototypes, bottleneck) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T  # (B, K)


class Student(nn.Module):
    """Tower and head as one module, so that one loop trains both."""

    def __init__(self, tower: nn.Module, width: int, n_prototypes: int = 256):
        super().__init__()
        self.tower, self.head = tower, DinoHead(width, n_prototypes)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.tower(pixels))


def dino_loss(student: Tensor, teacher: Tensor, centre: Tensor, student_temperature=0.1, teacher_temperature=0.05) -> Tensor:
    """Cross-entropy of every student view against every *other* teacher view.

    Args: student (V, B, K) scores of all views; teacher (G, B, K) scores of the global views, which are the
        student's first G; centre (K,) moving mean of the teacher's scores, against collapse.
    Returns: 0-d tensor, nats.
    """
    target = ((teacher - centre) / teacher_temperature).softmax(-1).detach()
    log_probability = (student / student_temperature).log_softmax(-1)
    terms = [-(target[g] * log_probability[v]).sum(-1).mean() for g in range(len(target)) for v in range(len(log_probability)) if g != v]
    return torch.stack(terms).mean()


def random_views(pixels: Tensor, generator: torch.Generator, scale: tuple[float, float]) -> Tensor:
    """Random resized crop (area share in `scale`), flip and brightness/contrast jitter, one draw an image.

    pixels (B, 3, S, S) normalised; returns the same shape. Colour stays: in the world it is content.
    """
    B = len(pixels)
    draw = lambda low, high: low + (high - low) * torch.rand(B, generator=generator)  # noqa: E731
    side = draw(*scale).sqrt()
    shift = [(1 - side) * draw(-1, 1) for _ in range(2)]
    flip = torch.where(torch.rand(B, generator=generator) < 0.5, -1.0, 1.0)
    zero = torch.zeros(B)
    theta = torch.stack([torch.stack([side * flip, zero, shift[0]], 1), torch.stack([zero, side, shift[1]], 1)], 1)
    view = F.grid_sample(pixels, F.affine_grid(theta, pixels.shape, align_corners=False), padding_mode="reflection", align_corners=False)
    return view * draw(0.8, 1.2)[:, None, None, None] + draw(-0.15, 0.15)[:, None, None, None]


def train_dino(
    tower: nn.Module,
    width: int,
    batches: Iterator[Tensor],
    steps: int,
    lr: float = 1e-3,
    momentum: float = 0.99,
    n_local: int = 1,
    seed: int = 0,
    muon_lr: float | None = None,
    precision: str = "fp32",
    after_step=None,
) -> tuple[nn.Module, History]:
    """Train `tower` ((B, 3, S, S) -> (B, width)); returns (the teacher's tower, history)."""
    student = Student(tower, width)
    teacher = copy.deepcopy(student).requires_grad_(False)
    centre = torch.zeros(student.head.prototypes.shape[0])
    generator = torch.Generator().manual_seed(seed)

    def loss(module: nn.Module, pixels: Tensor) -> Tensor:
        nonlocal centre
        views = [random_views(pixels, generator, (0.4, 1.0)) for _ in range(2)]
        views += [random_views(pixels, generator, (0.15, 0.4)) for _ in range(n_local)]
        with torch.no_grad():
            target = teacher(torch.cat(views[:2])).float().unflatten(0, (2, -1))
        scores = module(torch.cat(views)).float().unflatten(0, (len(views), -1))
        value = dino_loss(scores, target, centre)
        centre = 0.9 * centre + 0.1 * target.mean((0, 1))
        return value

    @torch.no_grad()
    def follow(step: int, module: nn.Module, value: float) -> None:
        decay = 1 - (1 - momentum) * cosine_schedule(step, steps, 1)  # rises to 1, as in the paper
        for t, s in zip(teacher.parameters(), module.parameters(), strict=True):
            t.lerp_(s, 1 - decay)
        if after_step is not None:
            after_step(step, module, value)

    history = train(student, batches, loss, steps, lr=lr, weight_decay=0.04, muon_lr=muon_lr, precision=precision, after_step=follow)
    return teacher.eval().tower, history


def image_batches(model, spec, batch: int, seed: int, chunk: int = 4096) -> Iterator[Tensor]:
    """Endless (batch, 3, S, S) float32 pixels of `spec`, preprocessed for `model`."""
    from clipkit.world import render, sample_scenes

    rng, start = np.random.default_rng([seed, 2]), 0
    while True:
        images = render(sample_scenes(spec, chunk, seed, start=start), size=model.image_size).images
        start += chunk
        order = rng.permutation(len(images))
        for i in range(0, len(order) - batch + 1, batch):
            yield model.preprocess_batch(images[order[i : i + batch]])
