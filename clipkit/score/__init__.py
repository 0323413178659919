"""Scores: what judges a picture or a text, and how well such a judge agrees with the truth.

A name imports the file it lives in when it is first asked for.
"""

from __future__ import annotations

from clipkit.lazy import exports

_HOME = {
    "agreement": "GroupCorrelations PairwiseAccuracy bootstrap_by_group group_correlations kendall pairwise_accuracy",
    "overlap": "bleu chrf cider_d embedding_match greedy_match rouge",
    "bartscore": "BARTScore PromptedScorer prompt_ensemble",
}
__getattr__, __all__ = exports(__name__, _HOME)
