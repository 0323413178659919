"""Closed-form few-shot heads at the size of ImageNet: 1,000 classes, 16 shots, 512 dimensions; against plain peers.

Run with: pytest tests/benchmarks/test_bench_adapt.py --benchmark-enable --benchmark-group-by=group
Nothing here asserts on time; each case asserts that it computed the same logits, or is as accurate. The target is a
second for a fit, and to be faster than the peers: scikit-learn's LDA, the equations of GDA's paper written down as they
stand (a loop over classes and a pseudo-inverse), and Tip-Adapter's with a one-hot matrix.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, one_hot

from clipkit.adapt import GDA, NearestClassMean, PrototypeBlend, TipAdapter

pytest.importorskip("pytest_benchmark")
CLASSES, SHOTS, DIMENSIONS, TESTS = 1000, 16, 512, 2000
SCALE, ALPHA, BETA = 100.0, 1.0, 5.5
BENCH = {"rounds": 3, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def data():
    """Class centres on the sphere; one cloud of an uneven shape around each; texts a little beside the centres."""
    generator = torch.Generator().manual_seed(0)

    def noise(n: int) -> torch.Tensor:
        return torch.randn(n, DIMENSIONS, generator=generator)

    spread = torch.linspace(0.2, 3.0, DIMENSIONS)
    centres = normalize(noise(CLASSES), dim=1)
    labels, test_labels = torch.arange(CLASSES).repeat_interleave(SHOTS), torch.arange(TESTS) % CLASSES
    features, test = (normalize(centres[y] + 0.08 * spread * noise(len(y)), dim=1) for y in (labels, test_labels))
    return features, labels, normalize(centres + 0.08 * noise(CLASSES), dim=1), test, test_labels


def right(logits, labels) -> float:
    return 100 * (torch.as_tensor(logits).argmax(1) == labels).double().mean().item()


def gda_as_written(features: torch.Tensor, labels: torch.Tensor, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """arXiv:2402.04087, eq. 2-5, one after the other."""
    means = torch.stack([features[labels == c].mean(0) for c in range(n_classes)])
    rest = torch.cat([features[labels == c] - means[c] for c in range(n_classes)])
    covariance, d = torch.cov(rest.T), features.shape[1]
    precision = d * torch.linalg.pinv((len(rest) - 1) * covariance + covariance.trace() * torch.eye(d))
    return means @ precision, -np.log(n_classes) - 0.5 * torch.einsum("cd,de,ce->c", means, precision, means)


def tip_as_written(test: torch.Tensor, keys: torch.Tensor, labels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """arXiv:2207.09519, eq. 4-6, with the whole affinity matrix and one-hot labels."""
    affinity = torch.exp(-BETA * (1 - test @ keys.T))
    return SCALE * test @ text.T + ALPHA * affinity @ one_hot(labels, len(text)).to(test)


@pytest.mark.benchmark(group="gda fit")
def test_gda(benchmark, data):
    features, labels, _, test, test_labels = data
    head = benchmark.pedantic(lambda: GDA().fit(features, labels), **BENCH)
    assert right(head.predict_logits(test), test_labels) > 80


@pytest.mark.benchmark(group="gda fit")
def test_gda_as_written_in_the_paper(benchmark, data):
    features, labels, _, test, _ = data
    weight, bias = benchmark.pedantic(gda_as_written, (features, labels, CLASSES), **BENCH)
    ours = GDA().fit(features, labels).predict_logits(test)
    torch.testing.assert_close(test @ weight.T + bias, ours, rtol=1e-3, atol=1e-3 * ours.abs().max().item())


@pytest.mark.benchmark(group="gda fit")
def test_sklearn_lda(benchmark, data):
    """Its least-squares solver with a fixed shrinkage is its fastest road to the same kind of head."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features, labels, _, test, test_labels = data
    x, y = features.numpy(), labels.numpy()
    share = DIMENSIONS / (CLASSES * SHOTS - 1 + DIMENSIONS)  # the paper's ridge, as a share of the whole
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share)
    fitted = benchmark.pedantic(lambda: lda.fit(x, y), **BENCH)
    ours = right(GDA().fit(features, labels).predict_logits(test), test_labels)
    assert ours >= right(fitted.decision_function(test.numpy()), test_labels) - 0.5


@pytest.mark.benchmark(group="tip logits")
def test_tip_adapter(benchmark, data):
    features, labels, text, test, test_labels = data
    head = TipAdapter(ALPHA, BETA, SCALE).fit(features, labels, text)
    logits = benchmark.pedantic(lambda: head.predict_logits(test), **BENCH)
    assert right(logits, test_labels) > 40  # untuned; what it must equal is below


@pytest.mark.benchmark(group="tip logits")
def test_tip_as_written_in_the_paper(benchmark, data):
    features, labels, text, test, _ = data
    logits = benchmark.pedantic(tip_as_written, (test, features, labels, text), **BENCH)
    torch.testing.assert_close(
        logits, TipAdapter(ALPHA, BETA, SCALE).fit(features, labels, text).predict_logits(test), rtol=1e-4, atol=1e-3
    )


@pytest.mark.benchmark(group="means fit")
@pytest.mark.parametrize("head", [NearestClassMean, PrototypeBlend])
def test_means(benchmark, data, head):
    features, labels, text, test, test_labels = data
    fitted = benchmark.pedantic(lambda: head(SCALE).fit(features, labels, text), **BENCH)
    assert right(fitted.predict_logits(test), test_labels) > 80


@pytest.mark.benchmark(group="means fit")
def test_means_by_a_loop(benchmark, data):
    features, labels, text, _, _ = data
    means = benchmark.pedantic(lambda: normalize(torch.stack([features[labels == c].mean(0) for c in range(CLASSES)]), dim=1), **BENCH)
    torch.testing.assert_close(means, NearestClassMean().fit(features, labels, text).weight_, rtol=0, atol=1e-5)
