"""Robustness: calibration, scores for unknown classes, groups; corruptions and bias probes stand beside them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "concept_bias": ["AssociationBias", "Pulls", "association_bias", "association_regression", "asked_scores"],
        "calibration": ["calibration_under_shift", "expected_calibration_error", "fit_temperature", "reliability", "signed_gap"],
        "clipn": ["NoTextTower", "YesNo", "clipn_loss", "clipn_scores"],
        "clipn_training": ["train_no_tower"],
        "effective_robustness": ["RobustnessFit", "fit_effective_robustness"],
        "matched": ["MatchedGap", "ShapeBias", "matched_gap", "run_bootstrap", "shape_bias"],
        "mmd": ["squared_mmd"],
        "ood": ["neg_label", "ood_score"],
        "ood_measures": ["OODMetrics", "balanced_accuracy", "ood_metrics", "threshold_for_recall"],
        "ood_splits": ["OODSplit", "class_split", "world_split"],
        "spurious_groups": ["GroupDrop", "accuracy_by_place", "discover_spurious_groups", "group_drop", "in_groups"],
        "spurious_theory": ["linear_clip_direction", "linear_counter_error", "simulate_linear_clip"],
        "worst_group": ["GroupAccuracy", "group_accuracy"],
    },
)
