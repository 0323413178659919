"""Adaptation with few labels, or none: heads on frozen image features."""

from __future__ import annotations

from clipkit.adapt.amu import AMU
from clipkit.adapt.cache import TipAdapter, cache_logits
from clipkit.adapt.caps import CapSAdapter, build_support, compare_keys
from clipkit.adapt.clip_adapter import CLIPAdapter
from clipkit.adapt.cross_modal import CrossModalProbe, wise
from clipkit.adapt.fusion import complementarity, logit_bias, uncertainty_weight
from clipkit.adapt.gda import GDA, ks_precision
from clipkit.adapt.gmm import gmm_em
from clipkit.adapt.linear_probe import LinearProbe
from clipkit.adapt.logistic import LogisticHead
from clipkit.adapt.nola import (
    FeatureLabeller,
    TunedTower,
    confident_count,
    description_embedding,
    named_clusters,
    select_confident,
)
from clipkit.adapt.prompting import PromptLearner
from clipkit.adapt.prototypes import NearestClassMean, PrototypeBlend
from clipkit.adapt.pseudolabels import balanced_assignment, balanced_confident, confident, pseudolabel_rounds, schedule
from clipkit.adapt.retrieval import adjusted_logits, retrieve_balanced
from clipkit.adapt.selection import ensemble_logits, select_alpha, selection_rows
from clipkit.adapt.tip_x import TipX, kl_affinity
from clipkit.adapt.visual_prompts import VisualPrompts
from clipkit.adapt.zeroshot_probe import ZeroShotProbe

__all__ = [
    "FeatureLabeller",
    "TunedTower",
    "confident_count",
    "description_embedding",
    "named_clusters",
    "select_confident",
    "CrossModalProbe",
    "adjusted_logits",
    "retrieve_balanced",
    "wise",
    "AMU",
    "CLIPAdapter",
    "complementarity",
    "logit_bias",
    "uncertainty_weight",
    "CapSAdapter",
    "TipX",
    "build_support",
    "compare_keys",
    "kl_affinity",
    "GDA",
    "LinearProbe",
    "LogisticHead",
    "NearestClassMean",
    "PromptLearner",
    "PrototypeBlend",
    "TipAdapter",
    "VisualPrompts",
    "ZeroShotProbe",
    "balanced_assignment",
    "balanced_confident",
    "cache_logits",
    "confident",
    "ensemble_logits",
    "gmm_em",
    "ks_precision",
    "pseudolabel_rounds",
    "schedule",
    "select_alpha",
    "selection_rows",
]
