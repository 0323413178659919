"""The linear probe: equals scikit-learn's by hand, chooses on validation only, says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from clipkit.adapt import LinearProbe
from clipkit.errors import ClipkitError


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 20)
    x = rng.normal(size=(60, 5)) * [1, 10, 1, 1, 0.1] + np.eye(3)[y] @ rng.normal(size=(3, 5))
    order = rng.permutation(60)
    return x[order], y[order]


def test_equals_scikit_learn_with_the_choice_written_out(data):
    x, y = data
    probe = LinearProbe((0.01, 1.0, 100.0)).fit(x[:20], y[:20], x[20:40], y[20:40])
    results = []
    for scale in (False, True):
        scaler = StandardScaler().fit(x[:20]) if scale else None
        a, b, c = (scaler.transform(part) if scale else part for part in (x[:20], x[20:40], x[40:]))
        for strength in (0.01, 1.0, 100.0):
            model = LogisticRegression(C=strength, max_iter=1000).fit(a, y[:20])
            results.append((100 * model.score(b, y[20:40]), scale, strength, model.predict(c)))
    best = max(results, key=lambda row: row[0])  # max keeps the first of equals, as documented
    assert probe.chosen_ == {"standardise": best[1], "strength": best[2], "validation": pytest.approx(best[0])}
    np.testing.assert_array_equal(probe.predict(x[40:]), best[3])
    assert probe.score(x[40:], y[40:]) == pytest.approx(100 * (best[3] == y[40:]).mean())


def test_takes_tensors_and_labels_with_gaps(data):
    x, y = torch.tensor(data[0], dtype=torch.float32, requires_grad=True), torch.tensor(data[1] * 4 + 1)
    probe = LinearProbe((1.0,)).fit(x[:40], y[:40], x[40:], y[40:])
    assert probe.classes_.tolist() == [1, 5, 9]
    logits = probe.logits(x)
    assert logits.shape == (60, 3)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-9)
    np.testing.assert_array_equal(probe.classes_[logits.argmax(1)], probe.predict(x))


def test_the_order_of_the_training_pictures_does_not_matter(data):
    x, y = data
    back = LinearProbe((1.0,)).fit(x[:40][::-1], y[:40][::-1], x[40:], y[40:])
    np.testing.assert_allclose(back.logits(x), LinearProbe((1.0,)).fit(x[:40], y[:40], x[40:], y[40:]).logits(x), atol=5e-3)


def test_scale_is_chosen_when_it_helps():
    rng = np.random.default_rng(1)
    y = np.tile([0, 1], 50)
    x = np.stack([1e-4 * (2 * y - 1 + rng.normal(size=100) * 0.3), rng.normal(size=100)], axis=1)  # the useful feature is tiny
    probe = LinearProbe((1.0,)).fit(x[:50], y[:50], x[50:], y[50:])
    assert probe.chosen_["standardise"] and probe.chosen_["validation"] > 90


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[0], y), "\\(N, D\\)"),
        (lambda x, y: (x, y[:-1]), "integers"),
        (lambda x, y: (x[:0], y[:0]), "N at least 1"),
        (lambda x, y: (np.where(np.arange(5) == 2, np.nan, x), y), "NaN"),
        (lambda x, y: (x, np.zeros_like(y)), "two classes"),
        (lambda x, y: (x[:, :4], y), "dimensions"),
    ],
)
def test_what_cannot_be_fitted_is_said(data, change, message):
    with pytest.raises(ClipkitError, match=message):
        LinearProbe((1.0,)).fit(*change(*data), *data)


def test_unfitted_and_bad_strengths(data):
    with pytest.raises(ClipkitError, match="not fitted"):
        LinearProbe().predict(data[0])
    for strengths in ((), (0.0, 1.0)):
        with pytest.raises(ClipkitError, match="strengths"):
            LinearProbe(strengths)
