"""The plane of two clouds: it holds both borders, and the drawing has what the caption says."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.studies.gda_adapter_figures import discriminant_plane, two_clouds


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    means = rng.normal(size=(2, 6))
    return (
        means,
        covariance,
        np.linalg.inv(covariance),
        {n: m + rng.normal(size=(20, 6)) @ root.T for n, m in zip("ab", means, strict=True)},
    )


def test_both_normals_lie_in_the_plane(clouds):
    means, _, precision, _ = clouds
    plane, normal = discriminant_plane(means, precision)
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    for direction in (means[1] - means[0], precision @ (means[1] - means[0])):
        np.testing.assert_allclose(plane @ (plane.T @ direction), direction, atol=1e-9)
    np.testing.assert_allclose(plane @ normal, precision @ (means[1] - means[0]), atol=1e-9)


def test_a_round_cloud_has_one_border():
    plane, normal = discriminant_plane(np.eye(3)[:2], np.eye(3))
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    assert abs(normal[1]) < 1e-12
    with pytest.raises(ClipkitError, match="means are the same"):
        discriminant_plane(np.ones((2, 3)), np.eye(3))


def test_what_is_drawn(clouds):
    means, covariance, precision, points = clouds
    axes = new_figure().subplots()
    two_clouds(axes, points, means, covariance, precision)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["a", "b", "border of the nearest mean", "border of the Gaussians"]
    ring = axes.lines[1].get_xydata() @ discriminant_plane(means, precision)[0].T + means.mean(0)
    inside = np.linalg.inv(covariance)
    assert ((ring - means[0]) @ inside * (ring - means[0])).sum(1).min() > 0
    with pytest.raises(ClipkitError, match="two classes"):
        two_clouds(axes, {"a": points["a"]}, means, covariance, precision)
