"""A seed's photographs, undisturbed and disturbed."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.features.disturbed import FAMILIES, crops, disturbed, photo_logits
from clipkit.world.image_corruptions import corrupt
from clipkit.zeroshot import zeroshot_weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of cats and dogs, and one of cats and cows."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for place, names in {"photo": ("cat", "dog"), "sketch": ("cat", "dog"), "farm": ("cat", "cow")}.items():
        for split in ("train", "test"):
            for name in names:
                (root / place / split / name).mkdir(parents=True)
                for i in range(8):
                    picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
                    picture.save(root / place / split / name / f"{i}.png")
    return root


def test_corruptions_at_five_severities(folders):
    found = disturbed(f"folder:{folders}/photo", None, 4, 0, 32)
    images, labels = found["id"]
    assert images.shape == (4, 32, 32, 3) and sorted(labels.tolist()) == [0, 0, 1, 1]
    assert len(found["val"][1]) == 12 and len(found) == 2 + 5 * len(FAMILIES)
    for name in FAMILIES:
        for k in (1, 5):
            assert (found[f"shift:{name} {k}"][0] == corrupt(images, name, k, 0)).all()
            assert torch.equal(found[f"shift:{name} {k}"][1], labels)


def test_other_folders(folders):
    found = disturbed(f"folder:{folders}/photo", [f"folder:{folders}/sketch"], 4, 0, 32)
    assert set(found) == {"val", "id", "shift:sketch"}
    assert not any((found["id"][0][i] == found["shift:sketch"][0][i]).all() for i in range(4))
    with pytest.raises(ClipkitError, match="same names"):
        disturbed(f"folder:{folders}/photo", [f"folder:{folders}/farm"], 4, 0, 32)


def test_no_two_seeds_share_a_test_picture(folders, monkeypatch):
    monkeypatch.setattr("clipkit.dealing._seeds", [3, 4])
    one, two = (disturbed(f"folder:{folders}/photo", [], 8, seed, 32)["id"][0] for seed in (3, 4))
    assert len(one) == len(two) == 8
    assert not {picture.tobytes() for picture in one} & {picture.tobytes() for picture in two}


def test_logits_are_those_of_the_zero_shot_classifier(folders):
    model, data = load_model("nano"), load_dataset(f"folder:{folders}/photo", "test")
    images = crops(data, model.image_size)
    weights = zeroshot_weights(model, data.classnames, ["a photo of a {}"])
    by_hand = model.logit_scale.item() * model.image_features(images) @ weights.T
    torch.testing.assert_close(photo_logits(model, images, data.classnames), by_hand, atol=1e-4, rtol=1e-4)
