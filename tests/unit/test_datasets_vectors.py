"""`features:PATH`: the same vectors from every kind of file, what is said of bad ones, and a model that looks them up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from clipkit import lab, load_model
from clipkit.adapt import GDA
from clipkit.datasets import load_dataset, suite_of
from clipkit.datasets.vectors import read_vectors
from clipkit.errors import ClipkitError
from clipkit.features import extract, text_features
from clipkit.features.samples import draw
from clipkit.notices import forget, notices
from clipkit.registry.records import scale_of
from clipkit.zeroshot import zeroshot_weights

NAMES = ["crystal", "fibre", "pore"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()


def vectors(n: int = 90, d: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(images (n, d) of different lengths, texts (3, d), labels (n,)): three clouds, each around its text."""
    rng = np.random.default_rng(0)
    text, labels = rng.standard_normal((3, d)) * 5, np.arange(n) % 3
    return (text[labels] + rng.standard_normal((n, d))).astype(np.float32), text.astype(np.float32), labels


@pytest.fixture
def file(tmp_path) -> Path:
    """Arrays in one file, and a table with two thirds for training beside it."""
    image, text, labels = vectors()
    np.savez(tmp_path / "x.npz", image=image, text=text)
    lines = [f"{NAMES[y]},été {i},{'test' if i % 9 > 5 else 'Training'}" for i, y in enumerate(labels)]
    (tmp_path / "x.csv").write_text("label,caption,split\n" + "\n".join(lines), encoding="utf-8")
    return tmp_path / "x.npz"


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_every_kind_of_file_holds_the_same(tmp_path):
    image, text, labels = vectors()
    held = {"image": torch.from_numpy(image), "text": torch.from_numpy(text), "labels": torch.from_numpy(labels)}
    np.savez(tmp_path / "a.npz", image=image, text=text, labels=labels)
    save_file(held, tmp_path / "b.safetensors")
    torch.save(held, tmp_path / "c.pt")
    np.save(tmp_path / "d.npy", image.astype(np.float16))
    np.save(tmp_path / "d.text.npy", text)
    (tmp_path / "d.csv").write_text("label\n" + "\n".join(NAMES[y] for y in labels))
    for stem in "abcd":
        (tmp_path / f"{stem}.json").write_text(json.dumps({"classnames": NAMES, "scale": 50}))
    for name in ("a.npz", "b.safetensors", "c.pt", "d.npy"):
        data, model = load_dataset(f"features:{name}", root=tmp_path), load_model(f"features:{tmp_path / name}")
        assert np.allclose(data.array, unit(image), atol=1e-3 if name[0] == "d" else 1e-6) and data.array.dtype == np.float32
        assert data.labels.tolist() == labels.tolist() and data.classnames == NAMES and len(data) == 90
        assert np.allclose(model.text_features(NAMES), unit(text), atol=1e-6) and model.logit_scale == 50
    torch.save(torch.from_numpy(image), tmp_path / "e.pt")  # a bare tensor
    assert np.allclose(read_vectors(str(tmp_path / "e.pt")).dataset.array, unit(image), atol=1e-6)


def test_a_page_draws_from_vectors_as_from_pictures(file):
    name = f"features:{file}"
    model, data = load_model(name), {split: load_dataset(name, split) for split in ("train", "test")}
    assert [len(part) for part in data.values()] == [60, 30] and data["test"].captions[0] == ["été 6"]
    again = extract(model, data["train"])
    assert np.allclose(again.image, data["train"].array) and again.labels.tolist() == data["train"].labels.tolist()
    few = draw(model, name, 0, 4, 2, 30)
    assert (
        few.classnames == NAMES and few.pool[0].shape[1] == 8 and suite_of(name)[0].load("train").fingerprint == data["train"].fingerprint
    )
    weights = zeroshot_weights(model, few.classnames, few.templates)
    assert np.allclose(weights, unit(vectors()[1]), atol=1e-6) and np.allclose(text_features(model, NAMES), weights)
    right = (few.test[0] @ weights.T).argmax(1) == few.test[1]  # each cloud lies around its text
    learned = GDA().fit(*few.shots(4), weights).predict_logits(few.test[0]).argmax(1) == few.test[1]
    assert right.float().mean() > 0.95 and learned.float().mean() > 0.9


