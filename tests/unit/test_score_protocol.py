"""Scorers: one protocol for cosine and question; the norms of VQAScore; formulas of CLIPScore; and what is refused."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch

from builder.recipes.vqa_lessons import question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.score import clipscore
from clipkit.score.clipscore import CLIPScore, clip_score
from clipkit.score.lessons import WORDINGS
from clipkit.score.nano_vqa import NanoVQA
from clipkit.score.protocol import PairScorer, Scorer
from clipkit.score.vqascore import DEFAULT_QUESTION, NORMS, NanoAnswerer, VQAScore

TEXTS = ["a", "bb", "ccc"]


class Lengths(PairScorer):
    """10 times the picture's number, plus the text's length."""

    def see(self, images):
        return torch.as_tensor(np.asarray(images, dtype=np.float32))[:, None, None]

    def _pairs(self, seen, texts):
        return 10 * seen[:, 0, 0] + torch.tensor([float(len(t)) for t in texts])


class Says:
    """An answerer with set probabilities: picture 0 0.9 yes and 0.05 no, picture 1 0.2 and 0.6; the rest are other answers."""

    def see(self, images):
        return list(images)

    def logprobs(self, seen, questions, answers):
        self.asked = list(questions)
        p = {0: {"yes": 0.9, "no": 0.05}, 1: {"yes": 0.2, "no": 0.6}}
        return torch.tensor([[math.log(p[i][a]) for a in answers] for i in seen])

    def mean_logprob(self, seen, questions, answer):
        return self.logprobs(seen, questions, [answer])[:, 0] / 2


class Vectors:
    def image_features(self, images):
        return torch.nn.functional.normalize(torch.as_tensor(images, dtype=torch.float32), dim=-1)

    def text_features(self, texts):
        return torch.nn.functional.normalize(torch.tensor([[float(len(t)), 1.0, -2.0] for t in texts]).view(-1, 3), dim=-1)


IMAGES = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 2.0], [3.0, 1.0, -1.0]])


@pytest.mark.parametrize(
    ("scorer", "images"),
    [(Lengths(), [0, 1, 2]), (CLIPScore(Vectors()), IMAGES.numpy()), (VQAScore(Says()), [0, 1, 1]), (VQAScore(Says()), [1, 0, 1])],
)
def test_pairs_are_the_diagonal_of_all(scorer, images):
    every, seen = scorer(images, TEXTS), scorer.see(images)
    assert isinstance(scorer, Scorer) and every.shape == (3, 3) and every.dtype == torch.float32
    torch.testing.assert_close(scorer.pairs(seen, TEXTS), every.diagonal())
    torch.testing.assert_close(scorer(seen, TEXTS[::-1]), every.flip(1))
    assert scorer(seen, []).shape == (3, 0)
    with pytest.raises(ClipkitError, match="no pairs"):
        scorer.pairs(images, TEXTS[:2])
    for bad in ("a cat", [1, 2, 3]):
        with pytest.raises(ClipkitError, match="list of strings"):
            scorer(images, bad)


@pytest.mark.parametrize(
    ("norm", "want"),
    [("prob", (0.9, 0.2)), ("yes_no", (0.9 / 0.95, 0.25)), ("geo", (0.9**0.5, 0.2**0.5))],
)
def test_norms(norm, want):
    vqa = Says()
    got = VQAScore(vqa, norm=norm).pairs([0, 1], ["a red cat", "snow"])
    torch.testing.assert_close(got, torch.tensor(want))
    assert vqa.asked[0] == 'does this figure show "a red cat"? please answer yes or no.'
    assert WORDINGS[0] == DEFAULT_QUESTION and norm in NORMS


def test_the_nano_answerer_reads_its_columns():
    torch.manual_seed(0)
    net = NanoVQA(question_vocabulary(), ["no", "yes"], picture_width=6, picture_length=4, width=16, layers=1, heads=2).eval()
    seen, texts = torch.randn(2, 4, 6), ["a red cat", "two dogs"]
    got = VQAScore(NanoAnswerer(net, None), question=WORDINGS[1], answer="no").pairs(seen, texts)
    torch.testing.assert_close(got, net.logprobs(seen, [WORDINGS[1].format(t) for t in texts])[:, 0].exp())
    geo, plain = (VQAScore(NanoAnswerer(net, None), norm=n).pairs(seen, texts) for n in ("geo", "prob"))
    torch.testing.assert_close(geo, plain.sqrt())
    with pytest.raises(ClipkitError, match="unknown answer"):
        VQAScore(NanoAnswerer(net, None), answer="maybe").pairs(seen, texts)
    with pytest.raises(ClipkitError, match="unknown norm"):
        VQAScore(Says(), norm="logit")
    for question in ("is it?", "{} or {}?"):
        with pytest.raises(ClipkitError, match="one {}"):
            VQAScore(Says(), question=question)


def test_examples_in_docstrings():
    found = doctest.testmod(clipscore)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clip_scores_against_numpy(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    t = lambda v: torch.from_numpy(v).to(dtype)  # noqa: E731
    want = [2.5 * max(cosine(a, b), 0) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(clip_score(t(x), t(y)).numpy(), want, rtol=1e-5, atol=1e-6)
    assert clip_score(t(3 * x), t(0.1 * y)).numpy() == pytest.approx(np.array(want), rel=1e-5)


@pytest.mark.parametrize(
    "act",
    [
        lambda: clip_score(torch.ones(2, 3), torch.ones(2, 4)),
        lambda: clip_score(torch.full((2, 3), float("nan")), torch.ones(2, 3)),
        lambda: clip_score(torch.ones(3), torch.ones(3)),
    ],
)
def test_refused_features(act):
    with pytest.raises(ClipkitError):
        act()
