"""Scores of all pictures with all texts, against plain peers.

Run with: pytest tests/benchmarks/test_bench_score.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it computed the same. The peers: the loop of the released VQAScore code, which
looks at the picture again for every pair and batches pairs as they come; and Winoground's accuracies by a loop over dicts.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.recipes.vqa_lessons import ANSWERS, question_vocabulary
from clipkit.score.nano_vqa import NanoVQA, patch_tokens
from clipkit.score.vqascore import DEFAULT_QUESTION, NanoAnswerer, VQAScore
from clipkit.score.winoground_tasks import quadruples, winoground

pytest.importorskip("pytest_benchmark")
BENCH = {"rounds": 3, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def scorer():
    torch.manual_seed(0)
    return VQAScore(NanoAnswerer(NanoVQA(question_vocabulary(), ANSWERS, layers=3).eval(), load_model("nano", device="cpu")))


@pytest.fixture(scope="module")
def tasks():
    return quadruples(4, 3)


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


@pytest.mark.benchmark(group="VQAScore, 32 pictures x 32 texts")
def test_pictures_seen_once(benchmark, scorer, tasks):
    got = benchmark.pedantic(scorer, (tasks.images, tasks.texts), **BENCH)
    torch.testing.assert_close(got[:2], as_released(scorer, tasks.images[:2], tasks.texts), atol=1e-4, rtol=1e-4)


@pytest.mark.benchmark(group="VQAScore, 32 pictures x 32 texts")
def test_pair_by_pair(benchmark, scorer, tasks):
    got = benchmark.pedantic(as_released, (scorer, tasks.images, tasks.texts), **BENCH)
    assert got.shape == (32, 32)


def by_dicts(scores):
    right = 0
    for s in scores:
        r = {"c0_i0": s[0][0], "c0_i1": s[1][0], "c1_i0": s[0][1], "c1_i1": s[1][1]}
        text = r["c0_i0"] > r["c1_i0"] and r["c1_i1"] > r["c0_i1"]
        right += text and r["c0_i0"] > r["c0_i1"] and r["c1_i1"] > r["c1_i0"]
    return 100 * right / len(scores)


@pytest.fixture(scope="module")
def scores():
    return np.random.default_rng(0).random((20_000, 2, 2))


@pytest.mark.benchmark(group="Winoground, 20,000 tasks")
def test_winoground(benchmark, scores):
    assert benchmark.pedantic(lambda: winoground(scores).percent()["group"], **BENCH) == pytest.approx(by_dicts(scores))


@pytest.mark.benchmark(group="Winoground, 20,000 tasks")
def test_winoground_by_dicts(benchmark, scores):
    assert 15 < benchmark.pedantic(by_dicts, (scores,), **BENCH) < 18
