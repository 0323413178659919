"""Closed-form few-shot heads at the size of ImageNet: 1,000 classes, 16 shots, 512 dimensions; against plain peers.

The target is a second for a fit, and to be faster than the peers: scikit-learn's LDA, the equations of GDA's paper written down as
they stand (a loop over classes and a pseudo-inverse), Tip-Adapter's with a one-hot matrix, and class means by a loop.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, one_hot

from clipkit.adapt import GDA, NearestClassMean, PrototypeBlend, TipAdapter

SHOTS, SCALE, ALPHA, BETA = 16, 100.0, 1.0, 5.5


@pytest.fixture(scope="module")
def task(size):
    """Class centres on the sphere; one cloud of an uneven shape around each; texts a little beside the centres."""
    generator, classes, dimensions = torch.Generator().manual_seed(0), size(1000, 60), size(512, 128)

    def noise(n: int) -> torch.Tensor:
        return torch.randn(n, dimensions, generator=generator)

    spread = torch.linspace(0.2, 3.0, dimensions)
    centres = normalize(noise(classes), dim=1)
    y, test_y = torch.arange(classes).repeat_interleave(SHOTS), torch.arange(classes)
    x, test = (normalize(centres[of] + 0.08 * spread * noise(len(of)), dim=1) for of in (y, test_y))
    return SimpleNamespace(x=x, y=y, text=normalize(centres + 0.08 * noise(classes), dim=1), test=test, test_y=test_y, classes=classes)


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


def means_by_a_loop(task) -> torch.Tensor:
    return normalize(torch.stack([task.x[task.y == c].mean(0) for c in range(task.classes)]), dim=1)


def blend_by_a_loop(task) -> torch.Tensor:
    share = 1 / (1 + SHOTS / 4)
    return normalize(share * task.text + (1 - share) * means_by_a_loop(task), dim=1)


def test_gda(pair, task):
    def same(head, written):
        weight, bias = written
        ours = head.predict_logits(task.test)
        torch.testing.assert_close(task.test @ weight.T + bias, ours, rtol=1e-3, atol=1e-3 * ours.abs().max().item())
        assert right(ours, task.test_y) > 80

    pair("GDA fit", lambda: GDA().fit(task.x, task.y), lambda: gda_as_written(task.x, task.y, task.classes), "the paper's equations", same)


def test_gda_and_lda(pair, task):
    """Its least-squares solver with a fixed shrinkage is scikit-learn's fastest road to the same kind of head."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    few = task.y < task.classes // 4  # of all classes it takes seven seconds
    (x, y), (test, labels), d = (
        (task.x[few], task.y[few]),
        (task.test[: task.classes // 4], task.test_y[: task.classes // 4]),
        task.x.shape[1],
    )
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=d / (len(x) - 1 + d))  # the paper's ridge, as a share of the whole

    def as_accurate(ours, theirs):
        assert right(ours.predict_logits(test), labels) >= right(theirs.decision_function(test.numpy()), labels) - 0.5

    pair("GDA fit, a quarter of the classes", lambda: GDA().fit(x, y), lambda: lda.fit(x.numpy(), y), "scikit-learn's LDA", as_accurate)


def test_tip_adapter(pair, task):
    head = TipAdapter(ALPHA, BETA, SCALE).fit(task.x, task.y, task.text)
    written = partial(tip_as_written, task.test, task.x, task.y, task.text)
    same = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-3)
    pair("Tip-Adapter logits", lambda: head.predict_logits(task.test), written, "the paper's equations", same)


@pytest.mark.parametrize(("head", "loop"), [(NearestClassMean, means_by_a_loop), (PrototypeBlend, blend_by_a_loop)])
def test_means(pair, task, head, loop):
    def same(ours, weight):
        torch.testing.assert_close(ours.weight_, weight, rtol=0, atol=1e-5)
        assert right(ours.predict_logits(task.test), task.test_y) > 80

    pair(f"{head.__name__} fit", lambda: head(SCALE).fit(task.x, task.y, task.text), lambda: loop(task), "a loop over classes", same)
