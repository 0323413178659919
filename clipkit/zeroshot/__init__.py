"""Zero-shot classification: prompts to class weights, class weights to logits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "classifier": ["zeroshot_logits", "zeroshot_weights"],
        "comclip": ["Triple", "add_parts", "box_mask", "comclip_score", "cut_out", "parse_triple", "part_weights"],
        "conditioning": ["conditional_zeroshot", "infer_context", "pool_contexts"],
        "descriptions": [
            "DescriptionPool",
            "PHOTO_DESCRIPTIONS",
            "average_by_class",
            "choose_weight",
            "described_logits",
            "described_prompts",
            "described_weights",
            "without_names",
        ],
        "disclip": ["CAPTION_WEIGHTS", "DescriptionSelector", "class_similarities", "select_descriptions", "share_true"],
        "pool": ["PromptPool"],
        "synonyms": ["read_synonyms"],
        "weighting": ["prompt_scores", "prompt_weights", "weighted_classifier"],
    },
)
