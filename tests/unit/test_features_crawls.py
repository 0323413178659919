"""Crawls with pictures, names from files, accuracy by class."""

import json

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.features import crawls
from clipkit.robust.per_class import class_accuracy, tail_and_rest
from clipkit.world import WorldSpec, name_shares, render, sample_scenes
from clipkit.zeroshot import read_synonyms


@pytest.fixture(scope="module")
def nano():
    return load_model("nano")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))


def test_world_crawl_pictures_are_the_scenes_asked_for(nano):
    crawl = crawls.world_crawl(300, 4, name_shares(0), zipf=1.0)
    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=1, zipf=1.0), 300, 4)
    rows = [7, 250, 7]
    assert torch.allclose(crawl.pictures(nano, rows), nano.image_features(render(scenes[np.array(rows)], size=32).images), atol=1e-5)
    assert crawl.has_pictures and ((crawl.spoken < 0) | (crawl.spoken == scenes.category[:, 0])).all()


def test_text_files_and_folders(tmp_path, nano):
    from PIL import Image

    path = tmp_path / "c.txt"
    path.write_text("a cat\n\n a dog \na cup\n")
    crawl = crawls.loaded_crawl(str(path), 10, 0)
    assert crawl.captions == ["a cat", "a dog", "a cup"] and not crawl.has_pictures
    assert len(crawls.loaded_crawl(str(path), 2, 0).captions) == 2
    with pytest.raises(ClipkitError, match="without pictures"):
        crawl.pictures(nano, [0])
    with pytest.raises(ClipkitError, match="cannot be read"):
        crawls.loaded_crawl(str(tmp_path / "no.txt"), 1, 0)
    folder = tmp_path / "f"
    (folder / "train").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (32, 32), (80 * i, 0, 0)).save(folder / "train" / f"{i}.png")
    (folder / "train" / "captions.csv").write_text("image,caption\n0.png,black\n1.png,dark\n2.png,red\n")
    found = crawls.loaded_crawl(f"folder:{folder}", 3, 0)
    assert found.captions == ["black", "dark", "red"] and found.pictures(nano, [2, 0]).shape == (2, nano.embed_dim)
    for name in ("cat", "dog"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "classes" / name / "0.png")
    with pytest.raises(ClipkitError, match="no captions"):
        crawls.loaded_crawl(f"folder:{tmp_path / 'classes'}", 3, 0)


def test_only_lite_has_its_texts_at_hand(nano):
    with pytest.raises(ClipkitError, match="corpus=FILE"):
        crawls.fitted_texts(nano)


def test_synonyms(tmp_path):
    assert "car" in read_synonyms(None, ["automobile"])["automobile"]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"fox": ["fox", "vixen"], "owl": []}))
    assert read_synonyms(path, ["fox"]) == {"fox": ["fox", "vixen"]}
    for name in ("owl", "elk"):
        with pytest.raises(ClipkitError, match=f"'{name}'"):
            read_synonyms(path, ["fox", name])
    with pytest.raises(ClipkitError, match="cannot be read"):
        read_synonyms(tmp_path / "no.json", ["fox"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "c"), [(1, 1), (40, 3), (50, 1000)])
def test_accuracy_by_class_against_a_loop(n, c, dtype):
    logits = torch.randn(n, c, generator=torch.Generator().manual_seed(0), dtype=dtype)
    labels = torch.randint(c, (n,), generator=torch.Generator().manual_seed(1))
    got = class_accuracy(logits, labels)
    for k in range(c):
        own = [int(logits[i].argmax()) == k for i in range(n) if labels[i] == k]
        assert got[k] == pytest.approx(100 * sum(own) / len(own)) if own else np.isnan(got[k])


def test_tail_and_rest():
    assert tail_and_rest(np.array([10.0, np.nan, 30.0, 50.0]), np.array([True, True, False, False])) == (10.0, 40.0)
    with pytest.raises(ClipkitError, match="no class"):
        tail_and_rest(np.array([1.0, 2.0]), np.array([True, True]))
    with pytest.raises(ClipkitError, match="one flag"):
        tail_and_rest(np.ones(2), np.ones(3, bool))
    with pytest.raises(ClipkitError, match="labels must lie"):
        class_accuracy(torch.eye(2), torch.tensor([0, 2]))
    with pytest.raises(ClipkitError, match="want 2 integers"):
        class_accuracy(torch.eye(2), torch.tensor([0]))
