"""Two heads on frozen features, the arms of the CLOOB page and what is measured after a training."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from clipkit import ClipkitError
from clipkit.pretrain import equal_texts
from clipkit.pretrain.frozen_clip import EMBED_DIM, TwoHeads, class_weights, feature_batches
from clipkit.studies.cloob import LOSSES, Setting, around, fit, instant, judge, memory_curve, prepare, tune, two_by_two
from clipkit.studies.cloob_gradient_saturation import saturation


class Pixels:
    """A frozen image tower that needs no weights: mean colour of the four quarters."""

    device = torch.device("cpu")

    def image_features(self, images):
        quarters = torch.as_tensor(images.array).float().permute(0, 3, 1, 2)
        return torch.nn.functional.normalize(torch.nn.functional.adaptive_avg_pool2d(quarters, 2).flatten(1), dim=1)


@pytest.fixture(scope="module")
def course():
    return prepare(Pixels(), 320, 160, seed=0, split="val")


def test_heads_end_on_the_sphere_and_ignore_padding():
    heads = TwoHeads(10, 30)
    tokens = torch.tensor([[3, 4, 0, 0], [4, 3, 0, 0], [3, 4, 5, 0]])
    x, y = heads(torch.randn(3, 10), tokens)
    assert x.shape == y.shape == (3, EMBED_DIM)
    torch.testing.assert_close(torch.cat([x, y]).norm(dim=1), torch.ones(6))
    torch.testing.assert_close(y[0], y[1])  # a bag of words
    torch.testing.assert_close(heads.encode_text(tokens[:, :3])[0], y[0])
    assert not torch.allclose(y[0], y[2])


def test_the_seed_alone_decides_the_start():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one, again, other = TwoHeads(4, 9, seed=1), TwoHeads(4, 9, seed=1, logit_scale=50.0, learnt=True), TwoHeads(4, 9, seed=2)
    assert torch.equal(torch.rand(2), expected), "the caller's random numbers are left alone"
    assert torch.equal(one.image[0].weight, again.image[0].weight) and not torch.equal(one.image[0].weight, other.image[0].weight)
    assert again.log_scale.requires_grad and not one.log_scale.requires_grad
    assert again.logit_scale.item() == pytest.approx(50) and TwoHeads(4, 9, logit_scale=500.0).logit_scale.item() == pytest.approx(100)


def test_batches_keep_pairs_and_show_each_once_a_pass():
    features, tokens = torch.arange(12.0)[:, None], torch.arange(12)[:, None]
    seen = list(islice(feature_batches(features, tokens, 4, 3), 6))
    assert all(torch.equal(x, y.float()) for x, y in seen)
    passes = torch.cat([y for _, y in seen]).view(2, 12)
    assert all(sorted(row.tolist()) == list(range(12)) for row in passes) and not torch.equal(*passes)
    assert torch.equal(next(feature_batches(features, tokens, 4, 3))[1], seen[0][1])


def test_class_weights_are_the_mean_prompt():
    heads, table = TwoHeads(4, 9), {"a cat": [1, 2], "cat": [2, 0], "a dog": [1, 3], "dog": [3, 0]}
    weights = class_weights(heads, lambda texts: torch.tensor([table[t] for t in texts]), ["cat", "dog"], ["a {}", "{}"])
    rows = heads.encode_text(torch.tensor([[1, 3], [3, 0]])).mean(0)
    torch.testing.assert_close(weights[1], rows / rows.norm())


def test_a_course_has_cues_and_pictures_without_them(course):
    def at_home(part):
        from clipkit.world import BACKGROUNDS, CATEGORIES, HOME

        home = np.array([BACKGROUNDS.index(HOME[c]) for c in CATEGORIES])
        return (home[part.labels["category"]] == part.labels["background"]).mean()

    assert at_home(course.train) > 0.8 and at_home(course.usual) > 0.8
    assert at_home(course.test) < 0.3 and at_home(course.probe) < 0.3
    torch.testing.assert_close(course.train.features.mean(0), torch.zeros(course.train.features.shape[1]), atol=1e-4, rtol=0)
    assert not set(map(bytes, course.test.images)) & set(map(bytes, course.probe.images))
    assert len(course.names) == 48 and course.train.tokens.max() < course.vocabulary


def test_other_seeds_and_splits_are_other_scenes(course):
    for other in (prepare(Pixels(), 320, 160, seed=1, split="val"), prepare(Pixels(), 320, 160, seed=0, split="test")):
        assert not set(map(bytes, course.test.images)) & set(map(bytes, other.test.images))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_arm_learns(course, loss):
    setting = Setting(loss, 20.0, 4e-3, beta=8.0 if loss in ("cloob", "memory_info_nce") else None)
    trained = fit(course, setting, 50, 0, batch=64, every=25)
    assert [row["step"] for row in trained.rows] == [1, 26, 50]
    assert trained.rows[-1]["positive"] > 1.5 * trained.rows[0]["positive"]
    assert trained.rows[-1]["scale"] == pytest.approx(20.0, rel=1e-5)
    again = fit(course, setting, 50, 0, batch=64)
    assert again.rows[-1] == trained.rows[-1], "looking changes nothing"


def test_judging(course):
    start = judge(course, TwoHeads(course.train.features.shape[1], course.vocabulary, 0))
    trained = judge(course, fit(course, Setting("info_nce", 20.0, 4e-3), 150, 0, batch=64).heads)
    assert set(start) == set(trained) and all(0 <= value <= 100 for value in trained.values())
    assert trained["usual"] > start["usual"] + 10 and trained["image_to_text"] > start["image_to_text"]
    assert trained["secondary"] == pytest.approx(np.mean([trained[f"probe_{f}"] for f in ("colour", "texture", "size")]))
    assert trained["probe_background"] > 80  # it is nearly all that the quarters tell


def test_the_memory_curve_is_a_difference(course):
    heads = TwoHeads(course.train.features.shape[1], course.vocabulary, 0)
    with torch.no_grad():
        x, y = heads(course.train.features[:32], course.train.tokens[:32])
    same = equal_texts(course.train.tokens[:32])
    rows = memory_curve(x, y, 20.0, same, (2.0, 30.0), (8, 32))
    assert [(r["beta"], r["memory"]) for r in rows] == [(2.0, "8 pairs"), (30.0, "8 pairs"), (2.0, "32 pairs"), (30.0, "32 pairs")]
    expected = saturation(x, y, 20.0, 30.0, same)["positive"] - saturation(x, y, 20.0, None, same)["positive"]
    assert rows[-1]["change"] == pytest.approx(expected)


def test_what_a_memory_does_at_once(course):
    heads = TwoHeads(course.train.features.shape[1], course.vocabulary, 0)
    assert all(abs(change) < 1e-3 for change in instant(course, heads, 1e6, 64).values()), "a sharp memory returns what asked"
    assert all(change < 0 for change in instant(course, heads, 2.0, 64).values()), "a mean of neighbours varies less"


def test_two_by_two_differs_in_memory_and_loss_alone():
    four = two_by_two(Setting("cloob", 12.0, 1e-3, beta=5.0, weight_decay=3.0), weight_decay=0.2)
    assert {(s.scale, s.lr, s.weight_decay, s.learnt) for s in four.values()} == {(12.0, 1e-3, 0.2, False)}
    assert {name: (s.loss, s.beta) for name, s in four.items()} == {
        "nce": ("info_nce", None),
        "memory_nce": ("memory_info_nce", 5.0),
        "loob": ("info_loob", None),
        "memory_loob": ("cloob", 5.0),
    }
    with pytest.raises(ClipkitError, match="needs the setting of an arm with a memory"):
        two_by_two(Setting("info_loob"))


def test_tuning_ranks_the_candidates(course):
    candidates = around(Setting("cloob", beta=8.0), (1.0, 20.0), (4.0, 8.0))
    assert len(candidates) == 4 and {c.beta for c in candidates} == {4.0, 8.0}
    rows = tune([(0, course)], {"arm": candidates}, 15, batch=64)
    assert [r["accuracy"] for r in rows] == sorted((r["accuracy"] for r in rows), reverse=True) and len(rows) == 4


def test_clear_words():
    with pytest.raises(ClipkitError, match="unknown loss"):
        Setting("triplet")
    with pytest.raises(ClipkitError, match="give a beta"):
        Setting("cloob")
    with pytest.raises(ClipkitError, match="to no other"):
        Setting("info_nce", beta=8.0)
    with pytest.raises(ClipkitError, match="logit_scale must"):
        TwoHeads(4, 9, logit_scale=0.0)
    with pytest.raises(ClipkitError, match="no pairs"):
        next(feature_batches(torch.ones(3, 2), torch.ones(4, 2, dtype=torch.int64), 2, 0))
    with pytest.raises(ClipkitError, match="do not fill"):
        next(feature_batches(torch.ones(3, 2), torch.ones(3, 2, dtype=torch.int64), 4, 0))
