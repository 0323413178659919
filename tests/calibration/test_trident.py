"""Trident's steps against what its released code computes, in double precision, with every deliberate difference named."""

from __future__ import annotations

import json

import pytest
import torch

from clipkit.compat import import_open_clip
from clipkit.dense import colour_smoothing, filtered_affinity, proxy_matrix
from clipkit.dense.trident_windows import window_maps
from tests.calibration.official import features
from tests.calibration.trident_official import (
    CELLS,
    COS_FACS,
    DIM,
    HEADS,
    HIGH,
    PATCH,
    SIDE,
    STRIDE,
    VALUES,
    WIDE,
    WIDTH,
    inputs,
    weights,
)

STORED = json.loads(VALUES.read_text())


class Encoder:
    """What `clipkit.dense` asks of a model, around a bare tower."""

    def __init__(self, tower):
        self.module = torch.nn.Module()
        self.module.visual = tower
        self.device, self.dtype = torch.device("cpu"), torch.float64


@pytest.fixture(scope="module")
def tower():
    made = import_open_clip().transformer.VisionTransformer(SIDE, PATCH, WIDTH, 3, HEADS, 2.0, output_dim=DIM).double().eval()
    weights(made)
    return made


@pytest.mark.parametrize("name", STORED)
def test_provenance_is_complete(name):
    assert STORED[name]["repository"] == "YuHengsss/Trident" and len(STORED[name]["release"]) == 40 and STORED[name]["call"]


@pytest.mark.parametrize("cos_fac", COS_FACS)
@pytest.mark.parametrize("name", ["guide", "fine_guide"])
def test_whole_forward(tower, name, cos_fac, monkeypatch):
    """Windows, proxy attention, splicing, global step and projection at once, for a guide on CLIP's grid and on a finer one."""
    t = inputs()
    # they take the mean similarity over all windows of the batch, ours is each window's own by default
    batch_mean = lambda guide, beta, gamma, mean: proxy_matrix(guide, beta, gamma, "batch")  # noqa: E731
    monkeypatch.setattr("clipkit.dense.proxy.proxy_matrix", batch_mean)
    with torch.no_grad():
        [found] = window_maps(Encoder(tower), t["picture"], ["proxy"], SIDE, STRIDE, lambda x: x, lambda crops: t[name])
        affinity = filtered_affinity(t["attention"], t["values"].flatten(2, 3), cos_fac)
        from clipkit.dense import aggregate, project

        ours = project(Encoder(tower), aggregate(found.spliced(), affinity, CELLS))[0].flatten(1).T
    theirs = torch.tensor(STORED[f"forward_{name}_{cos_fac}"]["value"], dtype=torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert found.grid[0] * PATCH == HIGH * found.maps.shape[-1] * PATCH // SIDE and WIDE > HIGH


@pytest.mark.parametrize("cos_fac", [-2.0, *COS_FACS])
def test_filtered_affinity(cos_fac):
    t = inputs()
    ours = filtered_affinity(t["attention"][0], t["values"][0].flatten(1, 2), cos_fac)
    theirs = torch.tensor(STORED[f"affinity_{cos_fac}_True"]["value"], dtype=torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_filter_bites():
    kept = [sum(v != 0 for row in STORED[f"affinity_{c}_True"]["value"] for v in row) for c in (-2.0, *COS_FACS)]
    assert kept == sorted(kept, reverse=True) and len(set(kept)) > 2


def test_colour_smoothing():
    maps = features(2 * HIGH, WIDE, 0.8).reshape(1, 2, HIGH, WIDE).float() + 0.5
    ours = colour_smoothing(maps, inputs()["picture"].float(), steps=3, dilations=(1, 2))[0]
    torch.testing.assert_close(ours, torch.tensor(STORED["pamr"]["value"]), rtol=0, atol=2e-6)


def test_where_the_released_code_divides_zero_by_zero():
    same = torch.ones(1, 3, 2, 2, dtype=torch.float64)  # a window of one colour: the mean similarity is 1, and 1 - 1.2 is negative
    assert torch.equal(proxy_matrix(same)[0], torch.eye(4, dtype=torch.float64))
