"""The page on Trident: its pictures and words, what is chosen on validation scenes, what is measured beside mean IoU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.datasets.segmentation import segmentation_scenes
from clipkit.dense import aggregate, mean_iou, segment
from clipkit.dense.segmenter import load_segmenter
from clipkit.errors import ClipkitError
from clipkit.studies import trident as study

FULL = ("guide", "vectors", "segmenter")


@pytest.fixture(scope="module")
def world():
    """The pipeline of the test words, two scenes, and their cosines by a few arms."""
    nano, dino = (load_model(name, device="cpu").freeze() for name in ("nano", "nano-dino"))
    pipeline = study.world_pipeline(nano, dino, load_segmenter(device="cpu"), "test")
    pictures = study.load_pictures(pipeline, "test", 2)
    arms = {"averaged_logits": ("guide", "decisions"), "spliced": ("guide", "vectors"), "full": FULL}
    return pipeline, pictures, pipeline.cosines(pictures, arms)


def test_words_of_the_two_splits_differ(world):
    pipeline, pictures, cosines = world
    assert pipeline.groups.max() == 24 and (pipeline.groups == 0).sum() == 8
    assert pictures.labels.max() <= 24 and cosines["full"].shape == (2, 32, 32, 32)
    labels = {arm: segment(c, study.SIZE, pipeline.groups).labels for arm, c in cosines.items()}
    miou = {arm: 100 * mean_iou(x, pictures.labels, 25).mean for arm, x in labels.items()}
    assert miou["averaged_logits"] == pytest.approx(miou["spliced"], abs=3)  # the same sum, but for the last norm
    image = pictures.scenes.images[1]
    assert np.array_equal(pictures.picture(1), image)


def test_true_segments_are_the_best_affinity_for_a_map_that_knows(world):
    pipeline, pictures, _ = world
    small = pictures.labels[:, 2::4, 2::4]
    truth = torch.nn.functional.one_hot(small, 25).movedim(-1, 1).float()
    noisy = truth + 0.8 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    named = study.ScenePictures(pictures.pixels, pictures.labels, pictures.embedding, pictures.labels)  # segments: regions of one name
    spread = {of: aggregate(noisy, pipeline.affinity(named, of)) for of in ("segmenter", "truth")}
    iou = {of: mean_iou(m.argmax(1), small, 25).mean for of, m in {"none": noisy, **spread}.items()}
    assert iou["none"] < iou["segmenter"] < iou["truth"] == 1


def test_constants_are_the_best_of_those_tried(world, monkeypatch):
    pipeline, pictures, _ = world
    chosen = study.choose_constants(pipeline, pictures)
    assert list(chosen) == ["sigma", "beta", "gamma", "keep", "cos_fac"]
    asked = []
    monkeypatch.setattr(study.Pipeline, "cosines", lambda self, val, arms: asked.append(self) or {"it": torch.zeros(2, 32, 1, 1)})
    monkeypatch.setattr(study, "miou_by_offset", lambda *_: [asked[-1].beta + asked[-1].keep - abs(asked[-1].cos_fac - 3)])
    assert study.choose_constants(pipeline, pictures) == {"sigma": 1.0, "beta": 1.2, "gamma": 3.0, "keep": True, "cos_fac": 3.0}
    assert len(asked) == 3 + 8 + 4 and all(p.keep and p.beta == 1.2 for p in asked[-4:])


def test_edges_are_chosen_by_the_borders(world, monkeypatch):
    pipeline, pictures, cosines = world
    coarse = segment(cosines["full"], study.SIZE, pipeline.groups)
    options, steps = study.choose_edges(pipeline, pictures, *coarse)
    assert options["iou_thresh"] in (0.5, 0.65, 0.8) and options["skip"] in ((), (0,)) and steps in (2, 5, 10)

    def sure(*_, iou_thresh, skip, **__):
        return coarse._replace(labels=pictures.labels if (iou_thresh, skip) == (0.65, (0,)) else coarse.labels)

    monkeypatch.setattr(study, "refine", sure)
    assert study.choose_edges(pipeline, pictures, *coarse)[0] == {**study.REGIONS, "iou_thresh": 0.65, "skip": (0,)}


def test_recall_by_length_counts_objects_not_pixels():
    scenes = segmentation_scenes("test", 6, 0)
    labels = torch.from_numpy(scenes.labels)
    found = study.recall_by_length(labels, scenes)
    bins = [f"{a} to {b}" for a, b in zip(study.LENGTHS, study.LENGTHS[1:], strict=False)]
    assert set(found) <= set(bins) and set(found.values()) == {100.0}
    slot = int(scenes.instances[0].max())
    lost = labels.clone()
    lost[0][torch.from_numpy(scenes.instances[0] == slot)] = 255
    where = bins[int(np.clip(np.digitize(scenes.sides[0, slot - 1], study.LENGTHS) - 1, 0, len(bins) - 1))]
    fewer = study.recall_by_length(lost, scenes)
    number = 1 / (1 - fewer[where] / 100)  # objects in the bin: one of them was lost whole
    assert number == pytest.approx(round(number)) and all(r == 100 for b, r in fewer.items() if b != where)


def test_names_are_found_upside_down_and_put_right(world):
    pipeline, pictures, _ = world
    known = study.find_names(pipeline, {"vanilla": "vanilla", "keys, rest dropped": "naclip"}, 24, 0)
    assert known["vanilla"]["auc"] < 50 < known["keys, rest dropped"]["auc"]  # arXiv:2304.05653
    x, y = study.find_middle(pictures.scenes.instances[0])
    assert pictures.scenes.instances[0][y, x] == np.bincount(pictures.scenes.instances[0].ravel())[1:].argmax() + 1
    heat = study.find_alike(pipeline, pictures[:1], x, y)
    assert [h.shape for h in heat.values()] == [(8, 8), (32, 32), (32, 32)]
    assert heat["CLIP's own vectors"].max() == pytest.approx(1) == heat["CLIP's own vectors"][y // 16, x // 16]


def test_a_window_is_as_large_as_the_pictures_clip_knows(world):
    """A ViT of open_clip with larger pictures and patches runs through every arm; one without attention is refused."""
    pipeline, pictures, _ = world
    assert (pipeline.side, pipeline.crop, pipeline.stride) == (64, 32, 16)
    large = load_model("ViT-S-16", "random", "cpu")
    wide = study.world_pipeline(large, load_model("nano-dino", device="cpu").freeze(), pipeline.segmenter, "test")
    assert (wide.side, wide.crop, wide.stride) == (448, 224, 112)
    arms = {"own": ("naclip", "decisions"), "full": FULL, "colour": ("colour", "one pass")}
    found = wide.cosines(pictures[:1], arms)
    assert found["own"].shape == (1, 32, 28, 28) and found["full"].shape == (1, 32, 32, 32)
    assert all(torch.isfinite(c).all() for c in found.values())
    with pytest.raises(ClipkitError, match="no vision transformer"):
        study.world_pipeline(load_model("lite", device="cpu"), None, None, "test")
