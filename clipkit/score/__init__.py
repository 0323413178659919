"""Scores: what judges a picture or a text, and how well such a judge agrees with the truth.

A name imports the file it lives in when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agreement": ["GroupCorrelations", "PairwiseAccuracy", "group_correlations", "pairwise_accuracy"],
        "bartscore": ["BARTScore", "PromptedScorer"],
        "clipscore": ["CLIPScore", "clip_score"],
        "cross_modal_reader": ["CrossModalReader"],
        "decomposed": ["DecomposedScore", "SubQuestion", "decompose"],
        "eyes": ["Eyes", "patch_tokens"],
        "hf_vqa": ["HFVQA", "PAPER_QUESTION"],
        "nano_vqa": ["NanoVQA", "load_vqa"],
        "overlap": ["chrf", "embedding_match", "greedy_match", "rouge"],
        "protocol": ["PairScorer", "Scorer"],
        "two_towers": ["TwoTowers", "hard_negative_loss", "load_two_towers"],
        "vqascore": ["DEFAULT_QUESTION", "NanoAnswerer", "VQAScore"],
        "winoground_tasks": ["Quadruples", "Winoground", "quadruples"],
    },
)
