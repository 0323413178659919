"""VQAScore: the probability that a model which answers questions says "yes" when asked whether the picture shows the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown
from clipkit.score.eyes import patch_tokens
from clipkit.score.nano_vqa import NanoVQA
from clipkit.score.protocol import PairScorer
from clipkit.world.question_answers import figure_question

DEFAULT_QUESTION = figure_question("{}")  # the paper's words, in the lower case of the world's vocabulary
NORMS = ("prob", "yes_no", "geo")


class Answerer(Protocol):
    """A model that answers questions about pictures, with probabilities."""

    def see(self, images: Any) -> Any:
        """What it keeps of pictures, to be indexed by a list of numbers."""

    def logprobs(self, seen: Any, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """log P(answer | picture i, question i), (K, len(answers))."""

    def mean_logprob(self, seen: Any, questions: Sequence[str], answer: str) -> Tensor:
        """Mean log-probability (K,) of all tokens of the answer, the closing one counted."""


class NanoAnswerer:
    """A NanoVQA with the image tower whose patches it reads. `name` and `fingerprint` are the answerer's."""

    def __init__(self, vqa: NanoVQA, model):
        self.vqa, self.model = vqa, model
        self.name, self.fingerprint = getattr(vqa, "name", "nano-vqa"), getattr(vqa, "fingerprint", "")

    def see(self, images: Any) -> Tensor:
        """Patch tokens (M, 64, 256) float16."""
        return patch_tokens(self.model, images)

    def logprobs(self, seen: Tensor, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        for answer in answers:
            if answer not in self.vqa.answers:
                raise unknown("answer", answer, self.vqa.answers)
        return self.vqa.logprobs(seen, questions)[:, [self.vqa.answers.index(a) for a in answers]]

    def mean_logprob(self, seen: Tensor, questions: Sequence[str], answer: str) -> Tensor:
        # Two label tokens, the answer and the end; a classifier always stops, so the second has probability 1.
        return self.logprobs(seen, questions, [answer])[:, 0] / 2


class VQAScore(PairScorer):
    """P("yes" | picture, question about the text).

    Args:
        vqa: an Answerer. question: has one {} for the text. answer: what speaks for the text.
        norm: "prob": P(yes). "yes_no": P(yes) / (P(yes) + P(no)). "geo": geometric mean of the probabilities of *all* label
            tokens, as the released code computes it: about √P(yes) when the second token is the end.

    Raises: ClipkitError for an unknown norm or a question without {}.
    Source: arXiv:2404.01291, eq. 1; "geo" from the authors' code.
    """

    def __init__(self, vqa: Answerer, question: str = DEFAULT_QUESTION, answer: str = "yes", norm: str = "prob"):
        if norm not in NORMS:
            raise unknown("norm", norm, NORMS)
        if question.count("{}") != 1:
            raise ClipkitError(f"the question {question!r} needs one {{}} where the text goes")
        self.vqa, self.question, self.answer, self.norm = vqa, question, answer, norm

    def see(self, images: Any) -> Any:
        return self.vqa.see(images)

    def _pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        questions = [self.question.format(t) for t in texts]
        if self.norm == "geo":
            return self.vqa.mean_logprob(seen, questions, self.answer).exp()
        if self.norm == "prob":
            return self.vqa.logprobs(seen, questions, [self.answer])[:, 0].exp()
        both = self.vqa.logprobs(seen, questions, [self.answer, "no"])
        return (both[:, 0] - torch.logsumexp(both, 1)).exp()
