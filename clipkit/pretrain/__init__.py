"""Pretraining: contrastive losses, the one training loop, recipes of the shipped checkpoints, their probes."""

from __future__ import annotations

from clipkit.pretrain.frequency import ConceptFrequency, concept_frequency, judged_matches, log_errors, tail_classes
from clipkit.pretrain.geometry import alignment, effective_dimension, modality_gap, uniformity
from clipkit.pretrain.losses import info_nce, info_nce_reference
from clipkit.pretrain.phrases import PhraseCounter, plain_words
from clipkit.pretrain.senses import SenseJudge, balanced_accuracy, similarity_threshold
from clipkit.pretrain.train import History, cosine_schedule, train

__all__ = [
    "ConceptFrequency",
    "PhraseCounter",
    "SenseJudge",
    "balanced_accuracy",
    "concept_frequency",
    "judged_matches",
    "log_errors",
    "plain_words",
    "similarity_threshold",
    "tail_classes",
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
