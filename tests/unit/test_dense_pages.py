"""The page on Trident from end to end on a few scenes and photographs, and its label maps on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import load_dataset, load_model
from clipkit.dense import load_segmenter
from clipkit.errors import ClipkitError
from clipkit.models import load_card
from clipkit.studies import trident_measures as study
from clipkit.studies.trident import PhotoPage, WorldPage, centred, numbers
from clipkit.studies.trident_figures import coloured, grouped_bars, panels


@pytest.fixture(scope="module")
def page():
    nano, dino = (load_model(name, device="cpu").freeze() for name in ("nano", "nano-dino"))
    return WorldPage(nano, dino, load_segmenter(device="cpu"), n_val=2, search=False)


def test_every_arm_of_the_claims_is_measured(page):
    from clipkit.registry.papers import load_registry

    row = page.measure(2, 0)
    wanted = {arm for claim in load_registry().entry("trident").claims for arm in claim.arms}
    assert wanted <= set(row) and all(np.isfinite(list(row.values())))
    assert -1 <= row["order_agreement"] <= 1 and row["ceiling_32"] > row["ceiling_8"] > row["vanilla"]
    assert row["averaged_logits"] == pytest.approx(row["spliced"], abs=3)  # the same sum, but for the last norm


def test_true_segments_are_the_best_affinity_for_a_map_that_knows(page):
    drawn = page.draw("test", 2, 0)
    bench = page.bench("test")
    truth = torch.nn.functional.one_hot(drawn.labels[:, 2::4, 2::4], 25).movedim(-1, 1).float()
    noisy = truth + 0.8 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    from clipkit.dense import aggregate, filtered_affinity, label_affinity, mean_iou

    grid, e = (32, 32), drawn.embeddings[0]
    spread = {
        "none": noisy,
        "sam": aggregate(noisy, filtered_affinity(e.attention, e.values)),
        "true": aggregate(noisy, label_affinity(drawn.labels, grid)),
    }
    small = drawn.labels[:, 2::4, 2::4]
    iou = {name: mean_iou(m.argmax(1), small, 25).mean for name, m in spread.items()}
    assert iou["none"] < iou["sam"] < iou["true"] == 1 and bench.groups.max() == 24


def test_figures_of_one_picture(page):
    drawn = page.draw("test", 2, 0)
    assert len(page.stages(drawn, 0)) == 6 and len(page.sharpen(drawn, 1)) == 4
    heat = page.near(drawn, 0, 64, 64)
    assert [h.shape for h in heat.values()] == [(8, 8), (32, 32), (32, 32)]
    assert page.draw("test", 2, 0) is drawn
    known = study.where_names_are(page.bench("test"), {"vanilla": "vanilla", "keys, rest dropped": "naclip"}, 24)
    assert known["vanilla"]["auc"] < 50 < known["keys, rest dropped"]["auc"]  # upside down, and put right: arXiv:2304.05653


def test_photographs():
    lite, photos = load_model("lite", device="cpu"), load_dataset("photos")
    page = PhotoPage(lite, load_segmenter(device="cpu"), photos.subset([0, 1]))
    row = page.measure(2, 0)
    import pandas as pd

    assert row["same|averaged_logits"] == 100 and 0 <= row["own|spliced"] <= 100
    assert set(page.stages(page.draw("test", 2, 0), 0)) >= {"the picture", "vectors spliced"}
    told = numbers(page, pd.DataFrame([row]), load_card("nano-sam"))
    assert told["global_step"] == "–" and "no verdicts" in told["stand_in"]
    nano = load_model("nano", device="cpu")
    with pytest.raises(ClipkitError, match="use -p model lite"):
        PhotoPage(nano, None, photos)
    with pytest.raises(ClipkitError, match="use -p dataset photos"):
        WorldPage(lite, None, None, 2)


def test_label_maps_on_paper(monkeypatch):
    shown = []
    monkeypatch.setattr("clipkit.lab.figures.show", lambda drawing, alt: shown.append(alt))
    labels = np.zeros((8, 8), np.int64)
    labels[2:6, 2:6] = 3
    assert (coloured(labels)[0, 0] == 235).all() and (coloured(labels)[3, 3] != 235).any()
    panels({"a": labels, "b": np.eye(4), "c": coloured(labels)}, alt="three", names=["", "x", "y", "cat"], points={"b": (1, 1)})
    import pandas as pd

    grouped_bars(pd.DataFrame({"clip": [1.0, np.nan], "gda": [2.0, 3.0]}, ["p", "q"]), alt="bars", title="t", xlabel="x", ylabel="y")
    assert shown == ["three", "bars"]
    with pytest.raises(ClipkitError, match="label map or a heat map"):
        panels({"a": np.zeros((2, 2, 5))}, alt="bad")
    assert torch.equal(centred(torch.tensor(0.5)), torch.tensor(0.0))
