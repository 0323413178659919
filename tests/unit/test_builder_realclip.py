"""Arrays of real CLIPs as `features:` files: each vector keeps its label or its pair, and names that nobody embedded add nothing."""

import csv

import numpy as np
import pytest
import torch

from builder import realclip
from clipkit import load_dataset, load_model

SAID = {"Reflected light microscopy": 40, "Scanning electron microscopy (SEM)": 12, "High resolution electron microscopy (HREM)": 5}
SAID |= {"Photography (no microscope)": 3, "Reflected light microscopy, polarised": 2}


@pytest.fixture
def made(tmp_path):
    """Where the files are; a micrograph's vector leans to the axis of what its table says."""
    said = np.random.default_rng(1).permutation(np.repeat(list(SAID), list(SAID.values()))).tolist()
    vectors = np.eye(5)[[list(SAID).index(one) for one in said]] + 0.01 * np.arange(len(said))[:, None]
    np.save(tmp_path / "micrographs_clip_vitb32_867.npy", vectors.astype(np.float32))
    with (tmp_path / "micrographs_867.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_local_path", "technique"), *[(f"{i}.jpg", one) for i, one in enumerate(said)]])
    pairs = np.random.default_rng(2).standard_normal((2, 7, 5)).astype(np.float32)
    np.save(tmp_path / "modality_gap_clip_vitb16_coco500.npy", pairs)
    np.save(tmp_path / "modality_gap_clip_random_init.npy", pairs[:, ::-1])
    realclip.micrographs(tmp_path, tmp_path)
    realclip.pairs(tmp_path, tmp_path)
    return tmp_path


def test_micrographs_keep_their_labels_the_commonest_is_cut_and_names_add_nothing(made):
    name = f"features:{made / 'micrographs.npz'}"
    train, test = (load_dataset(name, split) for split in ("train", "test"))
    kinds = ["reflected light microscopy", "scanning electron microscopy", "transmission electron microscopy"]
    assert train.classnames == kinds  # of the other two, one is no microscope and one is no technique of ours
    assert np.bincount(train.labels).tolist() == [7, 7, 3] and np.bincount(test.labels).tolist() == [5, 5, 2]  # 3 in 5
    for data in (train, test):
        assert data.array.argmax(1).tolist() == data.labels.tolist()
    text = load_model(name).text_features(kinds)
    assert torch.equal(text, text[:1].expand(3, -1))


def test_pairs_stay_pairs(made):
    trained, before = (f"features:{made / f'coco_{kind}.npz'}" for kind in ("pairs", "untrained"))
    for name, step in ((trained, 1), (before, -1)):
        data, model = load_dataset(name), load_model(name)
        image, text = np.load(made / "modality_gap_clip_vitb16_coco500.npy")[:, ::step]
        told = model.text_features([captions[0] for captions in data.captions])
        for got, want in ((data.array, image), (told.numpy(), text)):
            assert np.allclose(got, want / np.linalg.norm(want, axis=1, keepdims=True), atol=1e-6)
