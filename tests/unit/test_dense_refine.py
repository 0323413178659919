"""Regions, prompts, and votes; the promptable segmenter, its training signals, its file; the scenes it is trained and tested on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.measure import label as components
from skimage.measure import regionprops

from builder.recipes.segmenter import (
    TRAINING_STYLES,
    grouping_losses,
    mask_iou,
    mask_losses,
    segment_batches,
    segmenter_loss,
    spoil,
)
from clipkit.datasets.segmentation import category_halves, segmentation_scenes
from clipkit.dense import Segmenter, find_regions, refine
from clipkit.dense.refinement import two_way_refinement
from clipkit.dense.segmenter import load_segmenter, to_pixels
from clipkit.errors import ClipkitError
from clipkit.models import load_card
from clipkit.models.parts import save_part
from clipkit.world import CATEGORIES, SUPERCLASS_OF


def small():
    torch.manual_seed(0)
    return Segmenter((6, 8, 8, 8), heads=2, head_width=4, prompt_width=8).eval()


@pytest.fixture(scope="module")
def scenes():
    return segmentation_scenes("test", 12, 3)


# -- scenes -----------------------------------------------------------------------------------------


def test_halves_share_nothing_and_miss_nothing():
    a, b = category_halves()
    assert len(a) == len(b) == 24 and set(a) | set(b) == set(CATEGORIES)
    assert sorted(SUPERCLASS_OF[c] for c in a) == sorted(SUPERCLASS_OF[c] for c in b)


def test_scenes_are_labelled_repeatable_and_of_all_sizes(scenes):
    again = segmentation_scenes("test", 6, 3)
    assert np.array_equal(again.images, scenes.images[:6]) and np.array_equal(again.labels, scenes.labels[:6])
    assert not np.array_equal(segmentation_scenes("test", 6, 4).images, scenes.images[:6])
    assert scenes.names == category_halves()[1] and set(segmentation_scenes("train", 1).names) == set(category_halves()[0])
    assert scenes.labels.max() <= 24 and ((scenes.labels > 0) == (scenes.instances > 0)).all()
    for i in range(12):
        for k in np.unique(scenes.instances[i])[1:]:
            name = CATEGORIES[scenes.scenes.category[i, k - 1]]
            assert (scenes.labels[i][scenes.instances[i] == k] == 1 + scenes.names.index(name)).all()
    sides = segmentation_scenes("val", 200, 0).sides
    sides = sides[np.isfinite(sides)]
    assert sides.min() >= 11.9 and sides.max() <= 70.1 and np.median(sides) == pytest.approx(29, abs=4)  # the geometric mean


def test_small_objects_are_not_hidden_behind_large_ones():
    found = segmentation_scenes("test", 100, 1)
    there = (found.scenes.category >= 0).sum()
    seen = sum(len(np.unique(i)) - 1 for i in found.instances)
    assert seen > 0.97 * there


def test_segments_tell_objects_and_stuff_apart(scenes):
    assert ((scenes.segments < 100) == (scenes.instances > 0)).all()
    assert (scenes.segments[scenes.instances == 0] - 100 == scenes.stuff[scenes.instances == 0]).all()


# -- regions ------------------------------------------------------------------------------------------


def test_regions_against_scikit_image():
    labels = torch.randint(0, 3, (2, 24, 24), generator=torch.Generator().manual_seed(0)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    p = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    found = find_regions(labels, p, minimal_area=40, coarse_thresh=0)
    expected = [
        (i, c, (r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]), r.area)
        for i in range(2) for c in range(3) for r in regionprops(components((labels[i] == c).numpy(), connectivity=2)) if r.area >= 40
    ]  # fmt: skip
    ours = [(int(i), int(c), tuple(map(int, b)), int(m.sum())) for i, c, m, b, _ in zip(*found, strict=True)]
    assert sorted(ours) == sorted(expected)
    for i, c, m, _, (x, y) in zip(*found, strict=True):
        assert m[int(y), int(x)] and p[i, c, int(y), int(x)] == p[i, c][m].max()


def test_small_skipped_and_doubtful_regions_are_left_out():
    labels = torch.zeros(1, 10, 10, dtype=torch.int64)
    labels[0, :3, :3], labels[0, 9, 9] = 1, 2
    p = torch.full((1, 3, 10, 10), 0.3)
    assert find_regions(labels, p, 2).label.tolist() == [0, 1]
    assert find_regions(labels, p, 2, skip=(0,)).label.tolist() == [1]
    assert len(find_regions(labels, p, 2, coarse_thresh=0.5).label) == 0


def test_two_way_is_above_a_half_where_the_class_wins():
    p = torch.rand(2, 5, 4, 4)
    w = two_way_refinement(p, torch.tensor([0, 1]), torch.tensor([2, 4]))
    assert torch.equal(w > 0.5, torch.stack([p[0].argmax(0) == 2, p[1].argmax(0) == 4]))
    assert torch.allclose(
        two_way_refinement(torch.tensor([0.2, 0.6]).reshape(1, 2, 1, 1), torch.tensor([0]), torch.tensor([0])), torch.tensor(0.25)
    )


class Oracle:
    """Answers with the true segment under the point, as sure as it is told to be."""

    def __init__(self, segments, sure):
        self.segments, self.sure = segments, sure

    def encode(self, pixels):
        return type("E", (), {"grid": (8, 8)})()

    def decode(self, embedding, image, boxes, points, masks):
        x, y = points.long().unbind(1)
        true = self.segments[image] == self.segments[image, y, x][:, None, None]
        return torch.where(true, 9.0, -9.0), torch.full((len(image),), self.sure)


def coarse_square():
    truth = torch.zeros(1, 32, 32, dtype=torch.int64)
    truth[0, 8:20, 8:20] = 1
    labels = truth.roll((2, 2), (1, 2))
    p = torch.full((1, 2, 32, 32), 0.2)
    p.scatter_(1, labels[:, None], 0.8)
    p[0, 1, 12, 12] = p[0, 0, 0, 0] = 0.9
    return truth, labels, p


def test_accepted_masks_replace_the_coarse_ones_and_others_do_not():
    truth, labels, p = coarse_square()
    found = refine(Oracle(truth, 0.95), torch.zeros(1, 3, 32, 32), labels, p, minimal_area=4)
    assert torch.equal(found.labels, truth) and found.accepted.all() and len(found.accepted) == 2
    kept = refine(Oracle(truth, 0.5), torch.zeros(1, 3, 32, 32), labels, p, minimal_area=4)
    assert torch.equal(kept.labels, labels) and not kept.accepted.any()
    # a background that is not prompted cannot take back what the coarse map gave away
    grown = refine(Oracle(truth, 0.95), torch.zeros(1, 3, 32, 32), labels, p, minimal_area=4, skip=(0,))
    assert torch.equal(grown.labels, truth | labels)


def test_a_wrong_name_is_drawn_more_sharply():
    truth, labels, p = coarse_square()
    wrong = torch.cat([p, torch.full((1, 1, 32, 32), 0.1)], 1)[:, [0, 2, 1]]  # class 1 and 2 exchanged
    found = refine(Oracle(truth, 0.95), torch.zeros(1, 3, 32, 32), 2 * labels, wrong, minimal_area=4)
    assert torch.equal(found.labels, 2 * truth)


def test_nothing_to_refine_changes_nothing():
    _, labels, p = coarse_square()
    found = refine(Oracle(labels, 1.0), torch.zeros(1, 3, 32, 32), labels, p, minimal_area=10_000)
    assert torch.equal(found.labels, labels) and len(found.accepted) == 0


# -- the segmenter ------------------------------------------------------------------------------------


def test_embedding_and_masks_have_their_shapes_at_any_size():
    net = small()
    for s in (32, 48):
        e = net.encode(torch.rand(2, 3, s, s))
        n = (s // 4) ** 2
        assert e.features.shape == (2, 8, s // 4, s // 4) and e.attention.shape == (2, 2, n, n) and e.values.shape == (2, 2, n, 4)
        torch.testing.assert_close(e.attention.sum(-1), torch.ones(2, 2, n))
        torch.testing.assert_close(e.edges.sum(1), torch.ones(2, 16, s // 4, s // 4))
        q = torch.tensor([0, 1, 1])
        nothing = torch.full((3, 4), torch.nan), torch.full((3, 2), torch.nan), torch.full((3, s // 4, s // 4), 0.5)
        logits, iou = net.decode(e, q, *nothing)
        assert logits.shape == (3, s, s) and iou.shape == (3,) and ((iou > 0) & (iou < 1)).all()
        torch.testing.assert_close(logits[1], logits[2])  # the same picture without a prompt
        one = net.encode(torch.rand(2, 3, s, s))[1:]
        assert one.features.shape[0] == 1 and one.grid == (s // 4, s // 4)


def test_prompts_are_answered_one_by_one():
    net = small()
    e = net.encode(torch.rand(2, 3, 32, 32))
    image, boxes, points, masks = (
        torch.tensor([1, 0]),
        torch.tensor([[4.0, 4, 20, 30], [0, 0, 9, 9]]),
        torch.tensor([[9.0, 9], [3, 5]]),
        torch.rand(2, 8, 8),
    )
    both = net.decode(e, image, boxes, points, masks)
    for i in range(2):
        alone = net.decode(e, image[i : i + 1], boxes[i : i + 1], points[i : i + 1], masks[i : i + 1])
        torch.testing.assert_close(both[0][i], alone[0][0])
        torch.testing.assert_close(both[1][i], alone[1][0])


def test_losses_are_least_where_they_should_be():
    segments = torch.zeros(1, 32, 32, dtype=torch.int64)
    segments[0, :, 16:] = 100
    net = small()
    e = net.encode(torch.rand(1, 3, 32, 32))
    cells = segments[0, 2::4, 2::4].flatten()
    same = (cells[:, None] == cells).float()
    e.attention = (same / same.sum(1, keepdim=True)).expand(1, 2, 64, 64)
    e.values = torch.stack([cells == 0, cells == 100, cells < 0, cells < 0], 1).float().expand(1, 2, 64, 4)
    best = grouping_losses(e, segments)
    assert best["attention"].item() == pytest.approx(np.log(32), abs=1e-3)  # the entropy of the target
    assert best["values"].item() == pytest.approx(np.log1p(np.exp(-4)), abs=1e-4)
    e.attention = torch.full((1, 2, 64, 64), 1 / 64)
    e.values = torch.ones(1, 2, 64, 4)
    worse = grouping_losses(e, segments)
    assert worse["attention"] > best["attention"] + 0.5 and worse["values"] > best["values"] + 1
    meant = (segments > 0).float()
    right = mask_losses(20 * (2 * meant - 1), torch.tensor([1.0]), meant)
    wrong = mask_losses(-20 * (2 * meant - 1), torch.tensor([1.0]), meant)
    assert right["mask"] < 1e-3 and right["quality"] == 0 and wrong["mask"] > 10 and wrong["quality"] == 1
    assert mask_iou(torch.zeros(1, 2, 2) > 0, torch.zeros(1, 2, 2) > 0).item() == 1


def test_spoilt_prompts_point_into_their_region():
    meant = torch.zeros(40, 64, 64)
    meant[:, 20:44, 12:40] = 1
    p = spoil(torch.arange(40) % 4, meant, torch.Generator().manual_seed(0))
    assert p.masks.shape == (40, 16, 16) and p.masks.min() >= 0 and p.masks.max() <= 1
    given = p.boxes.isfinite().all(1)
    assert 0 < (~given).sum() < 12 and (p.boxes[given][:, 2:] >= p.boxes[given][:, :2]).all()
    inside = [bool(meant[i, int(y), int(x)]) for i, (x, y) in enumerate(p.points) if torch.isfinite(x)]
    assert np.mean(inside) > 0.6


def test_training_never_sees_what_is_tested():
    assert "flat" not in TRAINING_STYLES
    pixels, segments, prompts = next(segment_batches(4, 0, prompts=2))
    assert pixels.shape == (4, 3, 128, 128) and segments.shape == (4, 128, 128) and prompts.meant.shape[1:] == (128, 128)
    small_one = next(segment_batches(4, 0, prompts=2, small=1))
    assert small_one[0].shape == (4, 3, 80, 80)


def test_one_batch_can_be_learnt():
    torch.manual_seed(0)
    net = Segmenter((8, 12, 12, 12), heads=2, head_width=6, prompt_width=12).train()
    batch = next(segment_batches(4, 0, prompts=2, small=1))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = segmenter_loss(net, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_the_shipped_segmenter(scenes, tmp_path):
    net = load_segmenter(device="cpu")
    card = load_card("nano-sam")
    assert not set(card["data"]["categories"]) & set(scenes.names) and "flat" not in card["data"]["styles"]
    e = net.encode(to_pixels(scenes.images[:6]))
    segments = torch.from_numpy(scenes.segments[:6])
    cells = segments[:, 2::4, 2::4].flatten(1)
    stays = (e.attention.mean(1) * (cells[:, :, None] == cells[:, None])).sum(-1).mean()
    assert stays > 0.7  # of the attention is on the cell's own segment, in pictures of a style and of categories never seen
    save_part(net, {"note": "copy"}, tmp_path, "copy")
    again = load_segmenter(str(tmp_path / "copy.safetensors"), device="cpu")
    torch.testing.assert_close(again.encode(to_pixels(scenes.images[:1])).features, e[:1].features)
    assert (tmp_path / "copy.safetensors").stat().st_size < 2 * 2**20


def test_what_is_refused(tmp_path):
    net = small()
    e = net.encode(torch.rand(1, 3, 32, 32))
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    p, labels = torch.rand(1, 2, 16, 16), torch.zeros(1, 16, 16, dtype=torch.int64)
    cases = [
        (lambda: net.encode(torch.rand(1, 3, 30, 32)), "multiples of 16"),
        (lambda: net.decode(e, torch.tensor([0]), torch.rand(1, 4), torch.rand(2, 2), torch.rand(1, 8, 8)), "1 prompts on a grid of 8 × 8"),
        (lambda: refine(net, torch.rand(1, 3, 32, 32), labels, p), "differ in size"),
        (lambda: load_segmenter(str(tmp_path / "bad.safetensors")), "holds no segmenter"),
        (lambda: load_segmenter("nothing"), "clipkit pretrain nothing"),
        (lambda: segmentation_scenes("tests", 1), "did you mean 'test'"),
        (lambda: segmentation_scenes("test", 1, sides=(1, 5)), "3 <= smallest"),
    ]
    for call, message in cases:
        with pytest.raises(ClipkitError, match=message):
            call()
