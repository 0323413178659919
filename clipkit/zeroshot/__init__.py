"""Zero-shot classification: prompts to class weights, class weights to logits."""

from __future__ import annotations

from clipkit.zeroshot.classifier import fill_templates, zeroshot_logits, zeroshot_weights
from clipkit.zeroshot.conditioning import AttributeSpace, conditional_zeroshot, context_weights, infer_context, pool_contexts
from clipkit.zeroshot.descriptions import (
    PHOTO_DESCRIPTIONS,
    DescriptionPool,
    average_by_class,
    choose_weight,
    described_logits,
    described_prompts,
    described_weights,
    without_names,
)
from clipkit.zeroshot.disclip import CAPTION_WEIGHTS, DescriptionSelector, class_similarities, select_descriptions, share_true
from clipkit.zeroshot.pool import PromptPool
from clipkit.zeroshot.synonyms import read_synonyms
from clipkit.zeroshot.weighting import prompt_scores, prompt_weights, weighted_classifier

__all__ = [
    "AttributeSpace",
    "CAPTION_WEIGHTS",
    "DescriptionPool",
    "DescriptionSelector",
    "PHOTO_DESCRIPTIONS",
    "PromptPool",
    "average_by_class",
    "choose_weight",
    "class_similarities",
    "conditional_zeroshot",
    "context_weights",
    "described_logits",
    "described_prompts",
    "described_weights",
    "fill_templates",
    "infer_context",
    "pool_contexts",
    "prompt_scores",
    "prompt_weights",
    "read_synonyms",
    "select_descriptions",
    "share_true",
    "weighted_classifier",
    "without_names",
    "zeroshot_logits",
    "zeroshot_weights",
]
