"""BARTScore: judge a text by how likely a trained writer finds it, given the source or a reference.

    BARTScore(x → y) = Σ_t ω_t log p(y_t | y_<t, x),  ω_t = 1/m

Faithfulness is source → text, precision reference → text, recall text → reference, F the mean of the last two.
Source: arXiv:2106.11520, section 3; equal weights as in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.score.overlap import flat, over_references

SIDES = ("encoder", "decoder")


class TextScorer(Protocol):
    """What `BARTScore` needs: a `Seq2SeqScorer`, or anything with its `logprob`."""

    def logprob(self, src: Sequence | None, tgt: Sequence[str], norm: str = "mean", skip_special: bool = False) -> Tensor: ...


class BARTScore:
    """The four directions over one scorer. All results are (N,) arrays of log-probabilities a token: higher is better.

    Args:
        scorer: a TextScorer. norm, skip_special: see `Seq2SeqScorer.logprob`. agg: "mean" or "max" over several references.
    """

    def __init__(self, scorer: TextScorer, norm: str = "mean", skip_special: bool = False, agg: str = "mean"):
        self.scorer, self.norm, self.skip_special, self.agg = scorer, norm, skip_special, agg

    def score(self, src: Sequence | None, tgt: Sequence[str]) -> np.ndarray:
        """log p(tgt | src) a token, (N,)."""
        return self.scorer.logprob(src, tgt, self.norm, self.skip_special).numpy()

    def faithfulness(self, sources: Sequence, texts: Sequence[str]) -> np.ndarray:
        """source → text."""
        return self.score(sources, texts)

    def precision(self, references: Sequence[Sequence[str]], texts: Sequence[str]) -> np.ndarray:
        """reference → text, over the references of each text."""
        read, owner = flat(references, texts)
        return over_references(self.score(read, [texts[i] for i in owner]), owner, len(texts), self.agg)

    def recall(self, references: Sequence[Sequence[str]], texts: Sequence[str]) -> np.ndarray:
        """text → reference, over the references of each text."""
        written, owner = flat(references, texts)
        return over_references(self.score([texts[i] for i in owner], written), owner, len(texts), self.agg)

    def f1(self, references: Sequence[Sequence[str]], texts: Sequence[str]) -> np.ndarray:
        """Mean of precision and recall. (The released code also stores P·R/(P+R) of these negative numbers; that has no meaning.)"""
        return (self.precision(references, texts) + self.recall(references, texts)) / 2

    def information(self, sources: Sequence, texts: Sequence[str]) -> np.ndarray:
        """source → text minus the same without a source: pointwise mutual information a token. Fluency cancels."""
        return self.score(sources, texts) - self.score(None, texts)

    def all(self, sources: Sequence, references: Sequence[Sequence[str]], texts: Sequence[str]) -> dict[str, np.ndarray]:
        """{"faithfulness": …, "precision": …, "recall": …, "f1": …}, each direction scored once."""
        p, r = self.precision(references, texts), self.recall(references, texts)
        return {"faithfulness": self.faithfulness(sources, texts), "precision": p, "recall": r, "f1": (p + r) / 2}


class PromptedScorer:
    """A scorer whose source or target has a prompt: "source prompt," or "prompt, target"; the target's prompt is scored too.

    Args: prompts: one or more; the scores are averaged. side: "encoder" (behind the source) or "decoder" (before the target).

    Source: arXiv:2106.11520, section 3.3; the punctuation is that of the released code.
    """

    def __init__(self, scorer: TextScorer, prompts: Sequence[str], side: str = "decoder"):
        checks.one_of("side of a prompt", side, SIDES)
        if isinstance(prompts, str) or not len(prompts):
            raise ClipkitError(f"prompts is a list of one or more texts, got {prompts!r}")
        self.scorer, self.prompts, self.side = scorer, list(prompts), side

    def each(self, src: Sequence | None, tgt: Sequence[str], norm: str = "mean", skip_special: bool = False) -> Tensor:
        """Scores (P, N), one row a prompt."""
        if self.side == "encoder" and src is None:
            raise ClipkitError("a prompt behind the source needs a source; use side='decoder'")
        rows = []
        for prompt in self.prompts:
            pair = ([f"{s} {prompt}," for s in src], tgt) if self.side == "encoder" else (src, [f"{prompt}, {t}" for t in tgt])
            rows.append(self.scorer.logprob(*pair, norm, skip_special))
        return torch.stack(rows)

    def logprob(self, src: Sequence | None, tgt: Sequence[str], norm: str = "mean", skip_special: bool = False) -> Tensor:
        """Mean over the prompts, (N,)."""
        return self.each(src, tgt, norm, skip_special).mean(0)
