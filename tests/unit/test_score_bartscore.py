"""Directions, references and prompts of BARTScore, on a scorer whose numbers are known by hand; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.score.bartscore import BARTScore, PromptedScorer


class Counts:
    """−(words of the target that the source lacks), and −number of words without a source; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def logprob(self, src, tgt, norm="mean", skip_special=False):
        self.asked += list(zip(src or [None] * len(tgt), tgt, strict=True))
        rows = [(set() if s is None else set(s.split()), t.split()) for s, t in zip(src or [None] * len(tgt), tgt, strict=True)]
        total = torch.tensor([-float(sum(w not in s for w in t)) for s, t in rows], dtype=torch.float64)
        return total / torch.tensor([float(len(t)) for _, t in rows]) if norm == "mean" else total


SOURCES, TEXTS = ["a red cat in snow", "two dogs"], ["a cat in rain", "two cats"]
REFERENCES = [["a cat", "red cat"], ["two dogs run"]]


def test_directions_by_hand():
    score = BARTScore(Counts(), norm="sum")
    np.testing.assert_allclose(score.faithfulness(SOURCES, TEXTS), [-1, -1])
    np.testing.assert_allclose(score.precision(REFERENCES, TEXTS), [(-2 - 3) / 2, -1])
    np.testing.assert_allclose(score.recall(REFERENCES, TEXTS), [(0 - 1) / 2, -2])
    np.testing.assert_allclose(score.f1(REFERENCES, TEXTS), [-1.5, -1.5])
    np.testing.assert_allclose(score.information(SOURCES, TEXTS), [-1 + 4, -1 + 2])
    every = score.all(SOURCES, REFERENCES, TEXTS)
    for name in ("faithfulness", "precision", "recall", "f1"):
        given = SOURCES if name == "faithfulness" else REFERENCES
        np.testing.assert_allclose(every[name], getattr(score, name)(given, TEXTS))


def test_the_best_reference_instead_of_the_mean():
    score = BARTScore(Counts(), norm="sum", agg="max")
    np.testing.assert_allclose(score.precision(REFERENCES, TEXTS), [-2, -1])
    np.testing.assert_allclose(score.recall(REFERENCES, TEXTS), [0, -2])


def test_weights_are_one_over_m():
    np.testing.assert_allclose(BARTScore(Counts()).faithfulness(SOURCES, TEXTS), [-1 / 4, -1 / 2])


def test_prompts_stand_where_the_released_code_puts_them():
    scorer = Counts()
    PromptedScorer(scorer, ["that is"], "decoder").logprob(["x"], ["y"])
    PromptedScorer(scorer, ["that is"], "encoder").logprob(["x"], ["y"])
    assert scorer.asked == [("x", "that is, y"), ("x that is,", "y")]


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_an_ensemble_is_the_mean_of_its_prompts(side):
    prompts = ["cat", "in short"]
    both = PromptedScorer(Counts(), prompts, side)
    one = [PromptedScorer(Counts(), [p], side).logprob(SOURCES, TEXTS) for p in prompts]
    torch.testing.assert_close(both.each(SOURCES, TEXTS), torch.stack(one))
    torch.testing.assert_close(both.logprob(SOURCES, TEXTS), torch.stack(one).mean(0))
    assert BARTScore(both).recall(REFERENCES, TEXTS).shape == (2,)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda s: BARTScore(s).precision(["a"], ["a"]), "needs a list"),
        (lambda s: BARTScore(s).precision([["a"]], ["a", "b"]), "one list for each"),
        (lambda s: BARTScore(s).recall([[]], ["a"]), "one or more references"),
        (lambda s: BARTScore(s, agg="min").recall([["a"]], ["a"]), "unknown aggregate"),
        (lambda s: PromptedScorer(s, [], "decoder"), "one or more texts"),
        (lambda s: PromptedScorer(s, "so", "decoder"), "one or more texts"),
        (lambda s: PromptedScorer(s, ["so"], "both"), "unknown side"),
        (lambda s: PromptedScorer(s, ["so"], "encoder").logprob(None, ["a"]), "needs a source"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call(Counts())
