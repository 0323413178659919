"""Texts from pictures, and pictures from texts: captioners, their rewards and metrics, and the world as a generator.

    captioner = load_captioner()                                # reads the patch tokens of nano
    captioner.write(picture_tokens(nano, images))               # greedy captions
    self_critical_training(captioner, tokens, WeightedReward([...], {"clip": 2.0, "grammar": 1.0}), steps=60)

A name imports the file it lives in when it is first asked for.
"""

from __future__ import annotations

from clipkit.lazy import exports

_HOME = {
    "captioners": "PHOTO_QUESTIONS ProbeCaptioner ReadoutCaptioner photo_sentence",
    "drawn": "STYLE_SHIFTS DomainTask domain_pictures domain_task drawn_features folder_task style_captioner world_sentence",
    "caption_model": "CaptionDecoder picture_tokens reference_batches train_captioner",
    "scst": "advantages kl_to scst_step self_critical_loss self_critical_training word_mask",
    "clip_reward": "CLIPReward GrammarHead R_CODE R_PAPER WeightedReward finetune_text_grammar grammar_accuracy grammar_loss pooled_text",
    "corruptions_of_text": "CORRUPTION_KINDS corrupt_caption",
    "cider": "CiderD",
    "caption_grammar": "grammatical grammatical_rate",
    "caption_metrics": "attribute_prf chair distinct_n listener_recall listener_scores ngram_repetition retrieval_recall",
    "references": "brief_references brief_vocabulary full_captions",
    "shipped": "load_captioner load_grammar",
}
__getattr__, __all__ = exports(__name__, _HOME)
