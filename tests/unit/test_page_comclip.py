"""ComCLIP's page: trials differ in the part they are named after, boxes are where they are said to be, parts come from boxes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.datasets.base import Dataset
from clipkit.datasets.boxes import BoxedPhotographs
from clipkit.datasets.images import ArrayImages
from clipkit.errors import ClipkitError
from clipkit.studies import comclip as study
from clipkit.world import CATEGORIES, Scenes, check
from clipkit.zeroshot import add_parts, comclip_score, part_weights

N = 3


@pytest.fixture(scope="module")
def trials():
    return study.world_trials(N, 7, 32)


@pytest.fixture(scope="module")
def eye(trials):
    return study.Eye(load_model("nano").freeze(), trials)


def scenes_of(n, seed):
    first, rng = study.two_things(n * len(study.KINDS), seed), np.random.default_rng(seed)
    return first, Scenes.concatenate([study.changed(first[k * n : (k + 1) * n], kind, rng) for k, kind in enumerate(study.KINDS)])


def test_the_right_sentence_is_true_of_its_picture_and_the_wrong_one_is_not(trials):
    scenes = Scenes.concatenate(scenes_of(N, 7))
    assert len(scenes) == len(trials.images) == len(trials.texts) == 2 * N * len(study.KINDS)
    for right, wrong in zip(trials.pairs[trials.right].tolist(), trials.pairs[trials.wrong].tolist(), strict=True):
        assert check(scenes[right[0]], trials.texts[right[1]]).ok
        assert check(scenes[wrong[0]], trials.texts[wrong[1]]).false
    assert {*zip(trials.kind, trials.choice, strict=True)} == {(k, c) for k in study.KINDS for c in ("text", "picture")}
    assert all(np.bincount((trials.kind == kind).astype(int))[1] == 4 * N for kind in study.KINDS)


def test_one_part_differs(trials):
    first, second = scenes_of(N, 7)
    for i, kind in enumerate(np.repeat(study.KINDS, N)):
        a, b = first[i].objects, second[i].objects
        differ = {
            name
            for x, y in zip(a, b, strict=True)
            for name in ("category", "colour", "x", "y", "scale")
            if getattr(x, name) != getattr(y, name)
        }
        assert first[i].background == second[i].background
        if kind in ("subject", "object"):
            assert (
                differ == {"category"}
                and a[kind == "object"] != b[kind == "object"]
                and sum(x != y for x, y in zip(a, b, strict=True)) == 1
            )
        elif kind in ("attribute", "exchanged"):
            assert differ == {"colour"} and sum(x != y for x, y in zip(a, b, strict=True)) == (1 if kind == "attribute" else 2)
            assert ({x.colour for x in a} == {x.colour for x in b}) == (kind == "exchanged")
        else:
            assert differ <= {"x", "y"} and (a[0].x, a[0].y, a[1].x, a[1].y) == (b[1].x, b[1].y, b[0].x, b[0].y)
            words = [{*trials.texts[k].split()} for k in (i, i + len(first))]
            assert words[0] == words[1]  # the same words in another order


def test_boxes_hold_what_their_name_says(trials):
    scenes = Scenes.concatenate(scenes_of(N, 7))
    for i in range(len(scenes)):
        things = {o.category: o for o in scenes[i].objects}
        for name, (x0, y0, x1, y1) in zip(trials.categories[i], trials.boxes[i].tolist(), strict=True):
            assert name in CATEGORIES and 0 <= x0 < x1 <= 32 and 0 <= y0 < y1 <= 32
            assert abs((x0 + x1) / 64 - things[name].x) < 0.15 and abs((y0 + y1) / 64 - things[name].y) < 0.15


def test_percent_counts_ties_half(trials):
    scores = torch.zeros(len(trials.pairs))
    assert trials.percent(scores) == 50 and trials.percent(scores, kind="relation", choice="text") == 50
    scores[trials.right] = 1.0  # right pairs only
    assert trials.percent(scores) == 100 and trials.percent(-scores) == 0
    assert trials.percent(scores, kind="nothing of the kind") is None


@pytest.mark.parametrize("overlap", [None, 0.7, 0.4])
def test_moved_boxes_keep_their_size_and_overlap_as_asked(trials, overlap):
    far = study.moved(trials, 0, overlap)
    found = []
    for old, new in zip(trials.boxes, far.boxes, strict=True):
        assert torch.allclose(old[:, 2:] - old[:, :2], new[:, 2:] - new[:, :2], atol=1e-4)
        assert new.min() >= -1e-4 and new.max() <= 32 + 1e-4
        common = (torch.minimum(old[:, 2:], new[:, 2:]) - torch.maximum(old[:, :2], new[:, :2])).clamp(min=0).prod(1)
        area = (old[:, 2:] - old[:, :2]).prod(1)
        found += (common / (2 * area - common)).tolist()
    if overlap is None:
        assert np.mean(found) < 0.25
    else:
        assert np.median(found) == pytest.approx(overlap, abs=0.03) and min(found) > overlap - 0.03


def test_parts_are_found_by_name_and_the_whole_stands_for_what_is_not_there(trials, eye):
    parts, whole = eye.parts("black"), eye.pictures
    for p, ((i, j), (one, two, both)) in enumerate(zip(eye.rows, eye.named(), strict=True)):
        names, triple = trials.categories[i], trials.triples[j]
        assert [names[m] for m in one] == [triple.subject] * (triple.subject in names)
        assert [names[m] for m in two] == [triple.object] * (triple.object in names)
        assert both == (tuple(sorted(one + two)) if one and two else ())
        for k, rows in enumerate((one, two, both)):
            assert torch.equal(parts[p, k], whole[p]) == (rows == ())
    assert all(three == ((), (), ()) for three in eye.named(missed=1.0))
    alone = comclip_score(eye.texts, whole, eye.parts("black", eye.named(1.0)), eye.keys, eye.present)
    assert torch.allclose(alone, (eye.texts * whole).sum(1), atol=1e-6)  # no box, no change


def test_boxes_without_names_are_those_the_model_likes(eye):
    liked, named = eye.liked("crop"), eye.named()
    both = [p for p, three in enumerate(named) if three[2]]
    for p, (i, _) in enumerate(eye.rows):
        own = eye.encode([(i, (m,)) for m in range(len(eye.of.boxes[i]))], "crop")
        a, b = (int((own @ eye.keys[p, k]).argmax()) for k in (0, 1))
        assert liked[p] == ((a,), (b,), tuple(sorted({a, b})))
    assert sum(liked[p][0] == named[p][0] for p in both) > len(both) / 2  # better than drawing lots


def test_exchanged_roles_leave_the_composed_picture_as_it_is(trials, eye):
    """Why choosing between "A left of B" and "B left of A" gains nothing from the parts: for both the picture is the same vector."""
    w = part_weights((eye.keys * eye.parts("black")).sum(2))
    composed = add_parts(eye.pictures, eye.parts("black"), w)
    rows = (trials.kind == "relation") & (trials.choice == "text")
    a, b = trials.right[torch.from_numpy(rows)], trials.wrong[torch.from_numpy(rows)]
    assert len(a) == 2 * N and torch.allclose(composed[a], composed[b], atol=1e-6)
    rows = (trials.kind == "relation") & (trials.choice == "picture")
    a, b = trials.right[torch.from_numpy(rows)], trials.wrong[torch.from_numpy(rows)]
    assert not torch.allclose(composed[a], composed[b], atol=1e-3)


def test_the_shortlist_is_clips_own(trials):
    model = load_model("nano").freeze()
    truth = study.world_pairs(study.two_things(12, 5), 32)
    near, right = study.shortlist(model, truth, 4)
    cosines = model.text_features(truth.texts) @ model.image_features(truth.images.permute(0, 2, 3, 1).numpy()).T
    assert near.of.pairs[:, 0].view(12, 4).tolist() == cosines.topk(4).indices.tolist()
    assert (near.of.pairs[:, 1].view(12, 4) == torch.arange(12)[:, None]).all()
    assert right.any(1).tolist() == [bool(i in row) for i, row in enumerate(cosines.topk(4).indices.tolist())]


@pytest.fixture
def photographs():
    captions = [["A man walks his dog.", "Nothing to see."], ["a woman and a cat"], ["Two dogs in a car"], ["a cat on a couch"]]
    categories = [["person", "dog"], ["person", "cat"], ["dog", "dog", "car"], ["cat"]]
    images = ArrayImages(np.random.default_rng(0).integers(0, 255, (4, 20, 40, 3), dtype=np.uint8))
    boxes = [np.array([[4, 2, 20, 10]] * len(names), np.float32) for names in categories]
    return BoxedPhotographs(Dataset("folder:own", "test", images, captions=captions), categories, boxes)


def test_trials_of_photographs(photographs):
    found = study.photo_trials(photographs, range(4), 16, 0)
    assert found.images.shape == (4, 3, 16, 16) and found.boxes[0][0].tolist() == pytest.approx([1.6, 1.6, 8, 8])
    for right, wrong, kind, choice in zip(found.pairs[found.right], found.pairs[found.wrong], found.kind, found.choice, strict=True):
        (i, a), (k, b) = right.tolist(), wrong.tolist()
        assert found.texts[a] in photographs.captions[i] and "Nothing" not in found.texts[a]
        triple, at = found.triples[a], int(kind == "object")
        if kind == "relation":
            assert found.triples[b][:2] == triple[1::-1] and choice == "text"
        elif choice == "text":
            assert i == k and found.triples[b][at] not in photographs.categories[i] and found.triples[b][1 - at] == triple[1 - at]
        else:
            assert a == b and triple[at] not in photographs.categories[k]
    assert {"A dog walks his man."} <= {*found.texts} and not any("sofa" in text for text in found.texts)


def test_photographs_without_a_named_box_are_refused(photographs):
    bare = replace(photographs, categories=[[]] * 4, boxes=[np.empty((0, 4), np.float32)] * 4)
    with pytest.raises(ClipkitError, match="no caption names"):
        study.photo_trials(bare, range(4), 16, 0)
