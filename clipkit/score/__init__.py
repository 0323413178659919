"""Scores: what judges a picture or a text, and how well such a judge agrees with the truth.

A name imports the file it lives in when it is first asked for.
"""

from __future__ import annotations

from clipkit.lazy import exports

_HOME = {
    "agreement": "GroupCorrelations PairwiseAccuracy bootstrap_by_group group_correlations kendall pairwise_accuracy",
    "overlap": "bleu chrf cider_d embedding_match greedy_match rouge",
    "bartscore": "BARTScore PromptedScorer prompt_ensemble",
    "protocol": "PairScorer Scorer",
    "clipscore": "CLIPScore clip_score directional_similarity ref_clip_score",
    "vqascore": "DEFAULT_QUESTION ITMScore MeanScore NanoAnswerer VQAScore",
    "decomposed": "DecomposedScore SubQuestion decompose",
    "nano_vqa": "Eyes NanoVQA load_vqa patch_tokens",
    "two_towers": "TwoTowers hard_negative_loss load_two_towers",
    "winoground": "Quadruples Winoground quadruples",  # the function has its file's name: from clipkit.score.winoground import winoground
    "hf_vqa": "HFVQA PAPER_QUESTION",
}
__getattr__, __all__ = exports(__name__, _HOME)
