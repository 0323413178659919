"""torchvision, hub and webdataset sources, on small local files made here."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipkit.datasets import UnreadableImage, load_dataset
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.notices import forget, notices

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


def png(i: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURES[i]).save(stream, "PNG")
    return stream.getvalue()


# torchvision ---------------------------------------------------------------------------------------


@pytest.fixture
def torchvision():
    from clipkit.compat import ensure_torchvision

    ensure_torchvision()
    import torchvision

    return torchvision


def test_cifar10_from_torchvisions_files(torchvision, tmp_path, monkeypatch):
    """A CIFAR-10 of twelve images in torchvision's layout; only the checksums it expects are changed."""
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    pixels = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    lists = {}
    for part, names in {"train": ["data_batch_1"], "test": ["test_batch"]}.items():
        rows = pixels[:10] if part == "train" else pixels[10:]
        batch = {"data": rows.transpose(0, 3, 1, 2).reshape(len(rows), -1), "labels": [i % 10 for i in range(len(rows))]}
        (base / names[0]).write_bytes(pickle.dumps(batch))
        lists[part] = [[names[0], hashlib.md5((base / names[0]).read_bytes()).hexdigest()]]
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": classes}))
    meta = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": hashlib.md5((base / "batches.meta").read_bytes()).hexdigest(),
    }
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", lists["train"])
    monkeypatch.setattr(cls, "test_list", lists["test"])
    monkeypatch.setattr(cls, "meta", meta)

    train, test = (load_dataset("cifar10", split=s, root=tmp_path) for s in ("train", "test"))
    assert train.name == "cifar10" and train.classnames == classes
    assert np.array_equal(train.array, pixels[:10]) and train.labels.tolist() == list(range(10))
    assert np.array_equal(test.array, pixels[10:])
    assert load_dataset("torchvision:cifar10", split="test", root=tmp_path).fingerprint == test.fingerprint
    with pytest.raises(ClipkitError, match="unknown split of torchvision:CIFAR10 'val'"):
        load_dataset("cifar10", split="val", root=tmp_path)


def test_files_that_are_not_there(torchvision, tmp_path):
    with pytest.raises(ClipkitError, match="CIFAR10 is not at .*download=True.*root=FOLDER.*folder:PATH"):
        load_dataset("cifar10", root=tmp_path)
    assert not list(tmp_path.iterdir())  # nothing was fetched unasked
    with pytest.raises(ClipkitError, match="unknown torchvision data set 'food10'"):
        load_dataset("torchvision:food10")
    with pytest.raises(ClipkitError, match="DTD, split 'all'"):
        load_dataset("torchvision:DTD", split="all", root=tmp_path)
    with pytest.raises(ClipkitError, match="no_such_option"):
        load_dataset("torchvision:FakeData", no_such_option=1)


