"""Texts from pictures, and pictures from texts: captioners, their rewards and metrics, and the world as a generator.

    captioner = load_captioner()                                # reads the patch tokens of nano
    captioner.write(picture_tokens(nano, images))               # greedy captions
    self_critical_training(captioner, tokens, WeightedReward([...], {"clip": 2.0, "grammar": 1.0}), steps=60)

A name imports the file it lives in when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "caption_grammar": ["grammatical", "grammatical_rate"],
        "caption_metrics": [
            "attribute_prf",
            "chair",
            "listener_recall",
            "listener_scores",
            "ngram_repetition",
            "retrieval_recall",
        ],
        "caption_model": ["CaptionDecoder", "load_captioner", "picture_tokens", "reference_batches", "train_captioner"],
        "cider": ["CiderD"],
        "clip_reward": [
            "CLIPReward",
            "GrammarHead",
            "R_CODE",
            "R_PAPER",
            "WeightedReward",
            "finetune_text_grammar",
            "grammar_accuracy",
            "grammar_loss",
            "pooled_text",
        ],
        "references": ["brief_references", "brief_vocabulary", "full_captions"],
        "text_grammar": ["load_grammar"],
        "scst": ["SelfCritical", "advantages", "kl_to", "scst_step", "self_critical_loss", "self_critical_training", "word_mask"],
    },
)
