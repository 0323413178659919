"""The task suite, and the options of the world that it needs."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.datasets import load_dataset, suite_of, world_suite
from clipkit.errors import ClipkitError


@pytest.mark.parametrize("task", world_suite(), ids=lambda task: task.name)
def test_every_task_has_its_classes_and_some_of_each(task):
    data = task.load("train") if task.dataset == "digits" else task.load("train", per_class=2, captions=())
    sizes = np.bincount(data.labels, minlength=len(data.classnames))
    assert (sizes == 2).all() or task.dataset == "digits"
    expected = {"colour_category": 60, "texture": 4, "background": 8, "count": 8, "digits": 10}
    assert len(data.classnames) == len(set(data.classnames)) == expected.get(task.name, 48)
    assert all(template.count("{}") == 1 for template in data.templates)


def test_styles_and_names():
    category, sketch = (task.load(n=60, captions=()).scenes for task in world_suite("category", "sketch"))
    assert len(set(category.style.tolist())) == 7 and len(set(sketch.style.tolist())) == 1
    assert [task.name for task in world_suite()][-1] == "digits" and len(world_suite()) == 8
    assert [task.dataset for task in suite_of("world")] == [task.dataset for task in world_suite()]
    (only,) = suite_of("folder:some/where")
    assert (only.name, only.dataset, only.options) == ("folder", "folder:some/where", {})
    with pytest.raises(ClipkitError, match="unknown task 'skech'; did you mean 'sketch'"):
        world_suite("skech")


def test_colour_category_labels_name_the_pair_and_leave_out_what_is_held_out():
    options = {"categories": ("cat", "dog"), "held_out": (("red", "cat"), ("blue", "dog"))}
    data = load_dataset("world", n=80, factor="colour_category", **options)
    assert len(data.classnames) == 18 and "red cat" not in data.classnames and "blue cat" in data.classnames
    for i in range(80):
        thing = data.scenes[i].objects[0]
        assert data.classnames[data.labels[i]] == f"{thing.colour} {thing.category}"


@pytest.mark.parametrize(
    ("factor", "options", "names"),
    [
        ("category", {"categories": ("dog", "cat")}, ["cat", "dog"]),
        ("superclass", {"categories": ("dog", "car")}, ["animal", "vehicle"]),
        ("size", {"sizes": ("large",)}, ["large"]),
        ("count", {"min_objects": 2, "max_objects": 4}, ["two things", "three things", "four things"]),
        ("colour", {"held_out": (("red", "cat"),), "only_held_out": True, "categories": ("cat",)}, ["red"]),
    ],
)
def test_narrow_names_only_what_can_be_drawn(factor, options, names):
    data = load_dataset("world", n=30, factor=factor, narrow=True, captions=(), **options)
    assert data.classnames == names and data.captions is None
    wide = load_dataset("world", n=30, factor=factor, captions=(), **options)
    assert [data.classnames[a] for a in data.labels] == [wide.classnames[b] for b in wide.labels]


def test_per_class_takes_the_first_of_each_class_in_the_stream():
    few, many = load_dataset("world", "train", per_class=2, captions=()), load_dataset("world", "train", n=600, captions=())
    assert (np.bincount(few.labels) == 2).all() and len(few) == 96
    for label in range(3):
        assert np.array_equal(few.array[few.labels == label], many.array[many.labels == label][:2])
    rare = {"zipf": 3.0, "per_class": 2, "captions": ()}
    with pytest.raises(ClipkitError, match="2 of each class are asked for"):
        load_dataset("world", **rare)
    for wrong in ({"n": 3, "per_class": 2}, {"per_class": 0}):
        with pytest.raises(ClipkitError, match="not both|at least 1"):
            load_dataset("world", **wrong)
