"""Winoground's three accuracies, and the quadruples of the world: each text is true of its own picture only."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builder.recipes.vqa_lessons import question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.score import winoground_tasks as home
from clipkit.score.winoground_tasks import KINDS, Quadruples, quadruples, winoground
from clipkit.world.caption_parser import check, parse
from clipkit.world.content_plan import truths
from clipkit.world.taxonomy import HELD_OUT_PAIRS


def test_examples_in_docstrings():
    found = doctest.testmod(home)
    assert found.attempted > 0 and found.failed == 0


def test_constant_random_and_perfect_scores():
    assert winoground(np.ones((50, 2, 2))).percent() == {"text": 0.0, "image": 0.0, "group": 0.0}
    chance = winoground(np.random.default_rng(0).random((60_000, 2, 2))).percent()
    assert chance["text"] == pytest.approx(25, abs=0.7) and chance["image"] == pytest.approx(25, abs=0.7)
    assert chance["group"] == pytest.approx(100 / 6, abs=0.7)
    assert winoground(torch.eye(2).expand(5, 2, 2)).percent()["group"] == 100
    kept = winoground(np.stack([np.eye(2), 1 - np.eye(2)]))
    assert kept.percent(np.array([False, True]))["group"] == 0 and kept.percent(np.array([True, False]))["group"] == 100


@given(arrays(np.int64, (7, 2, 2), elements=st.integers(-3, 3)))
@settings(max_examples=60, deadline=None)
def test_symmetries(scores):
    """Monotone maps change nothing; transposing a task exchanges text and image; renaming both pictures and texts changes nothing."""
    found = winoground(scores)
    assert all(np.array_equal(a, b) for a, b in zip(found, winoground(np.exp(scores * 0.5) - 3), strict=True))
    other = winoground(scores.transpose(0, 2, 1))
    assert np.array_equal(other.text, found.image) and np.array_equal(other.image, found.text)
    assert np.array_equal(winoground(scores[:, ::-1, ::-1]).group, found.group)
    assert (found.group <= found.text).all() and (found.group <= found.image).all()


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_each_text_is_true_of_its_own_picture_only(kind, held_out):
    n = 40
    first, second, texts = home._tasks(kind, n, np.random.default_rng(3), held_out, None)
    for k, scenes in enumerate((first, second)):
        for i, truth in enumerate(truths(scenes)):
            assert check(truth, texts[2 * i + k]).ok, (kind, texts[2 * i + k])
            assert not check(truth, texts[2 * i + 1 - k]).ok, (kind, texts[2 * i + 1 - k])
    held = set(HELD_OUT_PAIRS)
    assert all(((item.colour, item.noun) in held) == held_out for t in texts for item in parse(t).items)
    if kind in ("colours", "roles"):  # the same words in another order
        words = [sorted(t.replace("an ", "a ").split()) for t in texts]
        assert words[::2] == words[1::2]


def test_quadruples_repeat_and_are_in_the_vocabulary():
    a, b, c = quadruples(6, 5), quadruples(6, 5), quadruples(6, 6)
    assert np.array_equal(a.images, b.images) and a.texts == b.texts and a.texts != c.texts
    assert len(a) == 24 and a.images.shape == (48, 32, 32, 3) and sorted(set(a.kind)) == sorted(KINDS)
    assert (a.images[::2] != a.images[1::2]).any((1, 2, 3)).all()
    words = question_vocabulary()
    assert not any(words.unk in words.ids(t) for t in [*a.texts, *c.texts])


def test_scores_puts_every_pair_in_its_place():
    tasks = Quadruples(np.arange(6).reshape(6, 1, 1, 1).repeat(3, 3).astype(np.uint8), list("abcdef"), np.array(["colours"] * 3))

    class Letters:
        def see(self, images):
            return torch.from_numpy(images[:, 0, 0, 0].astype(np.int64))

        def pairs(self, seen, texts):
            return torch.tensor([10.0 * i + "abcdef".index(t) for i, t in zip(seen.tolist(), texts, strict=True)])

    assert tasks.scores(Letters()).tolist() == [[[0, 1], [10, 11]], [[22, 23], [32, 33]], [[44, 45], [54, 55]]]


@pytest.mark.parametrize("scores", [np.zeros((3, 2)), np.full((1, 2, 2), np.nan)])
def test_refused(scores):
    with pytest.raises(ClipkitError):
        winoground(scores)


def test_unknown_kind():
    with pytest.raises(ClipkitError, match="kind of task"):
        quadruples(2, 0, kinds=("shapes",))
