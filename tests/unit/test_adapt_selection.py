"""Mixing weights and protocols: golden values, ties, what each protocol may see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.adapt import ensemble_logits, select_alpha, selection_rows
from clipkit.adapt.selection import ALPHAS, PROTOCOLS, equal_spread
from clipkit.errors import ClipkitError
from clipkit.features.few_shot import FewShot, turns


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    y = {part: torch.tensor(rng.permutation(np.repeat(np.arange(3), n))) for part, n in (("pool", 8), ("val", 6), ("test", 10))}
    x = {part: torch.tensor(rng.normal(size=(len(labels), 4))) for part, labels in y.items()}
    parts = {part: (x[part], y[part]) for part in y}
    return FewShot(turn=turns(y["pool"].numpy()), classnames=["a", "b", "c"], templates=["{}"], **parts)


def test_zero_alpha_is_zero_shot_and_half_precision_follows_the_first():
    zs, other = torch.randn(5, 3), torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(ensemble_logits(zs, other, 0.0), zs)
    assert ensemble_logits(zs, other, 2.0).dtype == zs.dtype
    torch.testing.assert_close(ensemble_logits(zs, other, 2.0), zs + 2 * other.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alpha_by_hand(dtype):
    zs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=dtype)
    other = torch.tensor([[0.0, 2.0], [0.0, 20.0], [5.0, 0.0]], dtype=dtype)
    # labels 0, 1, 1: row 1 needs alpha > 0.05, row 0 alpha < 0.5, row 2 alpha < 0.2
    assert select_alpha(zs, other, torch.tensor([0, 1, 1])) == 0.1
    assert select_alpha(zs, other, torch.tensor([0, 0, 1])) == 1e-4  # all that leave zero-shot alone are equal: the smallest
    assert select_alpha(zs, other, torch.tensor([1, 1, 0]), grid=(100.0, 10.0)) == 10.0  # of equals, whatever their order


def test_alpha_equals_a_plain_search():
    g = torch.Generator().manual_seed(1)
    for classes in (1, 2, 1000):
        zs, other = (torch.randn(40, classes, generator=g) for _ in range(2))
        y = torch.randint(classes, (40,), generator=g)
        right = [((zs + a * other).argmax(1) == y).sum() for a in ALPHAS]
        assert select_alpha(zs, other, y) == ALPHAS[int(np.argmax(right))]


def test_equal_spread_makes_both_parts_count_the_same():
    g = torch.Generator().manual_seed(2)
    zs, other = 3 * torch.randn(50, 7, generator=g), 40 + 11 * torch.randn(50, 7, generator=g)
    alpha = equal_spread(zs, other)
    spreads = [(x - x.mean(1, keepdim=True)).square().mean().sqrt() for x in (zs, alpha * other)]
    torch.testing.assert_close(*spreads)
    assert equal_spread(zs, torch.ones(50, 7)) == 0.0


def test_what_each_protocol_sees(drawn):
    assert selection_rows(drawn, 4, "fixed") is None
    assert selection_rows(drawn, 4, "full_val") is drawn.val and selection_rows(drawn, 4, "oracle_test") is drawn.test
    for shots, expected in ((1, 1), (2, 2), (16, 4)):
        x, y = selection_rows(drawn, shots, "fewshot_val")
        assert torch.bincount(y).tolist() == [expected] * 3
        rows = {tuple(row) for row in drawn.val[0].tolist()}
        assert {tuple(row) for row in x.tolist()} <= rows
    fewer, more = ({tuple(r) for r in selection_rows(drawn, k, "fewshot_val")[0].tolist()} for k in (1, 2))
    assert fewer < more
    assert set(PROTOCOLS) == {"fixed", "fewshot_val", "full_val", "oracle_test"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: ensemble_logits(torch.ones(2, 3), torch.ones(2, 2), 1.0), "must be of one shape"),
        (lambda d: select_alpha(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0, 3])), "labels must lie"),
        (lambda d: select_alpha(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0])), "labels: want"),
        (lambda d: select_alpha(torch.ones(2, 3), torch.full((2, 3), float("nan")), torch.tensor([0, 1])), "NaN"),
        (lambda d: select_alpha(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0, 1]), ()), "at least one alpha"),
        (lambda d: equal_spread(torch.ones(2, 3), torch.ones(3, 3)), "must be of one shape"),
        (lambda d: selection_rows(d, 4, "full"), "did you mean 'full_val'"),
        (lambda d: selection_rows(d, 0, "fewshot_val"), "at least 1"),
    ],
)
def test_what_is_refused(drawn, call, message):
    with pytest.raises(ClipkitError, match=message):
        call(drawn)
