"""Data sets: names, the Dataset itself, sampling and splitting, images of every kind, digits, photos, templates."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipkit.datasets import ArrayImages, Dataset, UnreadableImage, choose, dataset_names, load_dataset, stratified_split
from clipkit.datasets.base import cut
from clipkit.datasets.classnames import readable
from clipkit.datasets.fingerprints import file_digests
from clipkit.datasets.images import decode, file_images
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.notices import forget, notices
from clipkit.paths import hash_file


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


def tiny(n: int = 6, classes: int = 3, **changes) -> Dataset:
    array = np.arange(n * 4 * 4 * 3, dtype=np.int64).reshape(n, 4, 4, 3).astype(np.uint8)
    facts = {
        "name": "tiny",
        "split": "test",
        "images": ArrayImages(array),
        "labels": np.arange(n) % classes,
        "classnames": [f"c{i}" for i in range(classes)],
        "captions": [[f"caption {i}"] for i in range(n)],
        "paths": [f"{i}.png" for i in range(n)],
    }
    return Dataset(**{**facts, **changes})


# Names ---------------------------------------------------------------------------------------------


def test_importing_datasets_is_cheap():
    code = "import sys, clipkit.datasets; print([m for m in ('torch', 'pandas', 'sklearn', 'matplotlib', 'skimage') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digit", ["unknown data set 'digit'", "did you mean 'digits'"]),
        ("folders:x", ["unknown data set", "folder:PATH"]),
        (3, ["named by a string"]),
    ],
)
def test_unknown_name(name, words):
    with pytest.raises(ClipkitError) as error:
        load_dataset(name)
    assert all(word in str(error.value) for word in words)


def test_a_bare_folder_says_how_to_write_it(tmp_path):
    with pytest.raises(ClipkitError, match="write folder:"):
        load_dataset(str(tmp_path))


def test_unknown_option_and_split():
    with pytest.raises(ClipkitError, match="unknown option of digits 'siz'; did you mean 'size'"):
        load_dataset("digits", siz=32)
    with pytest.raises(ClipkitError, match="unknown split of digits 'tset'; did you mean 'test'"):
        load_dataset("digits", split="tset")
    assert "wds:SHARDS" in dataset_names()


# Dataset -------------------------------------------------------------------------------------------


def test_subset_keeps_everything_together():
    whole = tiny()
    for indices in ([4, 1], np.array([4, 1]), [-2, 1], slice(4, 0, -3)):
        part = whole.subset(indices)
        assert part.labels.tolist() == [1, 1]
        assert part.captions == [["caption 4"], ["caption 1"]]
        assert part.paths == ["4.png", "1.png"]
        assert np.array_equal(part.array, whole.array[[4, 1]])
        assert np.array_equal(np.asarray(part.images[0]), whole.array[4])
    mask = np.array([True, False, False, True, False, False])
    assert whole.subset(mask).paths == ["0.png", "3.png"]
    assert len(whole.subset([])) == 0


@pytest.mark.parametrize("indices", [[6], [0.5], np.ones(4, bool)])
def test_subset_out_of_range(indices):
    with pytest.raises(ClipkitError, match="cannot take these rows"):
        tiny().subset(indices)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": np.array([0, 1, 2, 3, 0, 1])}, "label 3 of image 3 is out of range, there are 3 class names"),
        ({"labels": np.array([0, -1, 2, 0, 0, 1])}, "label -1 of image 1"),
        ({"labels": np.zeros(5)}, "6 images but 5 labels"),
        ({"captions": [["a"]]}, "6 images but 1 captions"),
        ({"classnames": None}, "no class names"),
        ({"templates": ["a photo."]}, "must contain '{}' once"),
        ({"images": ArrayImages}, None),
    ],
)
def test_inconsistent_data_sets(changes, words):
    if words is None:
        with pytest.raises(ClipkitError, match=r"\(N, H, W, 3\)"):
            ArrayImages(np.zeros((2, 4, 4)))
        return
    with pytest.raises(ClipkitError) as error:
        tiny(**changes)
    assert words in str(error.value)


def test_fingerprint_follows_content():
    prints = {
        tiny().fingerprint,
        tiny(labels=np.zeros(6, int)).fingerprint,
        tiny(captions=None).fingerprint,
        tiny().subset([0, 1, 2]).fingerprint,
        tiny().subset([2, 1, 0]).fingerprint,
        tiny(images=ArrayImages(np.zeros((6, 4, 4, 3), np.uint8))).fingerprint,
    }
    assert len(prints) == 6
    assert tiny().fingerprint == tiny().fingerprint
    # features depend on the images only
    assert tiny(captions=None).images_fingerprint == tiny().images_fingerprint


def test_to_array():
    assert tiny().to_array() is not None and tiny().to_array(8).shape == (6, 8, 8, 3)
    mixed = load_dataset("photos").subset([0, 1])
    with pytest.raises(ClipkitError, match="differ in size"):
        mixed.to_array()
    assert mixed.to_array(16).shape == (2, 16, 16, 3)


# Sampling ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 5), st.data())
def test_choose_is_balanced_and_nested(labels, seed, data):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels)))
    chosen = choose(labels, len(labels), n, seed, "x")
    assert len(set(chosen.tolist())) == n and (np.diff(chosen) > 0).all()
    if n > 1:
        assert set(choose(labels, len(labels), n - 1, seed, "x")) <= set(chosen)
    taken = np.bincount(labels[chosen], minlength=4)
    there = np.bincount(labels, minlength=4)
    for c in range(4):  # a class is only behind another by more than one when it has run out
        assert taken[c] == there[c] or taken[c] >= taken.max() - 1


def test_n_out_of_range():
    with pytest.raises(ClipkitError, match="n=0 images asked of 'photos': at least one"):
        load_dataset("photos", n=0)
    with pytest.raises(ClipkitError, match="n=18 images asked of 'x', which has 17"):
        choose(None, 17, 18, 0, "x")
    forget()
    assert len(load_dataset("photos", n=18)) == 17  # all there are, and it is said
    assert "18 images asked of photos, split 'test', which has 17" in notices()[-1]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 3))
def test_stratified_split_is_a_partition(labels, seed):
    parts = stratified_split(np.array(labels), (0.6, 0.2, 0.2), seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(labels)))
    for c, size in zip(*np.unique(labels, return_counts=True), strict=True):
        assert abs((np.array(labels)[parts["train"]] == c).sum() - 0.6 * size) <= 0.5 + 1e-9


def test_cut_refuses_to_lend_test_images():
    with pytest.raises(ClipkitError, match="no split 'train'.*fractions"):
        cut(tiny(), "train", None, 0)
    with pytest.raises(ClipkitError, match="add up to 1"):
        cut(tiny(), "train", (0.5, 0.1, 0.1), 0)
    with pytest.raises(ClipkitError, match="unknown split"):
        cut(tiny(), "holdout", (0.6, 0.2, 0.2), 0)
    assert len(cut(tiny(), "train", (1.0, 0.0, 0.0), 0)) == 6


# Images --------------------------------------------------------------------------------------------


def test_all_modes_become_rgb(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cases = {
        "L": Image.fromarray(ramp),
        "1": Image.fromarray(ramp > 99),
        "RGBA": Image.fromarray(np.dstack([ramp] * 4)),
        "LA": Image.fromarray(ramp).convert("LA"),
        "16": Image.fromarray(ramp.astype(np.uint16) * 257),
    }
    palette = Image.fromarray(np.dstack([ramp] * 3)).quantize(8)
    palette.info["transparency"] = b"\x00\x10"
    cases["P"] = palette
    for name, image in cases.items():
        path = tmp_path / f"{name}.png"
        image.save(path)
        read = decode(path, str(path))
        assert read.mode == "RGB" and read.size == (16, 16)
        if name in ("L", "16"):  # 16-bit grey keeps its tones; a bare convert("RGB") would clip them to white
            assert np.array_equal(np.asarray(read)[..., 0], ramp)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_unreadable_image_names_its_path(tmp_path, content):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(whole.read_bytes()[:900] if content is None else content)
    images = file_images([whole, bad, tmp_path / "gone.jpg"])
    assert images[0].size == (64, 64)
    for i in (1, 2):
        with pytest.raises(UnreadableImage) as error:
            images[i]
        assert error.value.path == images.name(i) and images.name(i) in str(error.value)
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    images.digest()  # of what is there; never an exception


def test_digests_are_remembered_and_notice_changes(tmp_path, monkeypatch):
    from clipkit.datasets import fingerprints as digests

    files = [tmp_path / f"{i}.bin" for i in range(3)]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]) * 100)
        os.utime(file, (time.time() - 60, time.time() - 60))
    names = [str(f) for f in files]
    read = []
    monkeypatch.setattr(digests, "hash_file", lambda p: (read.append(str(p)), hash_file(p))[1])
    first = file_digests(names)
    assert len(set(first)) == 3 and sorted(read) == names
    assert file_digests(names) == first and len(read) == 3  # nothing was read again
    files[1].write_bytes(b"9" * 100)
    second = file_digests(names)
    assert second[1] != first[1] and second[0] == first[0] and read[3:] == [names[1]]
    assert file_digests(names) == second and len(read) == 5  # too fresh to be remembered
    files[2].unlink()
    assert file_digests(names)[2] == "unreadable"


def test_a_damaged_memory_of_digests_is_no_harm(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"x")
    os.utime(file, (1, 1))
    right = file_digests([str(file)])
    from clipkit import paths

    for memory in paths.cache_dir("digests").iterdir():
        memory.write_text("{")
    assert file_digests([str(file)]) == right


# digits, photos, templates -------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    raw = load_digits()
    sizes, seen = {}, []
    for split in ("train", "val", "test"):
        ds = load_dataset("digits", split=split, size=8)
        sizes[split] = len(ds)
        for i in (0, len(ds) - 1):  # at 8 pixels the images are the source's own
            source = int(ds.images.name(i).split()[1])
            assert np.array_equal(ds.array[i, ..., 0], np.round(raw.images[source] * 255 / 16).astype(np.uint8))
            assert ds.labels[i] == raw.target[source]
        seen += [ds.images.name(i) for i in range(len(ds))]
    assert len(set(seen)) == 1797 == sum(sizes.values())
    assert sizes == {"train": 1078, "val": 360, "test": 359}
    ds = load_dataset("digits", n=50, seed=1)
    assert ds.array.shape == (50, 32, 32, 3) and np.bincount(ds.labels).tolist() == [5] * 10
    assert ds.classnames[7] == "seven" and all("{}" in t for t in ds.templates)
    assert load_dataset("digits", n=50, seed=1).fingerprint == ds.fingerprint != load_dataset("digits", n=50, seed=2).fingerprint


def test_digits_of_wrong_size():
    with pytest.raises(ClipkitError, match="at least 8"):
        load_dataset("digits", size=4)


def test_photos_without_a_network(monkeypatch):
    pytest.importorskip("skimage")

    def refuse(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    ds = load_dataset("photos")
    assert len(ds) == len(ds.classnames) == len(set(ds.classnames)) == 17
    assert all(len(captions) == 5 for captions in ds.captions)
    assert len({caption for captions in ds.captions for caption in captions}) == 85
    for i in range(len(ds)):
        assert ds.images[i].mode == "RGB" and min(ds.images[i].size) >= 150
    assert ds.classnames[1] == "cat" and ds.paths[1] == "chelsea.png" and ds.labels[1] == 1
    with pytest.raises(ClipkitError, match="photos has no split 'train'"):
        load_dataset("photos", split="train")


def test_photos_without_scikit_image(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "skimage" else found(name, *a))
    with pytest.raises(MissingExtra, match=r"scikit-image is not installed.*clip-claim-by-claim\[photos\]"):
        load_dataset("photos")


def test_class_names_become_words():
    assert readable("n02109047_Great_Dane") == "Great Dane"
    assert readable("hot__dog") == "hot dog"
    assert readable("n02109047") == "Great Dane"  # WordNet's word for it
    assert readable("n99999999") == "n99999999"  # nothing else to call it
    assert readable("number_3") == "number 3"


def test_templates_of_open_clip():
    from clipkit.datasets import openai_templates

    assert len(openai_templates()) == 80
    assert all(t.count("{}") == 1 for t in openai_templates())
