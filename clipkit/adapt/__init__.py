"""Adaptation with few labels, or none: heads on frozen image features."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "amu": ["AMU"],
        "cache": ["TipAdapter", "cache_logits"],
        "caps": ["CapSAdapter", "build_support"],
        "clip_adapter": ["CLIPAdapter"],
        "continual": ["L2SP", "Budget", "Lesson", "Replay", "continual_finetune", "random_token_texts"],
        "cross_modal": ["CrossModalProbe", "wise"],
        "fusion": ["complementarity", "uncertainty_weight"],
        "gda": ["GDA", "ks_precision"],
        "gmm": ["gmm_em"],
        "linear_probe": ["LinearProbe"],
        "logistic": ["LogisticHead"],
        "nola": ["FeatureLabeller", "TunedTower", "confident_count", "description_embedding", "named_clusters", "select_confident"],
        "prompting": ["PromptLearner"],
        "prototypes": ["NearestClassMean", "PrototypeBlend"],
        "pseudolabels": ["balanced_assignment", "balanced_confident", "confident", "pseudolabel_rounds", "schedule"],
        "retained": ["Suite", "frontier_at", "interpolated", "retention", "retention_report"],
        "retrieval": ["adjusted_logits", "retrieve_balanced"],
        "selection": ["ensemble_logits", "select_alpha", "selection_rows"],
        "tip_x": ["TipX"],
        "tunable": ["WholeTowers", "tuned"],
        "visual_prompts": ["VisualPrompts"],
        "zeroshot_probe": ["ZeroShotProbe"],
    },
)
