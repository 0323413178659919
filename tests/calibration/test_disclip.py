"""The choice of descriptions against the released code of DisCLIP: neighbours, selection, guesses at four caption weights."""

import json

import torch

from clipkit.zeroshot import DescriptionSelector, select_descriptions
from tests.calibration.official_disclip import CLASSES, POOL, SHOTS, VALUES, WEIGHTS, K, M, inputs

STORED = json.loads(VALUES.read_text())


def fitted() -> DescriptionSelector:
    given = inputs()
    own = torch.zeros(CLASSES, POOL, dtype=torch.bool)
    own[:, :M] = True
    head = DescriptionSelector(given["descriptions"], own, k=K, m=M)
    return head.fit(given["support"], torch.arange(CLASSES).repeat_interleave(SHOTS), given["captions"])


def test_provenance_is_complete():
    assert {"repository", "commit", "call"} <= set(STORED)


def test_same_neighbours_and_same_selection():
    head = fitted()
    near = head.neighbours(inputs()["images"])
    assert near.tolist() == STORED["neighbours"]
    picked = select_descriptions(head.similarity_, near, M)
    assert [[sorted(p for p in row if p >= 0) for row in image] for image in picked.tolist()] == STORED["selected"]
    assert any(not row for image in STORED["selected"] for row in image)  # the fallback is part of what is compared


def test_same_guesses_at_every_weight():
    head, guesses = fitted(), []
    for head.weight in json.loads(WEIGHTS):
        guesses.append(head.predict_logits(inputs()["images"]).argmax(1).tolist())
    assert guesses == STORED["guesses"]
