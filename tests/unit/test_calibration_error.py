"""Calibration against a direct count, and the temperature against a grid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from clipkit import ClipkitError
from clipkit.robust import expected_calibration_error, fit_temperature, reliability


def draw(seed: int, n: int = 200, c: int = 4):
    g = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, c, generator=g, dtype=torch.float64)
    labels = torch.multinomial((logits / 2).softmax(1), 1, generator=g).flatten()
    return logits, labels


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), bins=st.integers(1, 20))
def test_equals_a_direct_count(seed, bins):
    logits, labels = draw(seed)
    p = logits.softmax(1).numpy()
    confidence, correct = p.max(1), p.argmax(1) == labels.numpy()
    total = 0.0
    for k in range(bins):
        rows = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if rows.any():
            total += rows.mean() * abs(confidence[rows].mean() - correct[rows].mean())
    assert expected_calibration_error(logits.softmax(1), labels, bins) == pytest.approx(total)


def test_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 0])  # 0.9 confident, half right: gap 0.4; 0.6 confident, all right: gap 0.4
    assert expected_calibration_error(p, y, bins=10) == pytest.approx(0.4)
    confidence, accuracy, share = reliability(p, y, bins=10)
    assert share.sum().item() == pytest.approx(1) and accuracy[8].item() == 0.5 and confidence[5].item() == pytest.approx(0.6)


def test_temperature_finds_the_planted_one():
    logits, labels = draw(3, n=20_000)  # labels were drawn at temperature 2
    t = fit_temperature(logits, labels)
    assert t == pytest.approx(2, abs=0.08)
    grid = np.linspace(1.5, 2.5, 101)
    best = grid[np.argmin([log_loss(labels, (logits / g).softmax(1)) for g in grid])]
    assert t == pytest.approx(best, abs=0.02)


def test_temperature_never_changes_the_winner():
    logits, labels = draw(5)
    assert torch.equal((logits / fit_temperature(logits, labels)).argmax(1), logits.argmax(1))


def test_bad_input():
    with pytest.raises(ClipkitError, match="labels must lie"):
        expected_calibration_error(torch.ones(2, 2) / 2, torch.tensor([0, 2]))
    with pytest.raises(ClipkitError, match="N at least 1"):
        expected_calibration_error(torch.ones(0, 2), torch.empty(0, dtype=torch.long))
    with pytest.raises(ClipkitError, match="want"):
        reliability(torch.ones(3, 2) / 2, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: 10 * p, "row 0 adds up to 10; of logits give logits.softmax"),
        (lambda p: 0.5 * p, "adds up to 0.5"),
        (lambda p: p - torch.tensor([1.0, -1.0]), "one is -0.8"),  # rows sum to 1, entries below 0
        (lambda p: p * float("nan"), "NaN"),
        (lambda p: p / 0, "infinite"),
    ],
)
def test_what_is_no_probability_has_no_calibration_error(change, words):
    p, y = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1])
    for measure in (expected_calibration_error, reliability):
        with pytest.raises(ClipkitError, match=words):
            measure(change(p), y)
    with pytest.raises(ClipkitError, match="bins must be at least 1"):
        expected_calibration_error(p, y, bins=0)
    assert expected_calibration_error(p.bfloat16(), y) == pytest.approx(expected_calibration_error(p, y), abs=0.01)


def test_temperature_of_broken_logits_is_refused():
    with pytest.raises(ClipkitError, match="logits: 1 rows hold NaN"):
        fit_temperature(torch.tensor([[1.0, float("inf")]]), torch.tensor([0]))
