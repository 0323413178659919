"""Self-distillation without labels (DINO): a student agrees with the moving average of itself across views.

Source: Caron et al., arXiv:2104.14294, algorithm 1. A network learns what its views have in common, and crops of one
picture have the background and the colours in common; `nano-dino` was trained on other views (`cutouts`).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.train import cosine_schedule


class DinoHead(nn.Module):
    """Three-layer projection to `n_prototypes` scores through a unit-norm bottleneck (weight-normalised last layer)."""

    def __init__(self, width: int, n_prototypes: int = 256, hidden: int = 256, bottleneck: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck))
        self.prototypes = nn.Parameter(torch.randn(n_prototypes, bottleneck) * 0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = F.normalize(self.mlp(x).float(), dim=-1)  # (B, bottleneck)
        return z, z @ F.normalize(self.prototypes, dim=-1).T  # (B, K)


class Student(nn.Module):
    """Tower and head as one module, so that one loop trains both; gives unit vectors and their scores."""

    def __init__(self, tower: nn.Module, width: int, n_prototypes: int = 256):
        super().__init__()
        self.tower, self.head = tower, DinoHead(width, n_prototypes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
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


def contrast_loss(z: Tensor, temperature: float = 0.2) -> Tensor:
    """Find a picture's other view among all views of the batch: z (2, B, D) unit vectors -> 0-d, nats.

    Source: Chen et al., arXiv:2002.05709, eq. 1 (NT-Xent).
    """
    n = z.shape[1]
    scores = z.flatten(0, 1) @ z.flatten(0, 1).T / temperature  # (2B, 2B)
    scores = scores.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf)
    return F.cross_entropy(scores, torch.arange(2 * n, device=z.device).roll(n))


class Distiller:
    """The teacher: a moving average of the student, with the moving mean of its scores (the centre)."""

    def __init__(self, student: Student, momentum: float = 0.99):
        self.teacher, self.momentum = copy.deepcopy(student).requires_grad_(False), momentum
        self.centre = torch.zeros(student.head.prototypes.shape[0])

    def loss(self, globals_: Tensor, scores: Tensor) -> Tensor:
        """`dino_loss` for two global views (2B, 3, S, S) and the student's scores (V, B, K) of all its views."""
        with torch.no_grad():
            target = self.teacher(globals_)[1].float().unflatten(0, (2, -1))
        value = dino_loss(scores.float(), target, self.centre)
        self.centre = 0.9 * self.centre + 0.1 * target.mean((0, 1))
        return value

    @torch.no_grad()
    def follow(self, student: nn.Module, step: int, steps: int) -> None:
        decay = 1 - (1 - self.momentum) * cosine_schedule(step, steps, 1)  # rises to 1, as in the paper
        for t, s in zip(self.teacher.parameters(), student.parameters(), strict=True):
            t.lerp_(s, 1 - decay)
        for t, s in zip(self.teacher.buffers(), student.buffers(), strict=True):  # statistics of batch normalisation
            t.copy_(s)
