"""Scores of all pictures with all texts, against plain peers.

The peers: the loop of the released VQAScore code, which looks at the picture again for every pair and batches pairs as they come; and
Winoground's accuracies by a loop over dicts.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from builder.recipes.vqa_lessons import question_vocabulary
from clipkit import load_model
from clipkit.score.eyes import patch_tokens
from clipkit.score.nano_vqa import ANSWERS, NanoVQA
from clipkit.score.vqascore import DEFAULT_QUESTION, NanoAnswerer, VQAScore
from clipkit.score.winoground_tasks import quadruples, winoground


def as_released(scorer, images, texts, batch=16):
    """For each picture, its pairs with all texts in batches; the picture is looked at for every pair."""
    vqa, model = scorer.vqa.vqa, scorer.vqa.model
    out, yes = torch.zeros(len(images), len(texts)), vqa.answers.index("yes")
    for i, image in enumerate(images):
        for at in range(0, len(texts), batch):
            part = texts[at : at + batch]
            seen = patch_tokens(model, np.stack([image] * len(part)))
            with torch.no_grad():
                scores = vqa(seen, vqa.encode([DEFAULT_QUESTION.format(t) for t in part]))
            out[i, at : at + batch] = scores.softmax(-1)[:, yes]
    return out


def test_vqascore(pair, size):
    torch.manual_seed(0)
    scorer = VQAScore(NanoAnswerer(NanoVQA(question_vocabulary(), ANSWERS, layers=3).eval(), load_model("nano", device="cpu")))
    tasks = quadruples(4, 3)
    images, texts = tasks.images[: size(8, 2)], tasks.texts
    same = partial(torch.testing.assert_close, atol=1e-4, rtol=1e-4)
    name = f"VQAScore, {len(images)} pictures × {len(texts)} texts"
    pair(name, lambda: scorer(images, texts), lambda: as_released(scorer, images, texts), "the released loop", same)


def by_dicts(scores):
    right = 0
    for s in scores:
        r = {"c0_i0": s[0][0], "c0_i1": s[1][0], "c1_i0": s[0][1], "c1_i1": s[1][1]}
        text = r["c0_i0"] > r["c1_i0"] and r["c1_i1"] > r["c0_i1"]
        right += text and r["c0_i0"] > r["c0_i1"] and r["c1_i1"] > r["c1_i0"]
    return 100 * right / len(scores)


def test_winoground(pair):
    scores = np.random.default_rng(0).random((20_000, 2, 2))

    def same(ours, theirs):
        assert ours == pytest.approx(theirs) and 15 < ours < 18  # a sixth of random tasks is right

    name = "Winoground, 20,000 tasks"
    pair(name, lambda: winoground(scores).percent()["group"], lambda: by_dicts(scores), "a loop over dicts", same)