def test_a_download_that_fails_says_so(torchvision, tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    with pytest.raises(ClipkitError, match="could not be downloaded .*Name or service not known"):
        load_dataset("cifar10", root=tmp_path, download=True)


def test_grey_arrays_and_class_names(torchvision, tmp_path):
    """MNIST's own file format, written here: three images of 28 x 28."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    grey = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    head = (0x803).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in grey.shape)
    labels = (0x801).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes([7, 0, 9])
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + grey.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    ds = load_dataset("torchvision:mnist", root=tmp_path)
    assert ds.array.shape == (3, 28, 28, 3) and np.array_equal(ds.array[..., 1], grey)
    assert ds.labels.tolist() == [7, 0, 9] and ds.classnames[7] == "seven" and "digit" in ds.templates[1]


def test_sets_of_files_are_read_as_files(torchvision, tmp_path):
    """EuroSAT: class folders without splits."""
    for name in ("AnnualCrop", "Forest"):
        folder = tmp_path / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        for i in range(5):
            (folder / f"{i}.png").write_bytes(png(i))
    ds = load_dataset("torchvision:EuroSAT", root=tmp_path)
    assert len(ds) == 10 and ds.classnames == ["AnnualCrop", "Forest"] and np.array_equal(np.asarray(ds.images[6]), PICTURES[1])
    train = load_dataset("torchvision:EuroSAT", split="train", root=tmp_path, fractions=(0.8, 0.0, 0.2))
    assert len(train) == 8 and train.split == "train"
    with pytest.raises(ClipkitError, match="no split 'train'"):
        load_dataset("torchvision:EuroSAT", split="train", root=tmp_path)


def test_sets_that_are_neither(torchvision):
    ds = load_dataset("torchvision:FakeData", size=5, image_size=(3, 8, 8), num_classes=3)
    again = load_dataset("torchvision:FakeData", size=5, image_size=(3, 8, 8), num_classes=3)
    assert ds.images[4].size == (8, 8) and ds.fingerprint == again.fingerprint
    assert ds.classnames == ["class 0", "class 1", "class 2"]


# hub -----------------------------------------------------------------------------------------------


@pytest.fixture
def hub():
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    return library


def rows(hub, **changes):
    table = {"img": [{"bytes": png(i), "path": None} for i in range(6)], "label": [0, 1, 2] * 2, "text": [f"caption {i}" for i in range(6)]}
    kinds = {"img": hub.Image(), "label": hub.ClassLabel(names=["cat", "hot_dog", "cow"]), "text": hub.Value("string")}
    for name, (values, kind) in changes.items():
        table[name], kinds[name] = values, kind
    return hub.Dataset.from_dict(table, features=hub.Features(kinds))


def test_saved_data_set(hub, tmp_path):
    hub.DatasetDict({"train": rows(hub).select([0, 1]), "validation": rows(hub)}).save_to_disk(str(tmp_path / "saved"))
    ds = load_dataset(f"hf:{tmp_path / 'saved'}", split="val")
    assert len(ds) == 6 and ds.classnames == ["cat", "hot dog", "cow"] and ds.labels.tolist() == [0, 1, 2] * 2
    assert ds.captions[3] == ["caption 3"] and np.array_equal(np.asarray(ds.images[3]), PICTURES[3])
    assert ds.subset([3]).images_fingerprint == load_dataset("hf:saved", split="val", root=tmp_path).subset([3]).images_fingerprint
    with pytest.raises(ClipkitError, match="unknown split of hf:.*Choices: train, validation"):
        load_dataset(f"hf:{tmp_path / 'saved'}", split="test")


def test_parquet_file_and_folder_of_images(hub, tmp_path):
    rows(hub).to_parquet(str(tmp_path / "rows.parquet"))
    ds = load_dataset("hf:rows.parquet", root=tmp_path)
    assert len(ds) == 6 and ds.classnames[0] == "cat" and np.array_equal(np.asarray(ds.images[5]), PICTURES[5])
    for split in ("train", "test"):
        for i in range(4):
            file = tmp_path / "images" / split / ["cat", "dog"][i % 2] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(i))
    ds = load_dataset(f"hf:{tmp_path / 'images'}", split="test")
    assert ds.classnames == ["cat", "dog"] and np.bincount(ds.labels).tolist() == [2, 2]
    assert ds.images[0].size == (8, 8) and ds.fingerprint


def test_columns_by_type_and_by_name(hub, tmp_path):
    def load(name, data, **options):
        data.save_to_disk(str(tmp_path / name))
        return load_dataset(f"hf:{tmp_path / name}", **options)

    lists = load("lists", rows(hub, text=([["a", "b"]] * 6, hub.List(hub.Value("string")))))
    assert lists.captions[0] == ["a", "b"]
    words = load("words", rows(hub, kind=(["x", "y", "x", "y", "x", "y"], hub.Value("string"))), label="kind")
    assert words.classnames == ["x", "y"] and words.labels.tolist() == [0, 1] * 3
    plain = rows(hub, label=([0, 1] * 3, hub.Value("int64")))
    assert load("plain", plain, classnames=["no", "yes"]).classnames == ["no", "yes"]
    with pytest.raises(ClipkitError, match="integers without names; pass classnames"):
        load("plain2", plain)
    with pytest.raises(ClipkitError, match="unknown column of hf:.*'lable'; did you mean 'label'"):
        load("typo", rows(hub), label="lable")
    with pytest.raises(ClipkitError, match="no image column; its columns are: label"):
        load("blind", rows(hub).remove_columns(["img", "text"]))
    two = rows(hub, photo=([{"bytes": png(0), "path": None}] * 6, hub.Image())).rename_column("img", "drawing")
    with pytest.raises(ClipkitError, match="several columns that could be the image: drawing, photo; pass image=COLUMN"):
        load("two", two)
    assert load("two2", two, image="photo").images[5].size == (8, 8)


def test_rows_of_the_hub_without_label_or_caption(hub, tmp_path):
    rows(hub, label=(["cat ", "dog", "cat"] * 2, hub.Value("string"))).save_to_disk(str(tmp_path / "words"))
    ds = load_dataset(f"hf:{tmp_path / 'words'}", label="label")
    assert ds.classnames == ["cat", "dog"] and ds.labels.tolist() == [0, 1, 0] * 2
    rows(hub, label=(["cat", None, ""] * 2, hub.Value("string"))).save_to_disk(str(tmp_path / "gaps"))
    with pytest.raises(ClipkitError, match="row 1 has no 'label' .4 such rows in all."):
        load_dataset(f"hf:{tmp_path / 'gaps'}", label="label")
    rows(hub, text=(["a", None] * 3, hub.Value("string"))).save_to_disk(str(tmp_path / "captions"))
    forget()
    assert load_dataset(f"hf:{tmp_path / 'captions'}").captions[:2] == [["a"], [""]]
    assert "3 rows have no caption in 'text', the first is row 1" in notices()[0]


@pytest.mark.parametrize("name", ["validation", "valid", "dev", "val"])
def test_splits_of_the_hub_by_any_name(hub, tmp_path, name):
    hub.DatasetDict({"train": rows(hub), name: rows(hub).select(range(2))}).save_to_disk(str(tmp_path / "d"))
    assert len(load_dataset(f"hf:{tmp_path / 'd'}", split="val")) == 2


def test_unreadable_rows(hub, tmp_path):
    rows(hub, img=([{"bytes": b"broken", "path": None}, None] * 3, hub.Image())).save_to_disk(str(tmp_path / "bad"))
    ds = load_dataset(f"hf:{tmp_path / 'bad'}", readable=False)
    for i in (0, 1):
        with pytest.raises(UnreadableImage, match=f"row {i}"):
            ds.images[i]
    assert ds.fingerprint


def test_hub_out_of_reach(hub, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(hub, "load_dataset", unreachable)
    with pytest.raises(ClipkitError, match="no route to the hub.*save_to_disk"):
        load_dataset("hf:someone/something")


@pytest.mark.parametrize(("name", "package", "extra"), [("hf:x", "datasets", "hub")])
def test_missing_extra(monkeypatch, name, package, extra):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted, *a: None if wanted == package else found(wanted, *a))
    with pytest.raises(MissingExtra, match=rf"{package} is not installed.*\[{extra}\]"):
        load_dataset(name)


# webdataset ----------------------------------------------------------------------------------------


def shards(folder: Path, **members) -> str:
    """Two tars of three samples, written by the webdataset library itself; `members` maps a suffix to f(i) -> value."""
    wds = pytest.importorskip("webdataset")
    folder.mkdir(parents=True, exist_ok=True)
    for s in range(2):
        with wds.TarWriter(str(folder / f"train-{s:04d}.tar")) as tar:
            for i in range(3 * s, 3 * s + 3):
                sample = {"__key__": f"sample{i}", "png": png(i)}
                tar.write({**sample, **{k: value for k, make in members.items() if (value := make(i)) is not None}})
    return f"wds:{folder}/train-{{0000..0001}}.tar"


def test_shards_equal_what_webdataset_streams(tmp_path):
    wds = pytest.importorskip("webdataset")
    name = shards(tmp_path, txt=lambda i: f"caption {i}", cls=lambda i: i % 3)
    ds = load_dataset(name, classnames=["a", "b", "c"])
    streamed = list(wds.WebDataset([str(p) for p in sorted(tmp_path.glob("*.tar"))], shardshuffle=False, empty_check=False).decode("pil"))
    assert len(ds) == len(streamed) == 6
    for i in (5, 0, 3):  # at random, not in order
        assert np.array_equal(np.asarray(ds.images[i]), np.asarray(streamed[i]["png"]))
        assert ds.captions[i] == [streamed[i]["txt"]] and ds.labels[i] == streamed[i]["cls"]
        assert ds.paths[i].endswith(streamed[i]["__key__"])
    assert ds.fingerprint == load_dataset(name, classnames=["a", "b", "c"]).fingerprint
    with pytest.raises(ClipkitError, match="no split 'train'"):
        load_dataset(name, split="train", classnames=["a", "b", "c"])


def test_shards_with_json_and_split_in_the_name(tmp_path):
    shards(tmp_path, json=lambda i: {"caption": f"c{i}", "label": i % 2})
    (tmp_path / "classnames.txt").write_text("odd\neven\n")
    ds = load_dataset("wds:{split}-{0000..0001}.tar", split="train", root=tmp_path)
    assert ds.classnames == ["odd", "even"] and ds.captions[4] == ["c4"] and ds.split == "train"
    with pytest.raises(ClipkitError, match="2 of 2 shards are not there"):
        load_dataset("wds:{split}-{0000..0001}.tar", split="test", root=tmp_path)


def test_labels_of_shards_in_words(tmp_path):
    word = ["hot_dog", "cat", "hot dog"].__getitem__
    ds = load_dataset(shards(tmp_path / "own", json=lambda i: {"label": word(i % 3)}), split="test")
    assert ds.classnames == ["cat", "hot dog"] and ds.labels.tolist() == [1, 0, 1] * 2
    ds = load_dataset(shards(tmp_path / "cls", cls=lambda i: word(i % 3)), split="test", classnames=["Hot Dog", "hot dog", "cat"])
    assert ds.labels.tolist() == [1, 2, 1] * 2
    ds = load_dataset(shards(tmp_path / "digits", json=lambda i: {"label": str(i % 2), "caption": None}), classnames=["a", "b"])
    assert ds.labels.tolist() == [0, 1] * 3 and ds.captions is None
    with pytest.raises(ClipkitError, match="unknown label of sample 'sample1' .* 'cat'"):
        load_dataset(shards(tmp_path / "other", cls=lambda i: word(i % 3)), classnames=["hot dog", "dog"])
    with pytest.raises(ClipkitError, match="'sample0' has the label 'cat', 'sample1' has 1; use words or numbers"):
        load_dataset(shards(tmp_path / "mixed", json=lambda i: {"label": i or "cat"}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"caption": 5}, "the caption is 5, not a text"),
        ({"caption": ["a", None]}, "the caption is .*None"),
        ({"caption": {"en": "a"}}, "the caption is {'en': 'a'}, not a text or a list"),
        ({"label": 1.5}, "the label is 1.5, neither"),
        ({"label": True}, "the label is True"),
        ({"label": " "}, "the label is ' '"),
        (["a"], "a mapping is expected, not list"),
    ],
)
def test_json_of_shards_that_cannot_be_understood_names_the_member(tmp_path, content, words):
    with pytest.raises(ClipkitError, match=f"sample0.json cannot be understood: {words}"):
        load_dataset(shards(tmp_path, json=lambda i: content))


def test_bad_shards(tmp_path):
    labelled = shards(tmp_path / "labels", cls=lambda i: i)
    with pytest.raises(ClipkitError, match="labels without names; pass classnames"):
        load_dataset(labelled)
    with pytest.raises(ClipkitError, match="label 2 of .*sample2 is out of range"):
        load_dataset(labelled, classnames=["a", "b"])
    with pytest.raises(ClipkitError, match="'sample4' has no caption, though others have"):
        load_dataset(shards(tmp_path / "gap", txt=lambda i: None if i == 4 else "x"))
    with pytest.raises(ClipkitError, match="sample0.json cannot be understood"):
        load_dataset(shards(tmp_path / "json", json=lambda i: json.dumps([i]).encode()))
    with pytest.raises(ClipkitError, match="only local tars"):
        load_dataset("wds:https://example.org/a.tar")
    with pytest.raises(ClipkitError, match="a brace is not closed"):
        load_dataset(f"wds:{tmp_path}/train-{{0000..0001.tar")
    tar = tmp_path / "labels" / "train-0000.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(ClipkitError, match="cannot read shard .*train-0000.tar"):
        load_dataset(labelled, classnames=list("abcdef"))


def test_an_unreadable_member(tmp_path):
    wds = pytest.importorskip("webdataset")
    with wds.TarWriter(str(tmp_path / "a.tar")) as tar:
        tar.write({"__key__": "good", "png": png(0)})
        tar.write({"__key__": "bad", "png": b"broken"})
    assert load_dataset(f"wds:{tmp_path}/a.tar").paths == ["a.tar:good"]
    ds = load_dataset(f"wds:{tmp_path}/a.tar", readable=False)
    assert ds.images[0].size == (8, 8)
    with pytest.raises(UnreadableImage, match="a.tar:bad"):
        ds.images[1]
