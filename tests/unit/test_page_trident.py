"""The page on Trident: its pictures and words, what is chosen on validation pictures, what is measured beside mean IoU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.datasets.pixel_labels import labelled_photographs
from clipkit.datasets.segmentation import segmentation_scenes
from clipkit.dense import ScenePictures, aggregate, mean_iou, segment
from clipkit.dense.segmenter import load_segmenter
from clipkit.errors import ClipkitError
from clipkit.studies import trident as study

FULL = ("guide", "vectors", "segmenter")


@pytest.fixture(scope="module")
def helpers():
    return load_model("nano-dino", device="cpu").freeze(), load_segmenter(device="cpu")


@pytest.fixture(scope="module")
def world(helpers):
    """The pipeline of the test words, two scenes, what is known of them, and their cosines by a few arms."""
    pipeline = study.world_pipeline(load_model("nano", device="cpu").freeze(), *helpers, "test")
    pictures, scenes = study.load_scenes("test", 2)
    arms = {"averaged_logits": ("guide", "decisions"), "spliced": ("guide", "vectors"), "full": FULL}
    return pipeline, pictures, scenes, study.cosines_of(pipeline, pictures, arms)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Eight photographs of two shapes, the upper half sky, the lower road, a strip at the left of no class."""
    folder = tmp_path_factory.mktemp("street")
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for i in range(8):
        height, width = [(90, 120), (150, 100)][i % 2]
        mask = np.repeat([[7], [3]], height // 2, axis=0).repeat(width, axis=1).astype(np.uint8)
        mask[:, :10] = 9
        picture = np.where(mask[..., None] == 7, (120, 170, 250), (90, 90, 90)) + rng.integers(0, 6, (height, width, 3))
        Image.fromarray(picture.astype(np.uint8)).save(folder / "images" / f"{i}.jpg")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "classes.csv").write_text("value,name\n7,sky\n3,road\n9,void\n")
    return folder


def test_words_of_the_two_splits_differ(world):
    pipeline, pictures, scenes, cosines = world
    truth = torch.cat([p.labels for p in pictures])
    assert pipeline.groups.max() == 24 and (pipeline.groups == 0).sum() == 8
    assert truth.max() <= 24 and cosines["full"][0].shape == (32, 32, 32)
    labels = {arm: segment(torch.stack(c), (128, 128), pipeline.groups).labels for arm, c in cosines.items()}
    miou = {arm: 100 * mean_iou(x, truth, 25).mean for arm, x in labels.items()}
    assert miou["averaged_logits"] == pytest.approx(miou["spliced"], abs=3)  # the same sum, but for the last norm
    [full] = study.mious(pipeline, pictures, cosines["full"], [0.0])
    assert full == pytest.approx(miou["full"], abs=1e-2)  # ties of float arithmetic
    assert np.array_equal(pictures[1].picture(0), scenes.images[1])


def test_true_segments_are_the_best_affinity_for_a_map_that_knows(world):
    pipeline, pictures, *_ = world
    for picture in pictures:
        small = picture.labels[:, 2::4, 2::4]
        truth = torch.nn.functional.one_hot(small, 25).movedim(-1, 1).float()
        noisy = truth + 0.8 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
        named = ScenePictures(picture.pixels, picture.labels, picture.labels)  # segments: regions of one name
        spread = {of: aggregate(noisy, pipeline.affinity(named, of)) for of in ("segmenter", "truth")}
        iou = {of: mean_iou(m.argmax(1), small, 25).mean for of, m in {"none": noisy, **spread}.items()}
        assert iou["none"] < iou["segmenter"] < iou["truth"] == 1


def test_constants_are_the_best_of_those_tried(world, monkeypatch):
    pipeline, pictures, *_ = world
    asked = []
    monkeypatch.setattr(study, "cosines_of", lambda p, *_: asked.append(p) or {"it": None})
    monkeypatch.setattr(study, "mious", lambda p, *_: [p.beta + p.keep - p.guided - abs(p.cos_fac - 3)])
    best = {"sigma": 1.0, "beta": 1.2, "gamma": 3.0, "keep": True, "guided": False, "cos_fac": 3.0}
    assert study.choose_constants(pipeline, pictures, True) == best
    assert len(asked) == 3 + 8 + 2 + 4 and all(p.keep and p.beta == 1.2 and not p.guided for p in asked[-4:])
    del best["sigma"]
    assert study.choose_constants(pipeline, pictures, False) == best | {"keep": False}