def test_the_content_and_not_the_place_makes_the_fingerprint(file, tmp_path):
    (tmp_path / "moved").mkdir()
    for path in (file, file.with_suffix(".csv")):
        (tmp_path / "moved" / path.name).write_bytes(path.read_bytes())

    def prints(path):
        return load_dataset(f"features:{path}").fingerprint, load_model(f"features:{path}").fingerprint

    first = prints(file)
    assert prints(tmp_path / "moved" / "x.npz") == first
    image, text, _ = vectors()
    np.savez(file, image=image * 2, text=text + 0.01)
    assert prints(file)[0] == first[0] and prints(file)[1] != first[1]  # the length of a vector means nothing
    image[6, 0] += 0.01
    np.savez(file, image=image, text=text)
    assert prints(file)[0] != first[0]


@given(st.floats(0.001, 1000), st.integers(0, 2**32 - 1))
def test_length_is_taken_off(tmp_path_factory, length, seed):
    path = tmp_path_factory.mktemp("one") / "x.npy"
    image = np.random.default_rng(seed).standard_normal((3, 5))
    np.save(path, image * length)
    assert np.allclose(read_vectors(str(path)).dataset.array, unit(image), atol=1e-6)


def test_captions_name_the_text_vectors_of_pairs(tmp_path):
    image, _, _ = vectors(6)
    np.savez(tmp_path / "p.npz", image=image, text=image[::-1])
    (tmp_path / "p.csv").write_text("caption\na\nb\nc\nd\ne\na\n")
    model, data = load_model(f"features:{tmp_path / 'p.npz'}"), load_dataset(f"features:{tmp_path / 'p.npz'}")
    told = model.text_features([captions[0] for captions in data.captions])
    assert np.allclose(told[:5], unit(image[::-1])[:5], atol=1e-6) and torch.equal(told[5], told[0])  # of equal texts the first
    with pytest.raises(ClipkitError, match="no vector of the text 'a photo of a cat.', but of 5 others"):
        model.text_features(["b", "a photo of a cat."])


def test_without_text_vectors_zero_shot_is_at_chance_and_that_is_said(tmp_path):
    np.save(tmp_path / "x.npy", vectors(3000)[0])
    model = load_model(f"features:{tmp_path / 'x.npy'}")
    assert "has no text vectors" in notices()[-1]
    told = model.text_features([str(i) for i in range(200)])
    assert torch.allclose(told.norm(dim=1), torch.ones(200)) and torch.equal(told[7:8], model.text_features(["7"]))
    assert (told @ told.T).triu(1).abs().sum() / (200 * 199 / 2) < 0.35  # 8 dimensions: mean |cosine| is 0.28
    assert model.text_features([]).shape == (0, 8)


def test_what_needs_a_network_or_a_picture_is_told_so(file, monkeypatch):
    model, data = load_model(f"features:{file}"), load_dataset(f"features:{file}")
    with pytest.raises(ClipkitError, match="has no 'tokenize': it holds finished vectors, and this needs a network"):
        model.tokenize(["a"])
    with pytest.raises(ClipkitError, match="x.npz row 6 is a vector, no picture"):
        data.images[0]
    with pytest.raises(ClipkitError, match="sees no pictures; give it the data set of the same name"):
        extract(model, load_dataset("digits", n=10))
    with pytest.raises(ClipkitError, match="uint8 array"):
        extract(load_model("nano"), data)
    run = lab.start("gda_adapter", {"smoke": {}}, preset="smoke", model="nano", dataset=f"features:{file}", device="cpu")
    assert run.model == f"features:{file}" and scale_of("features:x.npz", "features:x.npz") == "real CLIP"


