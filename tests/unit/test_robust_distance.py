"""Maximum mean discrepancy: by hand, zero on average for one distribution, grows with the shift, says what is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.robust import squared_mmd


def draw(n, d, seed, shift=0.0):
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, d)) + shift)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (4, 7, 3)])
def test_equals_the_sums_written_out(n, m, d):
    x, y, h = draw(n, d, 0), draw(m, d, 1, 0.5), 1.3

    def k(a, b):
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True)) / (2 * h * h))

    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(k(a, b) for a in x for b in y) / (n * m)
    assert squared_mmd(x, y, h) == pytest.approx(within_x + within_y - 2 * across, abs=1e-12)
    assert squared_mmd(x.float(), y.float(), h) == pytest.approx(squared_mmd(x, y, h), abs=1e-6)


def test_zero_on_average_for_one_distribution_and_larger_the_farther():
    same = [squared_mmd(draw(30, 4, s), draw(40, 4, s + 1000)) for s in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(60) and min(same) < 0
    far = [squared_mmd(draw(60, 4, 0), draw(60, 4, 1, shift), 2.0) for shift in (0.0, 0.5, 1.0, 3.0)]
    assert far == sorted(far) and far[-1] > 0.5


def test_symmetric_and_bandwidth_is_the_median_distance():
    x, y = draw(9, 3, 0), draw(8, 3, 1, 1.0)
    assert squared_mmd(x, y) == pytest.approx(squared_mmd(y, x))
    median = torch.pdist(torch.cat([x, y])).median().item()
    assert squared_mmd(x, y) == pytest.approx(squared_mmd(x, y, median))


@pytest.mark.parametrize(
    ("x", "y", "h", "message"),
    [
        (draw(1, 3, 0), draw(4, 3, 1), None, "x: want floating-point numbers"),
        (draw(4, 3, 0), draw(4, 2, 1), None, "y: 2 dimensions"),
        (draw(4, 3, 0), draw(4, 3, 1) * math.nan, None, "y: 4 rows hold NaN"),
        (draw(4, 3, 0), draw(4, 3, 1), 0.0, "bandwidth"),
        (torch.ones(3, 2), torch.ones(3, 2), None, "all features the same"),
    ],
)
def test_bad_input_is_said(x, y, h, message):
    with pytest.raises(ClipkitError, match=message):
        squared_mmd(x, y, h)
