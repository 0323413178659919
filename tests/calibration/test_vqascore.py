"""VQAScore and its meta-evaluation against released code of t2v_metrics, on a tiny T5 and small vectors with ties."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from clipkit.metrics import kendall
from clipkit.score.agreement import group_correlations, pairwise_accuracy
from clipkit.score.hf_vqa import HFVQA
from clipkit.score.vqascore import VQAScore
from clipkit.score.winoground_tasks import winoground
from tests.calibration.vqascore_official import IMAGE, SYSTEM, TEXTS, VALUES, numbers, tiny_t5

STORED = json.loads(VALUES.read_text())
QUESTION = 'Does this figure show "{}"? Please answer yes or no.'


class Processor:
    """The released tokenisation: what stands before and after the picture is read apart, so a </s> closes both."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, images, text, return_tensors, padding):
        rows = []
        for prompt in text:
            before, after = (self.tokenizer(part).input_ids for part in prompt.split("<image>"))
            rows.append({"input_ids": [*before, IMAGE, *after]})
        return self.tokenizer.pad(rows, return_tensors=return_tensors)


@pytest.fixture(scope="module")
def answerer():
    model, tokenizer = tiny_t5()
    return HFVQA(model, Processor(tokenizer), SYSTEM + " USER: <image>\n{} ASSISTANT: ", batch=3)


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert STORED[name]["repository"] == "linzhiqiu/t2v_metrics" and len(STORED[name]["release"]) == 40 and name in STORED[name]["call"]


@pytest.mark.parametrize(("name", "answer"), [("vqascore", "yes"), ("vqascore_no", "no")])
def test_the_released_score_is_the_geometric_one(answerer, name, answer):
    """exp(- mean cross-entropy) of "Yes </s>". It is not P(yes): that has one token, and adds up the spellings."""
    images = [np.zeros((4, 4, 3), dtype=np.uint8)] * len(TEXTS)
    got = VQAScore(answerer, QUESTION, answer, norm="geo").pairs(images, TEXTS)
    want = torch.tensor(STORED[name]["value"])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(VQAScore(answerer, QUESTION, answer).pairs(images, TEXTS), want, rtol=0.05)


def test_winoground():
    scores, _, _ = numbers()
    want = {name: 100 * value for name, value in STORED["winoground"]["value"].items()}
    assert winoground(scores).percent() == pytest.approx(want) and 0 < want["group"] < want["text"]


@pytest.mark.parametrize("name", ["pooled", "grouped"])
def test_agreement_with_ratings(name):
    _, truth, metric = numbers()
    group = None if name == "pooled" else np.repeat(np.arange(8), 5)
    accuracy, eps = STORED[f"calibrated_{name}"]["value"]
    found = pairwise_accuracy(truth, metric, group=group)
    assert found.accuracy == pytest.approx(accuracy) and found.eps == pytest.approx(eps, abs=1e-9)
    if name == "pooled":
        assert kendall(truth, metric) == pytest.approx(STORED["tau_b_pooled"]["value"])
        assert kendall(truth, metric, "c") == pytest.approx(STORED["tau_c_pooled"]["value"])
    else:
        assert group_correlations(truth, metric, group, "kendall").mean == pytest.approx(STORED["tau_b_grouped"]["value"])
