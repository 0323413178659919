"""Unlabelled, validation and test pictures: disjoint, the same for the same seed, pixels as the model wants them."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.notices import forget, notices
from clipkit.studies.nola_collection import collection


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
    assert any("n_pool = 100 and n_val = 4 asked of 12 training pictures; the pool has 8" in said for said in notices())
    assert any("50 images asked" in said and "split 'test', which has 6" in said for said in notices())
    with pytest.raises(ClipkitError, match="has 12 training pictures; n_val = 12 of them leave none for the pool, so lower n_val"):
        collection(f"folder:{tmp_path}", 0, 100, 12, 5)


def test_bad_numbers_and_missing_labels_are_refused():
    with pytest.raises(ClipkitError, match="at least 1"):
        collection("world", 0, 4, 0, 4)
    with pytest.raises(ClipkitError, match="no labels"):
        collection("world", 0, 4, 2, 4, min_objects=2, max_objects=2)
