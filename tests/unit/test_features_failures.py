"""What `extract` says and saves when something goes wrong: unreadable images, NaN, a full disk."""

from __future__ import annotations

import errno
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import paths
from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.features import extract, text_features
from clipkit.notices import forget
from tests.unit.test_features import TinyEncoder, pictures, plain

BROKEN = ("b/2.png", "b/5.png")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def damaged(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i, row in enumerate(pictures(6).array):
            Image.fromarray(row).save(tmp_path / "images" / name / f"{i}.png")
    for name in BROKEN:
        (tmp_path / "images" / name).write_bytes(b"\x89PNG broken")
    return load_dataset(f"folder:{tmp_path / 'images'}", readable=False)


@pytest.mark.parametrize(("batch", "shard", "workers"), [(4, 2048, None), (1, 1, 0), (12, 5, 2)])
def test_unreadable_images_are_skipped_counted_and_named(damaged, caplog, batch, shard, workers):
    model = TinyEncoder()
    for again in (False, True):  # the second time from the cache, and it is still said
        caplog.clear()
        forget()  # a new run
        features = extract(model, damaged, batch=batch, shard=shard, workers=workers)
        assert features.cached is again
        assert features.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]
        assert features.labels.tolist() == [0] * 6 + [1] * 4
        assert [path.endswith(name) for (path, _), name in zip(features.skipped, BROKEN, strict=True)] == [True, True]
        assert all("cannot identify" in reason for _, reason in features.skipped)
        (message,) = [r.getMessage() for r in caplog.records]
        assert "2 of 12 images" in message and BROKEN[0] in message
    torch.testing.assert_close(features.image, plain(model, damaged.subset(features.index.numpy())), rtol=0, atol=1e-6)


def test_a_mended_image_is_no_longer_skipped(damaged, tmp_path):
    extract(TinyEncoder(), damaged)
    for name in BROKEN:
        Image.fromarray(np.zeros((6, 6, 3), np.uint8) + 9).save(tmp_path / "images" / name)
    features = extract(TinyEncoder(), load_dataset(f"folder:{tmp_path / 'images'}"))
    assert len(features) == 12 and features.skipped == [] and not features.cached


def test_nothing_readable(damaged):
    with pytest.raises(ClipkitError, match="2 of 2 images .* cannot be read, so there are no features; the first is .*b/2.png"):
        extract(TinyEncoder(), damaged.subset([8, 11]))


class Poisoned(TinyEncoder):
    """Gives NaN for pictures whose first pixel is black."""

    def encode_image(self, pixels):
        features = super().encode_image(pixels)
        features[pixels.flatten(1).max(dim=1).values < 0.2] = float("nan")
        return features


def test_nan_names_the_first_image(tmp_path):
    dataset = pictures()
    dataset.images.array[[12, 17]] = 0
    with pytest.raises(ClipkitError, match=r"NaN or infinite features for image 12 \(1 of 5 images"):
        extract(Poisoned(), dataset, batch=5, shard=5)
    rest = TinyEncoder()  # what came before the poison was kept, what held it was not
    clean = extract(rest, dataset, batch=5, shard=5)
    assert rest.encoded == 13 and bool(torch.isfinite(clean.image).all())


def test_nan_in_text_features():
    model = TinyEncoder()
    model.text_features = lambda texts, batch=256: torch.tensor([[0.0, 1.0], [float("inf"), 0.0]])
    with pytest.raises(ClipkitError, match="for the text 'b'"):
        text_features(model, ["a", "b"])


@pytest.mark.parametrize(("after", "kept"), [(0, 0), (2, 2), (5, 5)])
def test_a_full_disk_costs_the_cache_not_the_features(monkeypatch, caplog, after, kept):
    """ENOSPC at the `after`-th write: one warning, all features returned, finished shards stay for the next run."""
    from clipkit import kept as tensors
    from clipkit.features import store

    dataset, written, real = pictures(), [], store.write_atomically

    def full(path, data):
        if len(written) >= after:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, data)
        written.append(path)

    for module in (store, tensors):
        monkeypatch.setattr(module, "write_atomically", full)
    features = extract(TinyEncoder(), dataset, shard=5)
    torch.testing.assert_close(features.image, plain(TinyEncoder(), dataset), rtol=0, atol=1e-6)
    assert features.folder is None
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "No space left on device" in record.getMessage() and "CLIPKIT_CACHE" in record.getMessage()

    for module in (store, tensors):
        monkeypatch.setattr(module, "write_atomically", real)
    rest = TinyEncoder()
    assert torch.equal(extract(rest, dataset, shard=5).image, features.image)
    assert rest.encoded == max(0, len(dataset) - 5 * kept)


def test_a_full_disk_leaves_no_half_file(monkeypatch, tmp_path):
    from pathlib import Path

    from clipkit.paths import write_atomically

    real = Path.write_bytes

    def partly(self, data):
        real(self, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    (tmp_path / "x").write_bytes(b"old content")
    monkeypatch.setattr(Path, "write_bytes", partly)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "x", b"new content")
    assert [p.name for p in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "old content"


def test_a_cache_that_cannot_be_made(monkeypatch, caplog):
    def full(room):
        raise OSError(errno.ENOSPC, "No space left on device", room)

    monkeypatch.setattr(paths, "cache_dir", full)
    features = extract(TinyEncoder(), pictures())
    assert len(features) == 23 and features.folder is None and "No space left" in caplog.text
    assert text_features(TinyEncoder(), ["a"]).shape == (1, 5)


def test_text_features_on_a_full_disk(monkeypatch, caplog):
    from clipkit import kept

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(kept, "write_atomically", full)
    assert text_features(TinyEncoder(), ["a"]).shape == (1, 5) and "No space left" in caplog.text


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"shard": 0}])
def test_sizes_below_one(wrong):
    with pytest.raises(ClipkitError, match="at least 1"):
        extract(TinyEncoder(), pictures(), **wrong)


def test_an_error_while_decoding_ahead_comes_out_and_ends_the_threads():
    import threading

    class Broken(TinyEncoder):
        def preprocess_batch(self, images):
            raise ClipkitError("wrong image size")

    with pytest.raises(ClipkitError, match="wrong image size"):
        extract(Broken(), pictures(), workers=2)
    assert not [t for t in threading.enumerate() if t.name.startswith("clipkit-decode")]
