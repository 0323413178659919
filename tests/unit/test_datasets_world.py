"""`world` as a data set: labels that say what is in the scene, splits that share nothing."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.datasets import load_dataset
from clipkit.datasets.world import FACTORS, stream
from clipkit.errors import ClipkitError


def test_labels_captions_and_scenes_agree():
    ds = load_dataset("world", n=40)
    assert ds.array.shape == (40, 32, 32, 3) and len(ds.scenes) == 40
    for i in range(40):
        scene = ds.scenes[i]
        assert len(scene.objects) == 1 and ds.classnames[ds.labels[i]] == scene.objects[0].category
        assert len(ds.captions[i]) == 2 and all(ds.captions[i])
    part = ds.subset([7, 3])
    assert part.scenes[0].objects[0].category == part.classnames[part.labels[0]]
    assert np.array_equal(part.array[1], ds.array[3])


@pytest.mark.parametrize("factor", FACTORS)
def test_factors(factor):
    ds = load_dataset("world", n=30, factor=factor, styles=("flat", "sketch"))
    assert ds.labels.shape == (30,) and all(t.count("{}") == 1 for t in ds.templates)
    for i in range(30):
        scene, name = ds.scenes[i], ds.classnames[ds.labels[i]]
        if factor == "background":
            assert name == scene.background
        elif factor == "count":
            assert ds.labels[i] == len(scene.objects) - 1
        elif factor == "superclass":
            from clipkit.world import SUPERCLASS_OF, SUPERCLASSES

            assert list(SUPERCLASSES)[ds.labels[i]] == SUPERCLASS_OF[scene.objects[0].category]
        elif factor == "colour_category":
            assert name == f"{scene.objects[0].colour} {scene.objects[0].category}"
        elif factor != "style":
            assert name == getattr(scene.objects[0], factor)
    if factor == "count":
        assert len(set(ds.labels.tolist())) > 1


def test_one_rendering_serves_all_factors():
    by_category, by_colour = (load_dataset("world", n=8, factor=f) for f in ("category", "colour"))
    assert by_category.images_fingerprint == by_colour.images_fingerprint  # so features are extracted once
    assert by_category.fingerprint != by_colour.fingerprint


def test_splits_share_no_scene_and_smaller_is_the_start_of_larger():
    parts = {s: load_dataset("world", split=s, n=64) for s in ("train", "val", "test")}
    pictures = [row.tobytes() for ds in parts.values() for row in ds.array]
    assert len(set(pictures)) == len(pictures)
    assert len({stream(split, seed) for split in parts for seed in range(1000)}) == 3000
    small = load_dataset("world", split="val", n=10)
    assert np.array_equal(small.array, parts["val"].array[:10]) and small.captions == parts["val"].captions[:10]
    assert not np.array_equal(load_dataset("world", split="val", n=10, seed=1).array, small.array)


def test_knobs_and_specs():
    from clipkit.world import WorldSpec

    many = load_dataset("world", n=12, min_objects=2, max_objects=4)
    assert many.labels is None and many.classnames is None and all(2 <= len(many.scenes[i].objects) <= 4 for i in range(12))
    assert load_dataset("world", n=12, min_objects=2, max_objects=4, factor="background").labels is not None
    spec = WorldSpec(max_objects=1, categories=("cat", "dog"))
    ds = load_dataset("world", n=12, spec=spec, sizes=("large",), pixels=48, captions=("name",))
    assert ds.array.shape == (12, 48, 48, 3)
    assert {ds.classnames[label] for label in ds.labels} <= {"cat", "dog"} and ds.scenes[0].objects[0].size == "large"
    assert ds.captions[0] == [ds.classnames[ds.labels[0]]]
    german = load_dataset("world", n=3, captions=("short",), language="de")
    assert german.captions != load_dataset("world", n=3, captions=("short",)).captions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_object": 3}, "unknown option of world 'max_object'; did you mean 'max_objects'"),
        ({"factor": "color"}, "unknown factor 'color'; did you mean 'colour'"),
        ({"split": "tset"}, "unknown split of world"),
        ({"factor": "category", "min_objects": 2}, "needs scenes of one object"),
        ({"n": 0}, "n must be at least 1"),
        ({"captions": ("shrt",)}, "register"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ClipkitError, match=words):
        load_dataset("world", **{"n": 5, **options})