def damage(file: Path, what: str) -> None:
    image, text, _ = vectors()
    table = file.with_suffix(".csv")
    if what == "cut":
        file.write_bytes(file.read_bytes()[:500])
    elif what == "nan":
        image[[4, 7], 2] = np.nan, np.inf
    elif what == "zero":
        text[1] = 0
    elif what == "flat":
        image = image.ravel()
    elif what == "integers":
        image = image.astype(int)
    elif what == "widths":
        text = text[:, :5]
    elif what == "unnamed":
        text = text[:2]
    elif what == "lines":
        table.write_text("label\ncrystal\n")
    elif what == "empty":
        table.write_text(table.read_text(encoding="utf-8").replace("été 3", ""), encoding="utf-8")
    elif what == "split":
        table.write_text(table.read_text(encoding="utf-8").replace("Training", "Trainning", 1), encoding="utf-8")
    elif what == "columns":
        table.write_text("name\n" + "a\n" * 90)
    elif what == "classes":
        file.with_suffix(".json").write_text(json.dumps({"classnames": NAMES[:2] + ["pores"]}))
    elif what == "key":
        file.with_suffix(".json").write_text(json.dumps({"classes": NAMES}))
    elif what == "json":
        file.with_suffix(".json").write_text("{")
    if what != "cut":
        np.savez(file, image=image, text=text)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut", r"x.npz cannot be read \(BadZipFile: .*write it again"),
        ("nan", "'image': 2 rows are zero, NaN or infinite, the first is row 4"),
        ("zero", "'text': 1 rows are zero, NaN or infinite, the first is row 1"),
        ("flat", r"'image': want vectors of floating-point numbers \(N, D\), got \(720,\) float32"),
        ("integers", r"got \(90, 8\) int"),
        ("widths", r"'text': want vectors of floating-point numbers \(N, 8\), got \(3, 5\)"),
        ("unnamed", "2 text vectors, but 3 or 90 texts; name them as 'texts' in x.json"),
        ("lines", "has 1 lines for 90 vectors"),
        ("empty", r"x.csv, line 5: no caption \(the cell is empty\)"),
        ("split", "unknown split in .*x.csv, line 2: 'Trainning'"),
        ("columns", "has none of the columns label, caption, split, but name"),
        ("classes", "unknown label of features:.* 'pore'; did you mean 'pores'"),
        ("key", "unknown key of .*x.json 'classes'; did you mean 'classnames'"),
        ("json", "x.json is not valid JSON"),
    ],
)
def test_what_is_wrong_is_named(file, what, message):
    damage(file, what)
    with pytest.raises(ClipkitError, match=message):
        load_dataset(f"features:{file}")


def test_no_file_no_kind_no_code_and_no_split(file, tmp_path):
    with pytest.raises(ClipkitError, match="no such file; looked for .*nowhere.npy"):
        load_model("features:nowhere.npy")
    with pytest.raises(ClipkitError, match="unknown kind of file of vectors '.csv'"):
        load_dataset(f"features:{file.with_suffix('.csv')}")
    torch.save({"image": Path("a")}, tmp_path / "code.pt")  # an object is no weights
    with pytest.raises(ClipkitError, match="code.pt cannot be read"):
        load_dataset(f"features:{tmp_path / 'code.pt'}")
    with pytest.raises(ClipkitError, match="unknown split of features:.*'val'.* Choices: test, train"):
        load_dataset(f"features:{file}", "val")
    np.save(tmp_path / "y.npy", vectors()[0])
    with pytest.raises(ClipkitError, match="no split 'train'"):
        load_dataset(f"features:{tmp_path / 'y.npy'}", "train")
    assert len(load_dataset(f"features:{tmp_path / 'y.npy'}", "train", fractions=(0.5, 0.0, 0.5))) == 45
