"""One validator: tensors, arrays and lists alike; each refusal says what is wrong and where."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipkit import ClipkitError, checks
from clipkit.adapt import GDA

X = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])


def test_what_passes_is_the_same_numbers_as_a_tensor():
    for given_ in (X, X.numpy(), X.tolist(), X.numpy()[::-1][::-1]):
        torch.testing.assert_close(checks.features(given_), X, check_dtype=False)
    assert checks.features([[0.1]]).item() == 0.1 and checks.vector([0.1]).item() == 0.1  # lists keep their digits
    assert checks.labels(np.array([0, 1], dtype=np.uint16), 2, 2).tolist() == [0, 1]
    assert checks.features(X) is X  # nothing is copied
    assert torch.equal(checks.features(X.numpy()[::-1]), X.flip(0))  # numpy's reversed view, which torch cannot share
    assert checks.labels([0, 1], 2).dtype == checks.labels(np.array([0, 1], dtype=np.int32), 2).dtype == torch.int64
    x, y, w, n = checks.support(X.tolist(), [1, 0], X.double().numpy())
    assert w.dtype == x.dtype and n == 2 and y.tolist() == [1, 0]
    assert checks.support(X, [0, 4])[3] == 5 and checks.support(X, [0, 4], n_classes=9)[3] == 9


@given(st.integers(0, 5), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_the_first_bad_row_is_named(row, value):
    x = torch.ones(6, 3)
    x[row, 1] = value
    with pytest.raises(ClipkitError, match=f"features: 1 rows hold NaN or infinite values, the first is row {row}"):
        checks.features(x)


def test_a_sum_that_overflows_is_not_infinite():
    big = torch.full((3, 2), 3e38)
    assert big.sum().isinf() and checks.finite(big, "big") is big
    half = torch.full((3, 2), 6e4, dtype=torch.float16)
    assert checks.finite(half, "half") is half


NAN = X * torch.nan


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: checks.features("cat"), "want a tensor, an array or a list of numbers, got str"),
        (lambda: checks.features([[1.0], [1.0, 2.0]]), "features: want a tensor"),
        (lambda: checks.features(X[0]), r"\(N, D\), N at least 1, got \(3,\)"),
        (lambda: checks.features(X.long()), "floating-point"),
        (lambda: checks.features(X, at_least=3), "N at least 3"),
        (lambda: checks.features(X, "keys", 4), "keys: 3 dimensions where 4 are wanted"),
        (lambda: checks.labels([0, 1], 3), "want 3 integers"),
        (lambda: checks.labels([0.0, 1.0], 2), "want 2 integers"),
        (lambda: checks.labels([True, False], 2), "want 2 integers"),
        (lambda: checks.labels([0, 2], 2, 2), "must lie between 0 and 1, got 0 to 2"),
        (lambda: checks.labels([-1, 0], 2), "got -1 to 0"),
        (lambda: checks.support(X, [0, 1], X[:, :2]), "text weights: 2 dimensions where 3"),
        (lambda: checks.support(X, [0, 1], X, 3), "leave n_classes out"),
        (lambda: checks.support(NAN, [0, 1]), "the first is row 0"),
        (lambda: checks.fitted(GDA(), "weight_", X), "this GDA is not fitted"),
        (lambda: checks.probabilities(torch.tensor([[0.5, 0.6]])), "sum to 1"),
        (lambda: checks.probabilities(torch.tensor([[1.5, -0.5]])), "one is -0.5"),
        (lambda: checks.same_shape(X, X.T, what="two tables"), r"two tables must be of one shape, got \(2, 3\), \(3, 2\)"),
        (lambda: checks.vector(X, "scores"), "scores: want numbers"),
        (lambda: checks.paired([1, 2], [1]), "one score for each"),
        (lambda: checks.positive(lr=0), "lr must be positive"),
        (lambda: checks.positive(lr=math.inf), "lr must be positive"),
        (lambda: checks.positive(lr=math.nan), "lr must be positive"),
        (lambda: checks.at_least(1, k=0), "k must be at least 1, got 0"),
        (lambda: checks.share(lam=1.5), "lam must lie between 0 and 1"),
        (lambda: checks.share(lam=math.nan), "lam must lie between 0 and 1"),
        (lambda: checks.one_of("rule", "colum", ("column", "argmax")), "did you mean 'column'"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ClipkitError, match=said):
        call()


def test_what_is_not_given_passes():
    checks.positive(lr=None)
    checks.at_least(1, batch=None)
    checks.share(text_share=None)
