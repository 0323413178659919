"""Pretraining: contrastive losses, the one training loop, recipes of the shipped checkpoints, their probes."""

from __future__ import annotations

from clipkit.pretrain.geometry import alignment, effective_dimension, modality_gap, uniformity
from clipkit.pretrain.losses import info_nce, info_nce_reference
from clipkit.pretrain.train import History, cosine_schedule, train

__all__ = [
    "History",
    "alignment",
    "cosine_schedule",
    "effective_dimension",
    "info_nce",
    "info_nce_reference",
    "modality_gap",
    "train",
    "uniformity",
]
