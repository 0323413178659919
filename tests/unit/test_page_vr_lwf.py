"""The page on VR-LwF: what a seed learns and is asked, what each arm is held by, the points along a knob, folders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.adapt import L2SP, Budget, tuned
from clipkit.errors import ClipkitError
from clipkit.studies import vr_lwf as study
from clipkit.world import CATEGORIES, COLOURS

TINY = Budget(2, 8, 1e-3)


@pytest.fixture(scope="module")
def part():
    return tuned(load_model("nano").freeze())


@pytest.fixture(scope="module")
def seen(part):
    return study.world_material(part, 3, 2, 24)


def test_sessions_share_no_class_and_what_should_stay_is_touched_by_none(seen):
    update, *sessions = map(set, seen.names)
    assert [len(names) for names in (update, *sessions)] == [12, 3, 3, 3, 3]
    assert not set.intersection(*sessions) and update == set.union(*sessions)
    touched = set.union(*sessions)
    labels = seen.kept["untouched"].labels
    assert len(touched) == 12 and not {CATEGORIES[c] for c in labels.tolist()} & touched
    assert len(seen.kept["untouched"].texts) == 48 and len(seen.kept["colours"].texts) == len(COLOURS)
    assert len(seen.lessons[0].images) == 24 and len(seen.tests[0].texts) == 12


def test_the_new_style_is_new_and_pictures_are_not_learnt_and_asked(part, seen):
    assert study.NEW_STYLE not in study.SEEN
    pretraining = part.model.card["data"]["worlds"]
    assert {style for world in pretraining for style in world["spec"]["styles"]} == set(study.SEEN)
    learnt = {x.numpy().tobytes() for x in seen.lessons[0].images}
    assert not learnt & {x.numpy().tobytes() for x in seen.tests[0].images}


def test_another_seed_draws_other_classes_and_pictures(part, seen):
    other = study.world_material(part, 4, 2, 24)
    assert other.names != seen.names and other.fingerprint != seen.fingerprint
    assert not torch.equal(other.kept["untouched"].images, seen.kept["untouched"].images)
    again = study.world_material(part, 3, 2, 24)
    assert torch.equal(again.texts["vr_lwf"], seen.texts["vr_lwf"]) and again.fingerprint == seen.fingerprint


def test_what_holds_each_arm(seen):
    assert seen.held("fine_tuning", 1.0) is None and seen.held("interpolation", 0.5) is None
    assert isinstance(seen.held("l2_sp", 1.0), L2SP)
    assert len(seen.held("lwf", 1.0).texts) == 12 and len(seen.held("lwf_all_names", 1.0).texts) == 48
    assert [len(seen.held("lwf", 1.0, lesson).texts) for lesson in (1, 2, 4)] == [3, 6, 12]
    assert seen.held("vr_lwf", 1.0).student_text and not seen.held("frozen_text", 1.0).student_text
    assert torch.equal(seen.held("vr_lwf", 1.0).texts, seen.held("frozen_text", 1.0).texts)
    for arm in ("vr_lwf", "replay_real_captions", "random_words"):
        assert len(seen.held(arm, 2.0).texts) == study.POOL and seen.held(arm, 2.0).strength == 2.0
    directions = seen.held("random_directions", 1.0).directions
    assert torch.allclose(directions.norm(dim=1), torch.ones(study.POOL)) and seen.held("random_directions", 1.0).texts is None


def test_points_along_a_knob(seen):
    start = seen.measure(seen.towers, {"new": seen.tests[0]}, colours=True)
    assert set(start) == {"new", "untouched", "retrieval", "colours"}
    last, slow = study.curve(seen, "fine_tuning", [1.0, 1e-9], TINY)
    mixed = study.curve(seen, "interpolation", [1.0, 0.0], TINY)
    assert mixed[0] == {k: v for k, v in last.items() if k != "colours"} and mixed[1] == {k: v for k, v in start.items() if k != "colours"}
    free, held = study.curve(seen, "vr_lwf", [0.0, 1e4], TINY)
    assert free == mixed[0] and set(held) == set(free)
    assert slow == start and set(last) == set(start)


def test_sessions_before_and_after(seen):
    found = study.in_sessions(seen, "fine_tuning", 0.0, TINY)
    assert np.shape(found["accuracy"]) == (5, 4) and len(found["untouched"]) == 5
    still = study.in_sessions(seen, "interpolation", 0.0, TINY)
    assert still["accuracy"][0] == still["accuracy"][-1] == found["accuracy"][0] and len(set(still["untouched"])) == 1


@pytest.fixture
def folders(tmp_path):
    """Two labelled sets of flat colours, a captioned one, and one of two classes."""
    rng = np.random.default_rng(0)

    def picture(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)

    for name, classes in {"first": "abcd", "second": "ef", "other": "ghi"}.items():
        for split in ("train", "test"):
            for label in classes:
                for i in range(3):
                    picture(tmp_path / name / split / f"class {label}" / f"{i}.png")
    rows = ["image,caption,split"]
    for i in range(8):
        picture(tmp_path / "said" / f"{i}.png")
        rows.append(f"{i}.png,a thing number {i},{'train' if i % 2 else 'test'}")
    (tmp_path / "said" / "captions.csv").write_text("\n".join(rows))
    return lambda name: f"folder:{tmp_path / name}"


def test_folders_in_turn(part, folders):
    found = study.folder_material(part, folders("first"), 0, 50, [folders("second")], [folders("other")], folders("said"))
    assert [len(names) for names in found.names] == [4, 4, 2] and len(found.lessons) == len(found.tests) == 3
    assert len(found.texts["lwf_all_names"]) == 9 and set(found.kept) == {"untouched 0", "retrieval"}
    assert len(found.texts["replay_real_captions"]) == 4
    [point] = study.curve(found, "vr_lwf", [1.0], TINY)
    assert set(point) == {"new", "untouched", "retrieval"}
    two = study.folder_material(part, folders("first"), 0, 50, (), [folders("other"), folders("second")])
    assert set(two.measure(two.towers, {})) == {"untouched"} and "random_words" not in two.texts


def test_one_folder_alone_learns_half_of_its_classes(part, folders):
    found = study.folder_material(part, folders("first"), 0, 50)
    assert found.names[0] == ["class a", "class b"] and set(found.tests[0].labels.tolist()) == {0, 1}
    untouched = found.kept["untouched 0"]
    assert set(untouched.labels.tolist()) == {2, 3} and len(untouched.texts) == 4


@pytest.mark.parametrize(
    ("first", "more", "said"), [("second", {}, "2 classes"), ("said", {}, "no labels"), ("first", {"captions": "other"}, "no captions")]
)
def test_folders_that_will_not_do(part, folders, first, more, said):
    with pytest.raises(ClipkitError, match=said):
        study.folder_material(part, folders(first), 0, 50, **{k: folders(v) for k, v in more.items()})


def test_one_test_picture_is_of_one_seed(part, folders):
    from clipkit.dealing import deal_among

    deal_among([0, 1])
    one, two = (study.folder_material(part, folders("first"), seed, 50, (), [folders("other")]) for seed in (0, 1))
    pictures = [{x.numpy().tobytes() for x in found.tests[0].images} for found in (one, two)]
    assert all(pictures) and not set.intersection(*pictures)
