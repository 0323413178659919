"""Feature extraction: the same numbers however they are computed, kept and resumed. A tiny stand-in for a model keeps it fast."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clipkit import paths
from clipkit.datasets import ArrayImages, Dataset, file_images, load_dataset
from clipkit.errors import ClipkitError
from clipkit.features import FeatureStore, extract, text_features

N = 23


class TinyEncoder:
    """The protocol of `clipkit.models.DualEncoder` around one matrix; counts what it encodes."""

    name, pretrained, embed_dim, image_size = "tiny", "random", 5, 4
    device = torch.device("cpu")

    def __init__(self, seed: int = 0, stop_after: int | None = None):
        self.matrix = torch.randn(3 * 4 * 4, self.embed_dim, generator=torch.Generator().manual_seed(seed))
        self.encoded, self.stop_after = 0, stop_after

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.matrix.numpy().tobytes()).hexdigest()

    def preprocess(self, image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((4, 4), 3), dtype=np.float32)).permute(2, 0, 1) / 255

    def preprocess_batch(self, images) -> torch.Tensor:
        return torch.stack([self.preprocess(Image.fromarray(i) if isinstance(i, np.ndarray) else i) for i in images])

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.stop_after is not None and self.encoded + len(pixels) > self.stop_after:
            raise KeyboardInterrupt  # what a killed run looks like from inside
        self.encoded += len(pixels)
        return torch.nn.functional.normalize(pixels.flatten(1) @ self.matrix, dim=-1)

    def text_features(self, texts, batch: int = 256) -> torch.Tensor:
        self.encoded += len(texts)
        rows = [np.random.default_rng(abs(hash(t)) % 1000).normal(size=self.embed_dim) for t in texts]
        return torch.nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=-1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


def pictures(n: int = N, seed: int = 0) -> Dataset:
    array = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return Dataset("pictures", "test", ArrayImages(array), labels=np.arange(n) % 2, classnames=["even", "odd"])


@pytest.fixture
def folder(tmp_path) -> Path:
    for i, row in enumerate(pictures().array):
        file = tmp_path / "images" / f"class{i % 2}" / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row).save(file)
    return tmp_path / "images"


def plain(model, dataset) -> torch.Tensor:
    """The independent reference: one image at a time."""
    return torch.cat([model.encode_image(model.preprocess(dataset.images[i])[None]) for i in range(len(dataset))])


def stored() -> Path:
    (only,) = [p for p in paths.cache_dir("features").iterdir() if p.is_dir()]
    return only


def shard_files() -> list[Path]:
    return sorted(stored().glob("*.safetensors"))


# The same numbers --------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 3))
def test_neither_batch_nor_shard_nor_workers_matter(batch, shard, workers):
    model, dataset = TinyEncoder(), pictures()
    shutil.rmtree(paths.cache_dir("features"))  # what an earlier example found would do
    features = extract(model, dataset, batch=batch, shard=shard, workers=workers)
    assert not features.cached
    torch.testing.assert_close(features.image, plain(model, dataset), rtol=0, atol=1e-6)
    assert features.index.tolist() == list(range(N)) and features.labels.tolist() == dataset.labels.tolist()
    again = extract(model, dataset, batch=batch, shard=shard)
    assert again.cached and torch.equal(again.image, features.image) and torch.equal(again.labels, features.labels)


@pytest.mark.parametrize("workers", [0, 1, 3, None])
def test_files_give_what_arrays_give(folder, workers):
    model = TinyEncoder()
    dataset = load_dataset(f"folder:{folder}")
    features = extract(model, dataset, batch=4, workers=workers)
    torch.testing.assert_close(features.image, plain(model, dataset), rtol=0, atol=1e-6)
    by_path = dict(zip(dataset.paths, features.image, strict=True))
    direct = extract(model, pictures(), cache=False).image
    for i in range(N):
        torch.testing.assert_close(by_path[f"class{i % 2}/{i:02d}.png"], direct[i], rtol=0, atol=1e-6)
    assert not features.cached and features.skipped == [] and "23 images x 5" in repr(features)


def test_threads_of_torch_are_left_as_they_were(folder):
    before = torch.get_num_threads()
    extract(TinyEncoder(), load_dataset(f"folder:{folder}"), workers=2)
    assert torch.get_num_threads() == before


def test_no_cache_writes_nothing():
    features = extract(TinyEncoder(), pictures(), cache=False)
    assert features.folder is None and list(paths.cache_dir("features").iterdir()) == []
    assert len(extract(TinyEncoder(), pictures().subset([]), cache=False)) == 0


# What the cache depends on -----------------------------------------------------------------------


def test_cache_depends_on_weights_and_images_and_nothing_else():
    model, dataset = TinyEncoder(), pictures()
    extract(model, dataset)
    relabelled = Dataset("other name", "train", dataset.images, labels=np.zeros(N), classnames=["x"])
    again = extract(model, relabelled, batch=3)
    assert again.cached and again.labels.tolist() == [0] * N  # labels come from the data set, not from the cache
    assert model.encoded == N
    for other_model, other_data in [
        (TinyEncoder(seed=1), dataset),
        (model, pictures(seed=1)),
    ]:
        features = extract(other_model, other_data)
        assert not features.cached
        torch.testing.assert_close(features.image, plain(other_model, other_data), rtol=0, atol=1e-6)


def test_manifest_says_what_is_there():
    dataset = pictures()
    features = extract(TinyEncoder(), dataset, shard=10)
    manifest = json.loads((features.folder / "manifest.json").read_text())
    assert manifest["shape"] == [N, 5] and [s["rows"] for s in manifest["shards"]] == [10, 10, 3]
    assert manifest["identity"]["data"] == dataset.images_fingerprint and manifest["identity"]["model"] == TinyEncoder().fingerprint
    for entry in manifest["shards"]:
        assert hashlib.sha256((features.folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


@given(st.integers(0, 25), st.integers(0, 25))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_read_where_they_lie(start, stop):
    dataset = pictures()
    features = extract(TinyEncoder(), dataset, shard=7)
    image, index = FeatureStore.open(features.folder, TinyEncoder(), dataset).rows(start, stop)
    assert torch.equal(image, features.image[start:stop]) and torch.equal(index, features.index[start:stop])


def test_a_store_of_another_model_is_refused():
    features = extract(TinyEncoder(), pictures())
    with pytest.raises(ClipkitError, match="are from model tiny random, not from tiny"):
        FeatureStore.open(features.folder, model=TinyEncoder(seed=1))
    with pytest.raises(ClipkitError, match="are of pictures test, not of pictures"):
        FeatureStore.open(features.folder, dataset=pictures(seed=1))
    with pytest.raises(ClipkitError, match="no finished features"):
        FeatureStore.open(features.folder.parent)
    shard_files()[0].unlink()
    with pytest.raises(ClipkitError, match="missing or damaged"):
        FeatureStore.open(features.folder)


def test_a_folder_moved_to_another_models_place_is_not_believed(caplog):
    """Cache from another model: the folder carries its own identity, so its name is not trusted."""
    dataset, mine, other = pictures(), TinyEncoder(), TinyEncoder(seed=1)
    place = extract(mine, dataset).folder
    foreign = extract(other, dataset).folder
    for file in place.iterdir():
        file.unlink()
    for file in foreign.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    features = extract(mine, dataset)
    assert not features.cached and "another model" in caplog.text
    torch.testing.assert_close(features.image, plain(mine, dataset), rtol=0, atol=1e-6)
    assert extract(mine, dataset).cached


# Interrupted, damaged, shared --------------------------------------------------------------------


def test_a_killed_run_is_resumed():
    dataset = pictures()
    with pytest.raises(KeyboardInterrupt):
        extract(TinyEncoder(stop_after=16), dataset, batch=5, shard=5)
    assert len(shard_files()) == 3 and not (stored() / "manifest.json").exists()
    rest = TinyEncoder()
    features = extract(rest, dataset, batch=5, shard=5)
    assert rest.encoded == N - 15 and not features.cached
    torch.testing.assert_close(features.image, plain(TinyEncoder(), dataset), rtol=0, atol=1e-6)
    assert extract(TinyEncoder(stop_after=0), dataset, shard=5).cached


def test_half_written_files_are_ignored():
    dataset = pictures()
    features = extract(TinyEncoder(), dataset, shard=5)
    (stored() / "manifest.json").unlink()
    last = shard_files()[-1]
    (stored() / f".{last.name}.1.tmp").write_bytes(last.read_bytes()[:20])
    last.unlink()
    rest = TinyEncoder()
    assert torch.equal(extract(rest, dataset, shard=5).image, features.image) and rest.encoded == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "empty"])
def test_a_damaged_shard_is_noticed_and_computed_again(damage, caplog):
    dataset = pictures()
    right = extract(TinyEncoder(), dataset, shard=10)
    file = shard_files()[1]
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-3] ^= 64
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes({"flip": data, "truncate": data[:-9], "empty": b""}[damage])
    model = TinyEncoder()
    features = extract(model, dataset, shard=10)
    assert model.encoded == 10 and torch.equal(features.image, right.image)
    assert damage == "remove" or "damaged" in caplog.text
    assert extract(TinyEncoder(), dataset, shard=10).cached


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99, "shards": []}', '{"format": 1, "shards": [], "key": "x", "identity": {}}'])
def test_a_damaged_manifest_costs_nothing_but_itself(text):
    dataset = pictures()
    right = extract(TinyEncoder(), dataset, shard=10)
    (stored() / "manifest.json").write_text(text)
    model = TinyEncoder()
    assert torch.equal(extract(model, dataset, shard=10).image, right.image)
    assert model.encoded == 0  # the shards were still good
    assert extract(TinyEncoder(), dataset, shard=10).cached


def _write_at_once(cache: str, batch: int, barrier, results) -> None:
    import os

    os.environ["CLIPKIT_CACHE"] = cache
    torch.set_num_threads(1)
    barrier.wait()
    results.put(extract(TinyEncoder(), pictures(200), batch=batch, shard=3, workers=1).image.numpy())


def test_two_writers_at_once(tmp_path, monkeypatch):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    writers = [context.Process(target=_write_at_once, args=(str(tmp_path), batch, barrier, results)) for batch in (2, 3)]
    for writer in writers:
        writer.start()
    found = [results.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join()
    right = plain(TinyEncoder(), pictures(200)).numpy()
    for image in found:
        np.testing.assert_allclose(image, right, rtol=0, atol=1e-6)
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))
    again = extract(TinyEncoder(stop_after=0), pictures(200), shard=3)  # what they left is whole and complete
    assert again.cached and not list(again.folder.glob(".*.tmp"))
    np.testing.assert_allclose(again.image.numpy(), right, rtol=0, atol=1e-6)


def test_shards_of_another_writer_are_used_meanwhile():
    """A shard that appears while a run is under way is read, not computed a second time."""
    dataset = pictures()
    first = extract(TinyEncoder(), dataset, shard=5)
    spare = {f.name: f.read_bytes() for f in first.folder.iterdir()}
    for file in first.folder.iterdir():
        file.unlink()

    class Slow(TinyEncoder):
        def encode_image(self, pixels):
            for name, data in spare.items():  # the other writer finishes during our first batch
                (first.folder / name).write_bytes(data)
            return super().encode_image(pixels)

    model = Slow()
    assert torch.equal(extract(model, dataset, batch=5, shard=5, workers=0).image, first.image)
    assert model.encoded == 5


# Texts -------------------------------------------------------------------------------------------


def test_text_features_are_kept_by_content(caplog):
    model, texts = TinyEncoder(), ["a cat", "a dog", "a cat"]
    first = text_features(model, texts)
    assert first.shape == (3, 5) and torch.equal(first[0], first[2]) and model.encoded == 3
    assert torch.equal(text_features(model, texts), first) and model.encoded == 3
    assert torch.equal(text_features(model, ["a dog", "a cat"]), first[1:]) and model.encoded == 5  # other texts, computed
    text_features(TinyEncoder(seed=1), texts)  # other weights, computed
    files = list(paths.cache_dir("text_features").iterdir())
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert torch.equal(text_features(model, texts), first) and model.encoded == 8
    assert "damaged" in caplog.text
    text_features(model, texts, cache=False)
    assert model.encoded == 11
    with pytest.raises(ClipkitError, match="takes a list"):
        text_features(model, "a cat")


def test_a_sample_of_what_was_extracted_is_found_by_its_pictures(folder):
    """A folder with an unreadable picture: the sample's features are the whole's, in the sample's order, and nothing is encoded."""
    broken = folder.parent / "broken.png"
    broken.write_bytes(b"no picture")
    files = [*sorted(folder.rglob("*.png")), broken]
    whole = Dataset("whole", "test", file_images(files))
    first = TinyEncoder()
    everything = extract(first, whole)
    assert first.encoded == len(files) - 1 and not everything.cached
    rows = [len(files) - 1, 3, 0, 7]
    sample, model = Dataset("sample", "train", file_images([files[i] for i in rows])), TinyEncoder()
    found = extract(model, sample)
    assert model.encoded == 0 and found.cached and found.index.tolist() == [1, 2, 3]
    assert torch.equal(found.image, everything.image[[3, 0, 7]])
    assert found.skipped == [(str(broken), "cannot identify the image file")]
    assert len(FeatureStore.open(found.folder, model, sample).rows()[0]) == 3
    other = TinyEncoder(seed=1)
    extract(other, sample)
    assert other.encoded == 3, "another model has none of them"
    files[3].write_bytes(files[4].read_bytes())
    Image.new("RGB", (5, 5), (1, 2, 3)).save(files[0])
    changed = TinyEncoder()
    extract(changed, Dataset("sample", "train", file_images([files[0], files[3]])))
    assert changed.encoded == 2, "a picture is what it holds, not what it is called"


def test_rows_of_an_array_are_found_unless_their_shape_differs():
    array = np.random.default_rng(0).integers(0, 255, (6, 4, 8, 3), dtype=np.uint8)
    extract(TinyEncoder(), Dataset("a", "test", ArrayImages(array)))
    same, turned = TinyEncoder(), TinyEncoder()
    extract(same, Dataset("b", "test", ArrayImages(array[[4, 1]])))
    extract(turned, Dataset("c", "test", ArrayImages(array[[4, 1]].reshape(2, 8, 4, 3))))
    assert (same.encoded, turned.encoded) == (0, 2)
