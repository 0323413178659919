"""Pictures of a seed: balanced, new scenes from the world, repeatable, the features that `draw` would see."""

from __future__ import annotations

import pytest
import torch

from clipkit import load_model
from clipkit.datasets.suite import world_suite
from clipkit.errors import ClipkitError
from clipkit.features.pictures import draw_pictures


@pytest.mark.parametrize("name", ["texture", "digits"])
def test_balanced_repeatable_and_different_by_seed(name):
    clip, (task,) = load_model("nano", device="cpu"), world_suite(name)
    a, b, c = (draw_pictures(clip, task, seed, per_class=3, n_test=20) for seed in (0, 0, 1))
    n = len(a.classnames)
    assert a.pool[0].shape == (3 * n, 3, 32, 32) and torch.bincount(a.pool[1], minlength=n).tolist() == [3] * n
    assert a.test[0].shape == (20, 3, 32, 32) and a.test[1].shape == (20,)
    for part in ("pool", "test"):
        assert torch.equal(getattr(a, part)[0], getattr(b, part)[0]) and not torch.equal(getattr(a, part)[0], getattr(c, part)[0])
    assert a.pool[1].tolist() != sorted(a.pool[1].tolist())  # mixed
    assert all("{}" in t for t in a.templates)


def test_what_cannot_be_is_said():
    clip, (task,) = load_model("nano", device="cpu"), world_suite("texture")
    with pytest.raises(ClipkitError, match="at least 1"):
        draw_pictures(clip, task, 0, per_class=0, n_test=5)
