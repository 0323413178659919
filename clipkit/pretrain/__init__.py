"""Pretraining: contrastive losses, the one training loop, recipes of the shipped checkpoints, their probes."""

from __future__ import annotations

from clipkit.pretrain.budget import (
    balanced_rows,
    budget_clip,
    by_thirds,
    frequency_thirds,
    rarity_weights,
    weighted_info_nce,
)
from clipkit.pretrain.curation import (
    count_matches,
    entry_probability,
    expected_size,
    gini,
    hash_sample,
    hash_uniform,
    keep_probability,
    merge_counts,
    pick_text,
    tail_share,
    threshold_for_size,
    threshold_for_tail,
)
from clipkit.pretrain.curation_dask import count_pass, kept_uids, sample_pass
from clipkit.pretrain.frequency import ConceptFrequency, concept_frequency, judged_matches, log_errors, tail_classes
from clipkit.pretrain.geometry import alignment, effective_dimension, modality_gap, spectrum, uniformity
from clipkit.pretrain.hopfield import recall, retrieval_weights, retrieve
from clipkit.pretrain.losses import (
    cloob_loss,
    decoupled_info_nce,
    equal_texts,
    info_loob,
    info_nce,
    info_nce_reference,
    leave_one_out,
    memory_info_nce,
    positive_logs,
)
from clipkit.pretrain.matching import SubstringMatcher, spaced
from clipkit.pretrain.metadata import bound_pairs, frequent_words, metadata_list
from clipkit.pretrain.phrases import PhraseCounter, plain_words
from clipkit.pretrain.senses import SenseJudge, balanced_accuracy, similarity_threshold
from clipkit.pretrain.train import History, cosine_schedule, train

__all__ = [
    "sample_pass",
    "kept_uids",
    "count_pass",
    "ConceptFrequency",
    "History",
    "PhraseCounter",
    "SenseJudge",
    "SubstringMatcher",
    "alignment",
    "balanced_accuracy",
    "balanced_rows",
    "bound_pairs",
    "budget_clip",
    "by_thirds",
    "cloob_loss",
    "concept_frequency",
    "cosine_schedule",
    "count_matches",
    "decoupled_info_nce",
    "effective_dimension",
    "entry_probability",
    "equal_texts",
    "expected_size",
    "frequency_thirds",
    "frequent_words",
    "gini",
    "hash_sample",
    "hash_uniform",
    "info_loob",
    "info_nce",
    "info_nce_reference",
    "judged_matches",
    "keep_probability",
    "leave_one_out",
    "log_errors",
    "memory_info_nce",
    "merge_counts",
    "metadata_list",
    "modality_gap",
    "pick_text",
    "plain_words",
    "positive_logs",
    "rarity_weights",
    "recall",
    "retrieval_weights",
    "retrieve",
    "similarity_threshold",
    "spaced",
    "spectrum",
    "tail_classes",
    "tail_share",
    "threshold_for_size",
    "threshold_for_tail",
    "train",
    "uniformity",
    "weighted_info_nce",
]
