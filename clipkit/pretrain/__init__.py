"""Pretraining: contrastive losses, small models to train with them, and what the shipped models were made of."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "counting": [
            "CountRecipe",
            "CountingPairs",
            "OtherPairs",
            "balancing_weights",
            "count_scores",
            "evaluate_counting",
            "false_caption_loss",
            "tune_to_count",
        ],
        "curation": [
            "count_matches",
            "entry_probability",
            "expected_size",
            "gini",
            "hash_sample",
            "hash_uniform",
            "keep_probability",
            "merge_counts",
            "tail_share",
            "threshold_for_size",
            "threshold_for_tail",
        ],
        "curation_dask": ["count_pass", "kept_uids", "sample_pass"],
        "fixed_budget": ["balanced_rows", "budget_clip", "by_thirds", "frequency_thirds", "rarity_weights", "weighted_info_nce"],
        "frequency": ["ConceptFrequency", "concept_frequency", "judged_matches", "log_errors", "tail_classes"],
        "geometry": ["alignment", "effective_dimension", "modality_gap", "spectrum", "uniformity"],
        "gradient_saturation": ["identity_error", "saturation"],
        "hopfield": ["recall", "retrieval_weights", "retrieve", "self_weight"],
        "losses": [
            "cloob_loss",
            "decoupled_info_nce",
            "equal_texts",
            "info_loob",
            "info_nce",
            "info_nce_reference",
            "leave_one_out",
            "memory_info_nce",
            "positive_logs",
        ],
        "matching": ["SubstringMatcher", "spaced"],
        "metadata": ["bound_pairs", "frequent_words", "metadata_list"],
        "phrases": ["PhraseCounter", "plain_words"],
    },
)
