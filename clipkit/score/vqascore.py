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
NORMS = ("prob", "yes_no", "not_no", "geo")


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
        vqa: an Answerer. question: has one {} for the text. answer: what speaks for the text; `against`: what speaks against it.
        norm: "prob": P(yes). "yes_no": P(yes) / (P(yes) + P(no)). "not_no": 1 − P(no). "geo": geometric mean of the
            probabilities of *all* label tokens, as the released code computes it: about √P(yes) when the second token is the end.

    Raises: ClipkitError for an unknown norm or a question without {}.
    Source: arXiv:2404.01291, eq. 1; "geo" from the authors' code.
    """

    def __init__(self, vqa: Answerer, question: str = DEFAULT_QUESTION, answer: str = "yes", norm: str = "prob", against: str = "no"):
        if norm not in NORMS:
            raise unknown("norm", norm, NORMS)
        if question.count("{}") != 1:
            raise ClipkitError(f"the question {question!r} needs one {{}} where the text goes")
        self.vqa, self.question, self.answer, self.norm, self.against = vqa, question, answer, norm, against

    def see(self, images: Any) -> Any:
        return self.vqa.see(images)

    def _pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        questions = [self.question.format(t) for t in texts]
        if self.norm == "geo":
            return self.vqa.mean_logprob(seen, questions, self.answer).exp()
        if self.norm == "prob":
            return self.vqa.logprobs(seen, questions, [self.answer])[:, 0].exp()
        both = self.vqa.logprobs(seen, questions, [self.answer, self.against])
        return 1 - both[:, 1].exp() if self.norm == "not_no" else (both[:, 0] - torch.logsumexp(both, 1)).exp()


class ITMScore(VQAScore):
    """Image–text matching: the same network, taught to tell captions from captions with words exchanged; P(yes) is its match score.

    What sets it apart from VQAScore is its training alone: it has seen the very task it is tested on.
    """


class MeanScore:
    """Mean of two scorers after each was standardised on other data (`fit`), so that neither scale decides alone."""

    def __init__(self, scorers: Sequence[Any]):
        self.scorers, self.scales = list(scorers), None

    def fit(self, images: Any, texts: Sequence[str]) -> MeanScore:
        """Learn each scorer's mean and spread on pairs that are not the ones to be judged."""
        values = [s.pairs(s.see(images), texts) for s in self.scorers]
        if any(float(v.std()) == 0 for v in values):
            raise ClipkitError("a scorer gives all pairs the same score; fit on pairs that differ")
        self.scales = [(float(v.mean()), float(v.std())) for v in values]
        return self

    def see(self, images: Any) -> list[tuple]:
        """A list with what each scorer keeps of each picture."""
        return list(zip(*(s.see(images) for s in self.scorers), strict=True))

    def _parts(self, seen: Any) -> list[Any]:
        seen = seen if isinstance(seen, list) and seen and isinstance(seen[0], tuple) else self.see(seen)
        columns = [[row[k] for row in seen] for k in range(len(self.scorers))]
        return [torch.stack(c) if isinstance(c[0], Tensor) else c for c in columns]

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        if self.scales is None:
            raise ClipkitError("call fit on other data first: two scores on different scales cannot be averaged raw")
        return torch.stack([(v - m) / s for v, (m, s) in zip(values, self.scales, strict=True)]).mean(0)

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        return self._mean([s.pairs(part, texts) for s, part in zip(self.scorers, self._parts(seen), strict=True)])

    def __call__(self, seen: Any, texts: Sequence[str]) -> Tensor:
        return self._mean([s(part, texts) for s, part in zip(self.scorers, self._parts(seen), strict=True)])
