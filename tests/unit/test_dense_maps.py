"""Windows, splicing, affinities and smoothing: constant and linear maps, brute force, conservation, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.dense import (
    aggregate,
    colour_features,
    colour_smoothing,
    filtered_affinity,
    label_affinity,
    proxy_matrix,
    splice,
    windows,
)
from clipkit.dense.trident_windows import window_places
from clipkit.errors import ClipkitError


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16), st.data())
def test_windows_cover_every_pixel_and_stay_inside(h, w, crop, data):
    stride = data.draw(st.integers(1, crop))
    places = window_places(h, w, crop, stride)
    seen = torch.zeros(h, w)
    for y0, x0, y1, x1 in places.tolist():
        assert 0 <= y0 < y1 <= h and 0 <= x0 < x1 <= w
        assert (y1 - y0, x1 - x0) == (min(crop, h), min(crop, w))
        seen[y0:y1, x0:x1] += 1
    assert (seen > 0).all()


def test_places_as_the_released_code_lays_them():
    # 336-pixel windows every 224 on 448 × 600, from the released rule: two rows, three columns, the last of each moved back
    assert window_places(448, 600, 336, 224).tolist() == [[y, x, y + 336, x + 336] for y in (0, 112) for x in (0, 224, 264)]


@pytest.mark.parametrize("lead", [(), (2,)])
def test_splicing_the_windows_of_a_map_gives_the_map(lead):
    whole = torch.randn(*lead, 3, 12, 20, dtype=torch.float64)
    crops, places = windows(whole, 8, 4)
    assert crops.shape == (*lead, len(places), 3, 8, 8)
    torch.testing.assert_close(splice(crops, places, (12, 20)), whole)


def test_splicing_averages_where_windows_overlap_and_resizes():
    places = torch.tensor([[0, 0, 2, 4], [0, 2, 2, 6]])
    maps = torch.stack([torch.full((1, 1, 2), 1.0), torch.full((1, 1, 2), 3.0)])
    assert splice(maps, places, (2, 6))[0].tolist() == [[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]] * 2


def test_averaging_scores_is_averaging_features_while_everything_is_linear():
    features, text = torch.randn(6, 5, 4, 4, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    _, places = windows(torch.zeros(3, 6, 8), 4, 2)
    scores = torch.einsum("kdhw,cd->kchw", features, text)
    torch.testing.assert_close(splice(scores, places, (6, 8)), torch.einsum("dhw,cd->chw", splice(features, places, (6, 8)), text))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cos_fac", [0.0, 1.2, 3.0])
def test_filtered_affinity_by_brute_force(dtype, cos_fac):
    g = torch.Generator().manual_seed(2)
    attention = torch.randn(3, 9, 9, generator=g, dtype=dtype).softmax(-1)
    values = torch.randn(3, 9, 4, generator=g, dtype=dtype) + 0.4
    found = filtered_affinity(attention, values, cos_fac)
    for i in range(9):
        cosine = [[float(F.cosine_similarity(values[h, i], values[h, j], dim=0)) for j in range(9)] for h in range(3)]
        level = min(cos_fac * sum(map(sum, cosine)) / 27, 0.9)
        row = torch.tensor([sum(float(attention[h, i, j]) * (cosine[h][j] > level) for h in range(3)) for j in range(9)], dtype=dtype)
        torch.testing.assert_close(found[i], row / row.sum(), rtol=1e-4, atol=1e-5)


def test_filtered_affinity_keeps_rows_and_batches():
    attention, values = torch.rand(2, 3, 5, 5), torch.randn(2, 3, 5, 64, generator=torch.Generator().manual_seed(0))
    both = filtered_affinity(attention, values)
    torch.testing.assert_close(both[1], filtered_affinity(attention[1], values[1]))
    torch.testing.assert_close(both.sum(-1), torch.ones(2, 5))
    strict = filtered_affinity(attention, values, 1e6)  # the cap holds: at most very near copies are left
    assert torch.equal(strict > 0, torch.eye(5, dtype=torch.bool).expand(2, 5, 5))
    values[0, :, 2] = 0  # a cell without a direction: the released code divides 0 by 0
    assert filtered_affinity(attention, values)[0, 2].tolist() == [0, 0, 1, 0, 0]


def test_aggregate_keeps_constants_and_mixes_by_rows():
    affinity = torch.rand(12, 12, dtype=torch.float64)
    affinity /= affinity.sum(1, keepdim=True)
    assert torch.allclose(
        aggregate(torch.full((2, 6, 8), 3.0, dtype=torch.float64), affinity, (3, 4)), torch.tensor(3.0, dtype=torch.float64)
    )
    maps = torch.randn(5, 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(aggregate(maps, affinity, (3, 4))[3, 1].flatten(), affinity @ maps[3, 1].flatten())
    torch.testing.assert_close(aggregate(maps, torch.eye(12, dtype=torch.float64), (3, 4)), maps)


def test_label_affinity_is_even_over_a_segment():
    segments = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 7, 7], [0, 0, 7, 7]]])
    assert label_affinity(segments, (2, 2))[0].tolist() == [[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]]


def test_colour_features_know_colour_and_place():
    pixels = torch.zeros(1, 3, 4, 4)
    pixels[:, :, :, 2:] = 1
    near = proxy_matrix(colour_features(pixels, (4, 4), place=0.0))[0]
    assert near[0, 1] > 10 * near[0, 3] and near[0, 12] == pytest.approx(near[0, 1].item(), abs=1e-6)
    placed = proxy_matrix(colour_features(pixels, (4, 4), place=1.0))[0]
    assert placed[0, 1] > placed[0, 12]


def test_colour_smoothing_keeps_constants_and_stays_inside_edges():
    pixels, maps = torch.zeros(1, 3, 12, 12), torch.zeros(1, 2, 12, 12)
    pixels[..., 6:] = 1
    maps[:, 0, :, :5] = 1  # the coarse border is one pixel off the true one
    maps[:, 1] = 1 - maps[:, 0]
    found = colour_smoothing(maps, pixels, steps=10, dilations=(1, 2))
    torch.testing.assert_close(found.sum(1), torch.ones(1, 12, 12))
    assert (found[:, 0, :, 5] > 0.5).all() and (found[:, 0, :, 6] < 0.5).all()
    torch.testing.assert_close(colour_smoothing(maps, pixels, steps=0), maps)
    noise = torch.rand(1, 3, 12, 12)
    assert colour_smoothing(torch.ones(1, 1, 12, 12), noise).allclose(torch.ones(1, 1, 12, 12))


def test_what_is_refused():
    x = torch.zeros(3, 8, 8)
    crops, places = windows(x, 4, 4)
    bad = torch.rand(2, 4, 4)
    bad[0, 0, 0] = torch.nan
    cases = [
        (lambda: windows(x, 4, 5), "stride <= crop"),
        (lambda: windows(x, 4, 3, cell=2), "cells of 2 pixels"),
        (lambda: windows(x[0], 4, 4), "windows are cut from"),
        (lambda: splice(crops[1:], places, (8, 8)), "3 windows and 4 locations"),
        (lambda: splice(crops, places, (7, 8)), "outside the grid"),
        (lambda: splice(crops[:3], places[:3], (8, 8)), "in no window"),
        (lambda: filtered_affinity(torch.rand(2, 4, 4), torch.rand(3, 4, 5)), "do not match"),
        (lambda: filtered_affinity(bad, torch.rand(2, 4, 5)), "NaN"),
        (lambda: filtered_affinity(torch.rand(2, 4, 4), torch.rand(2, 4, 5), cap=1.0), "below 1"),
        (lambda: aggregate(x, torch.eye(5)), "no grid"),
        (lambda: colour_smoothing(torch.rand(1, 2, 4, 4), torch.rand(1, 3, 8, 8)), "same pictures and size"),
        (lambda: colour_smoothing(torch.rand(1, 2, 4, 4), torch.rand(1, 3, 4, 4), dilations=()), "dilations >= 1"),
    ]
    for call, message in cases:
        with pytest.raises(ClipkitError, match=message):
            call()