def test_edges_are_chosen_by_the_borders(world, monkeypatch):
    pipeline, pictures, _, cosines = world
    coarse = [segment(c[None], (128, 128), pipeline.groups) for c in cosines["full"]]
    options, steps = study.choose_edges(pipeline, pictures, coarse)
    assert options["iou_thresh"] in (0.5, 0.65, 0.8) and options["skip"] in ((), (0,)) and steps in (2, 5, 10)

    def sure(_, pixels, labels, *__, iou_thresh, skip, **___):
        [truth] = [p.labels for p in pictures if p.pixels is pixels]
        return coarse[0]._replace(labels=truth if (iou_thresh, skip) == (0.65, (0,)) else labels)

    monkeypatch.setattr(study, "refine", sure)
    assert study.choose_edges(pipeline, pictures, coarse)[0] == {**study.REGIONS, "iou_thresh": 0.65, "skip": (0,)}


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
    pipeline, pictures, scenes, _ = world
    known = study.find_names(pipeline, {"vanilla": "vanilla", "keys, rest dropped": "naclip"}, 24, 0)
    assert known["vanilla"]["auc"] < 50 < known["keys, rest dropped"]["auc"]  # arXiv:2304.05653
    x, y = study.find_middle(scenes.instances[0])
    assert scenes.instances[0][y, x] == np.bincount(scenes.instances[0].ravel())[1:].argmax() + 1
    heat = study.find_alike(pipeline, pictures[0], x, y)
    assert [h.shape for h in heat.values()] == [(8, 8), (32, 32), (32, 32)]
    assert heat["CLIP's own vectors"].max() == pytest.approx(1) == heat["CLIP's own vectors"][y // 16, x // 16]


def test_the_segmenter_is_one_for_drawings(world, helpers):
    found = study.prompted_iou(helpers[1], world[1])
    assert 40 < found["prompted_box"] < found["prompted_mask"] <= 100


@pytest.mark.parametrize(
    ("name", "pretrained", "sizes"),
    [("ViT-S-32", "random", (448, 224, 96, 32)), ("ViT-S-16", "random", (448, 224, 112, 16)), ("nano-conv", None, None)],
)
def test_any_tower_labels_photographs_of_any_shape(helpers, street, name, pretrained, sizes):
    clip, photographs = load_model(name, pretrained, "cpu").freeze(), labelled_photographs(f"folder:{street}", "test")
    pipeline = study.photo_pipeline(clip, *helpers, photographs)
    assert sizes is None or (pipeline.side, pipeline.crop, pipeline.stride, pipeline.patch) == sizes
    pictures = study.load_photographs(photographs, 2, 0, helpers[1])
    assert {p.pixels.shape[-2:] for p in pictures} == {(128, 176), (192, 128)}
    arms = {"pass": ("colour", "one pass"), "own": ("vanilla", "decisions"), "late": ("guide", "decisions", "truth"), "full": FULL}
    for picture, *maps in zip(pictures, *study.cosines_of(pipeline, pictures, arms).values(), strict=True):
        height, width = picture.pixels.shape[-2:]
        assert all(torch.isfinite(m).all() and len(m) == 2 for m in maps)
        assert all(m.shape[1:] == (height // 4, width // 4) for m in maps[2:])
        long, short = max(maps[1].shape[1:]), min(maps[1].shape[1:])
        assert short == pipeline.side // pipeline.patch and abs(long / short - max(height, width) / min(height, width)) < 0.2


def test_label_maps_of_two_shapes_are_judged_as_one_by_one(street):
    photographs = labelled_photographs(str(street), "test")
    truth = [torch.from_numpy(photographs.labels(i))[None] for i in range(4)]
    wrong = [t.where(t != 1, 0) for t in truth]
    whole = mean_iou(study.stack(wrong), study.stack(truth, 255), 2)
    flat = mean_iou(torch.cat([w.flatten() for w in wrong]), torch.cat([t.flatten() for t in truth]), 2)
    assert whole.per_class.tolist() == flat.per_class.tolist() == pytest.approx([0.5, 0.0], abs=1e-6)
    a, b = (study.boundary_iou(study.stack([t]), study.stack([t], 255), 2, 2).mean for t in truth[:2])
    assert a == b == 1 == study.boundary_iou(study.stack(truth), study.stack(truth, 255), 2, 2).mean


def test_labelled_photographs(street, tmp_path):
    val, test = (labelled_photographs(f"folder:{street}", split) for split in ("val", "test"))
    assert (len(val), len(test)) == (2, 6) and not set(val.data.paths) & set(test.data.paths)
    assert val.names == ["sky", "road"] and np.unique(val.labels(0)).tolist() == [0, 1, 255]
    assert val.fingerprint != test.fingerprint
    with pytest.raises(ClipkitError, match="holds no labelled pixels"):
        labelled_photographs(str(tmp_path), "val")


@pytest.mark.parametrize(("harm", "said"), [("size", "make them one size"), ("mode", "8-bit"), ("gone", "1 pictures have no mask")])
def test_masks_that_cannot_be(street, tmp_path, harm, said):
    import shutil

    folder = shutil.copytree(street, tmp_path / "street")
    mask = folder / "masks" / "0.png"
    if harm == "gone":
        mask.unlink()
    else:
        Image.new(*{"size": ("L", (5, 5)), "mode": ("RGB", (120, 90))}[harm]).save(mask)
    with pytest.raises(ClipkitError, match=said):
        for split in ("val", "test"):
            found = labelled_photographs(str(folder), split)
            [found.labels(i) for i in range(len(found))]
