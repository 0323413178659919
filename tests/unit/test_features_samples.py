"""What a seed sees: splits that share nothing, shots that are nested, the same pictures for the same seed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipkit import load_model
from clipkit.datasets import Task, load_dataset
from clipkit.datasets.suite import world_suite
from clipkit.errors import ClipkitError
from clipkit.features import samples
from clipkit.features.few_shot import FewShot, turns
from clipkit.features.samples import collection, draw, draw_pictures, draw_task
from clipkit.notices import forget, notices


class MeanColour:
    """A model whose feature is the picture itself, 4 x 4: rows can be recognised."""

    name, pretrained, embed_dim, image_size, device = "mean-colour", None, 48, 4, torch.device("cpu")
    fingerprint = hashlib.sha256(b"mean-colour").hexdigest()

    def preprocess(self, image):
        return torch.from_numpy(np.asarray(image.resize((4, 4), 3), dtype=np.float32)).permute(2, 0, 1) / 255

    def preprocess_batch(self, images):
        return torch.stack([self.preprocess(Image.fromarray(i) if isinstance(i, np.ndarray) else i) for i in images])

    def encode_image(self, pixels):
        return torch.nn.functional.normalize(pixels.flatten(1) + 1e-3, dim=-1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))
    samples._draw.forget()


def rows(features):
    return {tuple(row.tolist()) for row in features}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, sizes in (("train", {"cat": 12, "dog": 3}), ("test", {"cat": 6, "dog": 6})):
        for name, size in sizes.items():
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for i in range(size):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "pictures" / split / name / f"{i}.png")
    return f"folder:{tmp_path / 'pictures'}"


@given(st.lists(st.integers(0, 4), max_size=40))
def test_turns_count_equal_labels_before(labels):
    expected = [labels[:i].count(label) for i, label in enumerate(labels)]
    assert turns(np.array(labels, dtype=np.int64)).tolist() == expected


def test_the_world_draws_new_scenes_for_each_seed():
    few = {"shots": 2, "n_val": 2, "n_test": 40, "factor": "background"}
    one = draw(MeanColour(), "world", 0, **few)
    samples._draw.forget()  # or the very same object would come back
    again, other = (draw(MeanColour(), "world", seed, **few) for seed in (0, 1))
    assert torch.equal(one.test[0], again.test[0]) and torch.equal(one.pool[0], again.pool[0])
    assert not rows(one.test[0]) & rows(other.test[0])
    assert not rows(one.test[0]) & rows(one.pool[0]) and not rows(one.test[0]) & rows(one.val[0])
    assert len(one.test[0]) == 40 and one.classnames == load_dataset("world", n=1, factor="background").classnames
    assert np.bincount(one.val[1]).tolist() == np.bincount(one.shots(2)[1]).tolist() == [2] * 8
    assert draw(MeanColour(), "world", 0, **few) is again  # kept in memory


def test_a_folder_keeps_its_splits_apart(folder):
    d = draw(MeanColour(), folder, 3, shots=4, n_val=4, n_test=100)
    train, test = (MeanColour().encode_image(MeanColour().preprocess_batch(load_dataset(folder, s).images)) for s in ("train", "test"))
    assert rows(d.pool[0]) | rows(d.val[0]) <= rows(train) and not rows(d.pool[0]) & rows(d.val[0])
    assert rows(d.test[0]) <= rows(test)
    assert len(d.test[0]) == len(rows(d.test[0])) == 12  # a seed that is not of the run sees all
    assert np.bincount(d.val[1]).tolist() == [4, 1]  # three dogs: two for training, one for validation
    assert d.classnames == ["cat", "dog"]


def test_shots_are_nested_and_balanced(folder):
    d = draw(MeanColour(), folder, 0, shots=4, n_val=4, n_test=4)
    sizes = [np.bincount(d.shots(k)[1]).tolist() for k in (1, 2, 4)]
    assert sizes == [[1, 1], [2, 2], [4, 2]]  # a class that has fewer gives all
    assert rows(d.shots(1)[0]) < rows(d.shots(2)[0]) < rows(d.shots(4)[0])


def test_what_cannot_be_drawn_is_said(tmp_path, folder):
    with pytest.raises(ClipkitError, match="at least 1"):
        draw(MeanColour(), folder, 0, shots=0, n_val=1, n_test=1)
    single = tmp_path / "single"
    for split in ("train", "test"):
        for name in ("a", "b"):
            (single / split / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(single / split / name / "0.png")
    with pytest.raises(ClipkitError, match="none for validation"):
        draw(MeanColour(), f"folder:{single}", 0, shots=1, n_val=1, n_test=1)
    (single / "test" / "c").mkdir()
    Image.new("RGB", (4, 4)).save(single / "test" / "c" / "0.png")
    with pytest.raises(ClipkitError, match="no training picture of 'c'"):
        draw(MeanColour(), f"folder:{single}", 0, shots=1, n_val=1, n_test=1)
    with pytest.raises(ClipkitError, match="split"):
        draw(MeanColour(), "photos", 0, shots=1, n_val=1, n_test=1)


def test_pictures_without_labels_are_refused(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "told" / split).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "told" / split / "0.png")
        (tmp_path / "told" / split / "captions.csv").write_text("image,caption\n0.png,a black square\n")
    with pytest.raises(ClipkitError, match="no labels"):
        draw(MeanColour(), f"folder:{tmp_path / 'told'}", 0, shots=1, n_val=1, n_test=1)


def test_fewer_shots_than_asked_are_said(folder):
    forget()
    draw(MeanColour(), folder, 0, shots=2, n_val=1, n_test=4)
    assert not notices()
    d = draw(MeanColour(), folder, 0, shots=8, n_val=2, n_test=4)  # a cat more than two can be spared, a dog not
    assert np.bincount(d.shots(8)[1]).tolist() == [8, 2]
    assert "up to 8 shots" in notices()[0] and "1 of 2 classes" in notices()[0] and "'dog' has 3, of which 2" in notices()[0]
    d = draw(MeanColour(), folder, 0, shots=16, n_val=16, n_test=4)
    assert np.bincount(d.shots(16)[1]).tolist() == np.bincount(d.shots(8)[1]).tolist() == [6, 2]
    assert len(notices()) == 2 and "2 of 2 classes" in notices()[1]


def test_fewer_test_pictures_than_asked_are_said(folder):
    forget()
    assert len(draw(MeanColour(), folder, 0, shots=1, n_val=1, n_test=50).test[0]) == 12
    assert "50 test pictures a seed asked of 12; all 12 are taken" in notices()[-1]


def test_seeds_of_a_run_share_no_test_picture_and_training_pictures_only_with_a_notice(folder, monkeypatch):
    monkeypatch.setattr("clipkit.dealing._seeds", [5, 6, 7])
    forget()
    few = [draw(MeanColour(), folder, seed, shots=1, n_val=1, n_test=12) for seed in (5, 6, 7)]
    assert [len(d.test[0]) for d in few] == [4, 4, 4] and len(set.union(*(rows(d.test[0]) for d in few))) == 12
    assert any("12 test pictures a seed asked of 12; each of the 3 seeds has 4 of its own" in said for said in notices())
    assert any("too few training pictures for 3 seeds with 2 a class" in said for said in notices())  # three dogs
    monkeypatch.setattr("clipkit.dealing._seeds", [5])
    assert len(draw(MeanColour(), folder, 5, shots=1, n_val=1, n_test=12).test[0]) == 12


def test_training_pictures_are_dealt_out_where_they_go_round(folder, monkeypatch):
    monkeypatch.setattr("clipkit.dealing._seeds", [0, 1, 2])
    forget()
    drawn = [draw_pictures(MeanColour(), Task("pictures", folder), seed, per_class=1, n_test=2) for seed in (0, 1, 2)]
    assert len(set.union(*(rows(d.pool[0].flatten(1)) for d in drawn))) == 3 * 2  # cats and dogs
    assert not any("share some" in said for said in notices())


def test_training_pictures_among_the_test_pictures_are_said(folder):
    root = Path(folder.partition(":")[2])
    for name in ("0.png", "1.png"):
        shutil.copy(root / "train" / "dog" / name, root / "test" / "cat" / f"copy_{name}")
    forget()
    draw(MeanColour(), folder, 0, shots=1, n_val=1, n_test=14)
    assert "2 of 14 test images are training images too" in notices()[-1]


def test_unreadable_pictures_are_skipped_in_a_draw_and_in_its_pixels(folder):
    root = Path(folder.partition(":")[2])
    (root / "train" / "cat" / "0.png").write_bytes(b"")
    (root / "test" / "dog" / "0.png").write_bytes(b"")
    forget()
    d = draw(MeanColour(), folder, 0, shots=1, n_val=1, n_test=12)
    assert len(d.pool[0]) + len(d.val[0]) == 14 and sum("cannot be read" in said for said in notices()) == 2
    p = draw_pictures(MeanColour(), Task("own", folder), 0, per_class=20, n_test=20)
    assert (len(p.pool[0]), len(p.test[0])) == (14, 11)
    assert "20 training pictures a class asked, some class has 3 and gives those" in " ".join(notices())


def test_options_reach_the_loader_and_tasks_bring_theirs():
    sizes = {"shots": 2, "n_val": 1, "n_test": 30}
    d = draw(MeanColour(), "world", 0, **sizes, factor="count", narrow=True, max_objects=4)
    assert d.classnames == ["a thing", "two things", "three things", "four things"] and len(d.pool[0]) == 8
    other = draw(MeanColour(), "world", 0, **sizes, factor="count", narrow=True, max_objects=5)
    assert len(other.classnames) == 5
    same = draw_task(MeanColour(), Task("few", "world", {"factor": "count", "narrow": True, "max_objects": 4}), 0, **sizes)
    assert torch.equal(same.test[0], d.test[0])
    digits = draw_task(MeanColour(), Task("digits", "digits"), 0, **sizes)
    assert np.bincount(digits.val[1]).tolist() == [1] * 10 and len(digits.test[0]) == 30
    with pytest.raises(ClipkitError, match="unknown option of digits"):
        draw(MeanColour(), "digits", 0, **sizes, factor="count")


@pytest.fixture
def small():
    y = torch.tensor([2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])  # four of each
    x = torch.arange(12.0)[:, None]
    v = torch.tensor([0, 1, 2, 0, 1, 2])
    return FewShot((x, y), turns(y.numpy()), (x[:6] + 100, v), (x[:3] + 200, torch.tensor([0, 1, 2])), ["a", "b", "c"], ["{}"])


def test_some_classes_of_a_draw(small):
    part = small.of([2, 0])
    assert part.classnames == ["a", "c"] and part.pool[1].tolist() == [1, 0, 1, 0, 1, 0, 1, 0]
    assert part.pool[0].flatten().tolist() == [0, 1, 3, 4, 6, 7, 9, 10] and part.turn.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert part.val[1].tolist() == [0, 1, 0, 1] and part.test[0].flatten().tolist() == [200, 202]
    assert part.shots(1)[0].flatten().tolist() == [0, 1]
    for wrong in ([], [0, 0], [3], [-1]):
        with pytest.raises(ClipkitError, match="different numbers from 0 to 2"):
            small.of(wrong)


def test_a_thinned_draw(small):
    part = small.thinned([4, 2, 1])
    assert torch.bincount(part.pool[1]).tolist() == [4, 2, 1] and torch.bincount(part.val[1]).tolist() == [2, 1, 1]
    assert rows(part.shots(1)[0]) == rows(small.shots(1)[0]) and part.test is small.test
    assert torch.equal(small.thinned([9, 9, 9]).pool[0], small.pool[0])
    for wrong in ([1, 1], [1, 1, 0], [1.0, 1.0, 1.0]):
        with pytest.raises(ClipkitError, match="3 whole numbers"):
            small.thinned(wrong)


# -- the same as pixels ----------------------------------------------------------------------------
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


def test_no_pictures_are_no_draw():
    clip, (task,) = load_model("nano", device="cpu"), world_suite("texture")
    with pytest.raises(ClipkitError, match="at least 1"):
        draw_pictures(clip, task, 0, per_class=0, n_test=5)


# -- an unlabelled collection ----------------------------------------------------------------------
def test_parts_are_disjoint_and_repeat():
    parts, again = (collection("world", 3, 20, 6, 10, captions=()) for _ in range(2))
    assert [len(p.data) for p in parts] == [20, 6, 10]
    shown = {image.tobytes() for p in parts for image in p.data.to_array()}
    assert len(shown) == 36
    for a, b in zip(parts, again, strict=True):
        assert np.array_equal(a.data.to_array(), b.data.to_array()) and torch.equal(a.labels, b.labels)
    other = collection("world", 4, 20, 6, 10, captions=())
    assert not np.array_equal(parts[2].data.to_array(), other[2].data.to_array())


def test_pixels_and_labels_follow_the_pictures():
    clip = load_model("nano", device="cpu")
    pool = collection("digits", 0, 12, 4, 8)[0]
    assert pool.labels.dtype == torch.int64 and pool.labels.shape == (12,)
    torch.testing.assert_close(pool.pixels(clip)[3], clip.preprocess(pool.data.images[3]))


def test_fewer_pictures_than_asked_shrink_the_pool_and_are_said(tmp_path):
    for split, n in (("train", 6), ("test", 3)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = np.random.default_rng([i, n, len(name) + ord(name[0])]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    forget()
    parts = collection(f"folder:{tmp_path}", 0, 100, 4, 50)
    assert [len(p.data) for p in parts] == [8, 4, 6] and not {*parts[0].data.paths} & {*parts[1].data.paths}
    assert any("104 train pictures a seed asked of 12; all 12 are taken" in said for said in notices())
    assert any("50 test pictures a seed asked of 6; all 6 are taken" in said for said in notices())
    with pytest.raises(ClipkitError, match="has 12 training pictures; n_val = 12 of them leave none for the pool, so lower n_val"):
        collection(f"folder:{tmp_path}", 0, 100, 12, 5)


def test_bad_numbers_and_missing_labels_are_refused():
    with pytest.raises(ClipkitError, match="at least 1"):
        collection("world", 0, 4, 0, 4)
    with pytest.raises(ClipkitError, match="no labels"):
        collection("world", 0, 4, 2, 4, min_objects=2, max_objects=2)
