"""Geometry of the joint space: hand-worked values and invariants."""

import math

import pytest
import torch
from torch.nn import functional as F

from clipkit import ClipkitError
from clipkit.pretrain import alignment, effective_dimension, modality_gap, spectrum, uniformity


def test_gap_and_alignment_by_hand():
    x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    assert modality_gap(x, y).item() == pytest.approx(1.0)  # centres (1, 0) and (0, 0)
    assert alignment(x, y).item() == pytest.approx(2.0)
    assert modality_gap(x, x).item() == 0


def test_uniformity_by_hand_and_order():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # one pair at distance 2: log exp(-2 * 4)
    assert uniformity(x).item() == pytest.approx(-8)
    g = torch.Generator().manual_seed(0)
    spread = F.normalize(torch.randn(200, 8, generator=g), dim=-1)
    cone = F.normalize(spread + 3 * torch.eye(8)[0], dim=-1)
    assert uniformity(spread) < uniformity(cone)
    with pytest.raises(ClipkitError, match="N at least 2"):
        uniformity(x[:1])


def test_effective_dimension_counts_equal_directions():
    x = torch.cat([torch.eye(6, dtype=torch.float64)[:3], -torch.eye(6, dtype=torch.float64)[:3]])
    assert effective_dimension(x).item() == pytest.approx(3)
    assert effective_dimension(x * 10 + 5).item() == pytest.approx(3)  # scale and shift do not matter
    line = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    assert effective_dimension(line).item() == pytest.approx(1)


@pytest.mark.parametrize("mode", ["participation", "entropy", "var99"])
def test_every_mode_counts_equal_directions(mode):
    x = torch.cat([torch.eye(6, dtype=torch.float64)[:4], -torch.eye(6, dtype=torch.float64)[:4]])
    for cloud in (x, 3 * x - 2, x @ torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]):
        assert effective_dimension(cloud, mode).item() == pytest.approx(4)
    assert effective_dimension(torch.zeros(5, 3), mode).item() == 0


def test_modes_by_hand():
    # variances 90, 9, 1 (shares .9, .09, .01) along the axes, from points at +- sqrt(variance)
    spread = torch.tensor([90.0, 9.0, 1.0], dtype=torch.float64).sqrt().diag()
    x = torch.cat([spread, -spread])
    torch.testing.assert_close(spectrum(x), 2 * torch.tensor([90.0, 9.0, 1.0], dtype=torch.float64) / 5)
    torch.testing.assert_close(spectrum(x).sum(), x.var(0).sum())
    assert effective_dimension(x).item() == pytest.approx(1 / (0.81 + 0.0081 + 0.0001))
    entropy = -sum(q * math.log(q) for q in (0.9, 0.09, 0.01))
    assert effective_dimension(x, "entropy").item() == pytest.approx(math.exp(entropy))
    wanted = {"var50": 1, "var90": 1, "var91": 2, "var99": 2}
    assert {mode: effective_dimension(x, mode).item() for mode in wanted} == wanted


def test_spectrum_wants_a_cloud():
    with pytest.raises(ClipkitError, match="N at least 2"):
        spectrum(torch.ones(1, 3))
    with pytest.raises(ClipkitError, match="NaN"):
        effective_dimension(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))
    for mode in ("rank", "var", "var100", "var0", "varx"):
        with pytest.raises(ClipkitError, match="mode of effective_dimension"):
            effective_dimension(torch.eye(3), mode)


def test_bad_shapes():
    with pytest.raises(ClipkitError, match="dimensions where"):
        modality_gap(torch.ones(3, 2), torch.ones(3, 5))
    assert math.isfinite(effective_dimension(torch.zeros(4, 3)).item())
