"""`folder:PATH` in all its layouts, and what it says when something is missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipkit import paths
from clipkit.datasets import UnreadableImage, load_dataset
from clipkit.errors import ClipkitError

SHARED = paths.ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


def paint(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def classes(tmp_path) -> Path:
    for i, name in enumerate(["n02109047_Great_Dane", "cat", "hot_dog"]):
        for k in range(5):
            paint(tmp_path / "photos" / name / f"{k}.png", 10 * i + k)
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "photos" / ".hidden").mkdir()
    return tmp_path / "photos"


@pytest.fixture
def splits(tmp_path) -> Path:
    for split, names in {"train": ["cat", "cow", "dog"], "test": ["cat", "dog"]}.items():
        for i, name in enumerate(names):
            paint(tmp_path / "both" / split / name / "0.png", i)
    return tmp_path / "both"


def test_class_folders(classes):
    ds = load_dataset(f"folder:{classes}")
    assert ds.classnames == ["cat", "hot dog", "Great Dane"]
    assert ds.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert ds.paths[0] == "cat/0.png" and ds.array is None
    assert np.asarray(ds.images[5])[0, 0, 0] == 20  # hot_dog/0.png
    assert ds.to_array().shape == (15, 8, 8, 3)
    few = load_dataset(f"folder:{classes}", n=6, seed=3)
    assert np.bincount(few.labels).tolist() == [2, 2, 2] and few.fingerprint != ds.fingerprint


def test_split_folders_share_their_labels(splits):
    train, test = (load_dataset(f"folder:{splits}", split=s) for s in ("train", "test"))
    assert train.classnames == test.classnames == ["cat", "cow", "dog"]
    assert test.labels.tolist() == [0, 2]  # no cow among the test images, yet dog keeps its number
    assert test.split == "test" and train.split == "train"
    with pytest.raises(ClipkitError, match="unknown split of folder .*'val'"):
        load_dataset(f"folder:{splits}", split="val")


def test_one_piece_is_test_unless_cut(classes):
    with pytest.raises(ClipkitError, match="no split 'train'.*fractions"):
        load_dataset(f"folder:{classes}", split="train")
    parts = [load_dataset(f"folder:{classes}", split=s, fractions=(0.6, 0.2, 0.2)) for s in ("train", "val", "test")]
    assert [len(p) for p in parts] == [9, 3, 3]
    assert len({path for part in parts for path in part.paths}) == 15
    assert [p.split for p in parts] == ["train", "val", "test"]


def test_relative_paths(classes, splits, monkeypatch, tmp_path):
    monkeypatch.chdir(classes.parent)
    here = load_dataset("folder:photos")
    monkeypatch.chdir("/")
    below_root = load_dataset("folder:photos", root=classes.parent)
    monkeypatch.setattr(paths, "ROOT", classes.parent)  # as papermill: another folder than the checkout
    below_checkout = load_dataset("folder:photos")
    assert here.fingerprint == below_root.fingerprint == below_checkout.fingerprint
    assert here.fingerprint == load_dataset(f"folder:{classes}").fingerprint  # where it lies does not matter


def test_missing_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClipkitError, match="no such folder; looked for .* and "):
        load_dataset("folder:no/such/place")
    (tmp_path / "file").write_text("")
    with pytest.raises(ClipkitError, match="is a file; give the folder"):
        load_dataset(f"folder:{tmp_path / 'file'}")
    with pytest.raises(ClipkitError, match="neither class folders nor"):
        load_dataset(f"folder:{tmp_path}")
    with pytest.raises(ClipkitError, match="needs a path"):
        load_dataset("folder:")


def test_empty_class_is_named(classes):
    (classes / "unicorn").mkdir()
    with pytest.raises(ClipkitError, match="class folder 'unicorn' has no images"):
        load_dataset(f"folder:{classes}")


def test_unreadable_image_is_found_when_it_is_asked_for(classes):
    (classes / "cat" / "2.png").write_bytes(b"broken")
    ds = load_dataset(f"folder:{classes}", readable=False)
    assert len(ds) == 15
    with pytest.raises(UnreadableImage, match="cat/2.png"):
        ds.images[2]


def test_fingerprint_sees_an_edit_of_the_same_size(classes):
    before = load_dataset(f"folder:{classes}").fingerprint
    file = classes / "cat" / "0.png"
    stamp = os.stat(file)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert load_dataset(f"folder:{classes}").fingerprint != before


# captions.csv --------------------------------------------------------------------------------------


def table(folder: Path, text: str) -> Path:
    for i in range(3):
        paint(folder / f"{i}.png", i)
    (folder / "captions.csv").write_text(text, encoding="utf-8")
    return folder


def test_captions(tmp_path):
    folder = table(tmp_path, 'image,caption\n0.png,"a cat, asleep"\n1.png,a dog\n0.png,ein Kätzchen\n')
    ds = load_dataset(f"folder:{folder}")
    assert ds.captions == [["a cat, asleep", "ein Kätzchen"], ["a dog"]]
    assert ds.labels is None and ds.classnames is None and ds.paths == ["0.png", "1.png"]
    assert np.asarray(ds.images[1])[0, 0, 0] == 1
    with pytest.raises(ClipkitError, match="no split 'train'"):
        load_dataset(f"folder:{folder}", split="train")


def test_captions_with_splits_and_labels(tmp_path):
    folder = table(tmp_path, "image,caption,split,label\n0.png,a,train,cat\n1.png,b,test,hot_dog\n2.png,c,train,hot_dog\n")
    train = load_dataset(f"folder:{folder}", split="train")
    test = load_dataset(f"folder:{folder}", split="test")
    assert train.paths == ["0.png", "2.png"] and test.labels.tolist() == [1]
    assert train.classnames == test.classnames == ["cat", "hot dog"]
    with pytest.raises(ClipkitError, match="unknown split of .*captions.csv 'val'.*Choices: test, train"):
        load_dataset(f"folder:{folder}", split="val")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,text\n0.png,a\n", "no column 'caption'; its columns are: image, text"),
        ("file,caption\n0.png,a\n", "no column 'image'; its columns are: file, caption"),
        ("", r"no column 'image'; its columns are: \(none\)"),
        ("image,caption\n9.png,a\n", "names '9.png', which is not in"),
        ("image,caption\n", "no image in split 'test'"),
    ],
)
def test_bad_tables(tmp_path, text, words):
    with pytest.raises(ClipkitError, match=words):
        load_dataset(f"folder:{table(tmp_path, text)}")


def test_captions_in_another_language(tmp_path):
    table(tmp_path, "image,caption,split\n0.png,a cat,test\n1.png,a dog,train\n")
    (tmp_path / "captions_zh.csv").write_text("image,caption,split\n0.png,一只猫。,test\n0.png,猫,test\n1.png,狗,train\n", encoding="utf-8")
    (tmp_path / "captions_ar.csv").write_text("image;caption\n2.png;كلب، نائم\n", encoding="utf-16")
    name = f"folder:{tmp_path}"
    assert load_dataset(name, language="zh").captions == [["一只猫。", "猫"]] and load_dataset(name).captions == [["a cat"]]
    assert load_dataset(name, language="ar").captions == [["كلب، نائم"]]
    assert load_dataset(name, language="zh").images_fingerprint == load_dataset(name).images_fingerprint
    with pytest.raises(ClipkitError, match=r"has no captions_fr.csv; languages there: ar, zh; without language=... captions.csv is read"):
        load_dataset(name, language="fr")


def test_a_language_of_split_folders_and_of_folders_without_tables(splits):
    (splits / "train" / "captions_de.csv").write_text("image,caption\ncow/0.png,eine Kuh\n")
    assert load_dataset(f"folder:{splits}", "train", language="de").captions == [["eine Kuh"]]
    for folder in (splits, splits / "train" / "cat"):  # only train has German; no table at all
        with pytest.raises(ClipkitError, match=r"has no captions_de.csv; languages there: \(none\)"):
            load_dataset(f"folder:{folder}", "test", language="de")


@pytest.mark.skipif(not (SHARED / "cifar10").is_dir(), reason="needs ../shared/data")
def test_real_photographs():
    cifar = load_dataset("folder:../shared/data/cifar10", split="train", n=100)
    assert np.bincount(cifar.labels).tolist() == [10] * 10 and cifar.images[0].size == (32, 32)
    imagenet = load_dataset("folder:../shared/data/imagenet_samples")
    assert len(imagenet) == 1000 and imagenet.classnames[:2] == ["tench", "goldfish"]
