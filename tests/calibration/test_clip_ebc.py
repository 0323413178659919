"""Blocks, classes and the two DACE losses against the released code, with every deliberate difference named."""

from __future__ import annotations

import json

import pytest
import torch

from clipkit.dense import block_counts, blockwise, dm_count_loss
from clipkit.errors import ClipkitError
from tests.calibration.clip_ebc_official import ANCHORS, BINS, BLOCK, DOTS, FAR, SIDE, VALUES, inputs, pixel_map

STORED = json.loads(VALUES.read_text())
POINTS = [torch.tensor(dots) for dots in DOTS]


@pytest.fixture
def counts():
    return block_counts(POINTS, (SIDE, SIDE), BLOCK)


def test_provenance_is_complete():
    assert all(row["repository"] == "Yiming-M/CLIP-EBC" and len(row["release"]) == 40 and row["call"] for row in STORED.values())


def test_block_counts_are_the_sums_of_the_map_of_dots(counts):
    # Dots of one pixel collapse in the released map; here none do, and none is lost.
    sums = torch.stack([pixel_map(d)[0].unfold(0, BLOCK, BLOCK).unfold(1, BLOCK, BLOCK).sum((2, 3)) for d in DOTS])
    assert torch.equal(counts.float(), sums) and counts.max() >= 3


@pytest.mark.parametrize(("ours", "theirs", "tolerance"), [("l1", "mae", 1e-6), ("dm", "dmcount", 2e-4)])
def test_losses_and_their_gradients(counts, ours, theirs, tolerance):
    x, stored = inputs(), STORED["losses"]["value"][theirs]
    density = x["density"][:, 0].clone().requires_grad_()
    found = blockwise.dace_loss(x["logits"], density, counts.float(), BINS, ours, dots=POINTS, reduction=BLOCK)
    found["loss"].backward()
    assert found["cross_entropy"].item() == pytest.approx(stored["ce"], rel=1e-6)
    assert torch.allclose(density.grad, torch.tensor(stored["gradient"]), rtol=tolerance, atol=tolerance)
    if ours == "l1":  # the transport's value is a stand-in for its gradient in both codes, and not the same one
        assert found["loss"].item() == pytest.approx(stored["loss"], rel=1e-6)


def test_deliberate_difference_far_blocks_are_pulled_by_their_distance(counts):
    # Theirs adds 1e-16 to what underflows, so that the pull ends some 19 pixels from the dots; ours works on logarithms.
    density, stored = inputs()["density"][:, 0].clone().requires_grad_(), torch.tensor(STORED["losses"]["value"]["far"]["gradient"])
    dm_count_loss(density, counts.float(), [FAR * p for p in POINTS], FAR * BLOCK).backward()
    apart = (density.grad - stored).abs()
    assert apart.max() > 0.05 and torch.corrcoef(torch.stack([density.grad.flatten(), stored.flatten()]))[0, 1] > 0.98


def test_forward_pass():
    x, stored = inputs(), STORED["forward"]["value"]
    counter = blockwise.BlockwiseCounter(6, torch.tensor(ANCHORS), x["codes"])
    counter.decoder = torch.nn.Identity()
    logits, density = counter(x["maps"])
    assert torch.allclose(logits, torch.tensor(stored["logits"]), atol=1e-5)
    assert torch.allclose(density, torch.tensor(stored["density"]), atol=1e-5)


def test_deliberate_difference_half_a_head_is_refused():
    assert STORED["losses"]["value"]["half_a_head"] == [0, 1, 0]  # 0.4 and 2.6 fall between the bins, and nobody is told
    with pytest.raises(ClipkitError, match="whole counts"):
        blockwise.bin_classes(torch.tensor([0.4, 1.0, 2.6]), BINS)


def test_deliberate_difference_the_last_sentence_is_true():
    theirs, ours = STORED["forward"]["value"]["sentences"], blockwise.count_sentences(BINS, "person")
    assert theirs[:2] == ours[:2] and theirs[-1] == "There are more than three people." and ours[-1] == "There are three or more persons."
