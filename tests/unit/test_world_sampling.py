"""Sampling: the same scenes from the same (spec, seed), and the frequencies that the spec promises."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.world import HOME, Scenes, WorldSpec, relations, sample_scenes, single_objects
from clipkit.world.sample import CHUNK, category_probabilities
from clipkit.world.scene import Object, Scene
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, MAX_OBJECTS, SIZES, TYPICAL_COLOUR

COLOUR_NAMES = tuple(COLOURS)


def same(a: Scenes, b: Scenes) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Scenes))


def digest(scenes: Scenes) -> str:
    state = hashlib.sha256()
    for f in fields(Scenes):
        state.update(np.ascontiguousarray(getattr(scenes, f.name)).tobytes())
    return state.hexdigest()


def within(count: int, n: int, p: float, sigmas: float = 5.0) -> bool:
    """Whether a binomial count is as likely as it should be."""
    return abs(count - n * p) <= sigmas * np.sqrt(n * p * (1 - p)) + 1e-9


# -- determinism ----------------------------------------------------------------------------------
def test_golden_scenes():
    spec = WorldSpec(max_objects=4, zipf=1.0, colour_bias=0.5, background_bias=0.5, styles=("flat", "sketch"))
    assert digest(sample_scenes(spec, 300, seed=7)) == "ba64549680123f6717699101840431610638871c1a3c04b846db1f2ecca4a6ca"


@given(n=st.integers(0, 2 * CHUNK + 10), start=st.integers(0, 2 * CHUNK), seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_any_window_of_the_stream_is_the_same(n, start, seed):
    whole = sample_scenes(WorldSpec(), start + n, seed)
    assert same(whole[start:], sample_scenes(WorldSpec(), n, seed, start=start))


def test_seeds_differ():
    a, b = sample_scenes(WorldSpec(), 50, 0), sample_scenes(WorldSpec(), 50, 1)
    assert not same(a, b) and len(set(sample_scenes(WorldSpec(), 5000, 0).seed.tolist())) == 5000


probabilities = st.floats(0, 1)


@st.composite
def specs(draw) -> WorldSpec:
    least = draw(st.integers(0, MAX_OBJECTS))
    pairs = st.tuples(st.sampled_from(COLOUR_NAMES), st.sampled_from(CATEGORIES))
    return WorldSpec(
        min_objects=least,
        max_objects=draw(st.integers(least, MAX_OBJECTS)),
        categories=tuple(draw(st.lists(st.sampled_from(CATEGORIES), min_size=2, unique=True))),
        sizes=tuple(draw(st.lists(st.sampled_from(SIZES), min_size=1, unique=True))),
        zipf=draw(st.floats(0, 3)),
        held_out=tuple(draw(st.lists(pairs, max_size=3, unique=True))),
        rotate=draw(st.booleans()),
        **{k: draw(probabilities) for k in ("background_bias", "same_category", "textured", "occlusion")},
        colour_bias=draw(st.floats(0, 0.9)),
    )


@given(spec=specs(), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_every_scene_of_any_spec_is_possible(spec, seed):
    scenes = sample_scenes(spec, 60, seed)
    there = scenes.category >= 0
    assert np.array_equal(there, np.arange(MAX_OBJECTS) < scenes.count[:, None])  # slots fill from the left
    assert scenes.count.min() >= spec.min_objects and scenes.count.max() <= spec.max_objects
    half = scenes.scale / 2
    for centre in (scenes.x, scenes.y):
        assert ((centre - half)[there] >= -1e-5).all() and ((centre + half)[there] <= 1 + 1e-5).all()
    assert (scenes.angle[there] == 0).all() or spec.rotate
    for scene in scenes:
        for thing in scene.objects:
            assert thing.category in spec.categories
            assert thing.size in spec.sizes or (len(scene.objects) > 4 and thing.size == "medium")
            assert (thing.colour, thing.category) not in spec.held_out
    assert WorldSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


# -- frequencies ------------------------------------------------------------------------------------
def test_zipf_frequencies():
    spec = WorldSpec(zipf=1.0)
    n = 20_000
    expected = category_probabilities(spec)
    seen = np.bincount(single_objects(spec, n, 0).category[:, 0], minlength=48)
    assert all(within(int(k), n, p) for k, p in zip(seen, expected, strict=True))
    # The law itself, by hand: the r-th most frequent has probability (1 / r) / (1 + 1/2 + ... + 1/48).
    by_rank = np.sort(expected)[::-1]
    assert np.allclose(by_rank, (1 / np.arange(1, 49)) / sum(1 / r for r in range(1, 49)))
    assert np.allclose(category_probabilities(WorldSpec()), 1 / 48)


@pytest.mark.parametrize("bias", [0.0, 0.8, 1.0])
def test_background_and_colour_bias(bias):
    n = 4000
    scenes = single_objects(WorldSpec(background_bias=bias, colour_bias=bias), n, 3)
    category = scenes.category[:, 0]
    home = np.array([BACKGROUNDS.index(HOME[c]) for c in CATEGORIES])[category]
    typical = np.array([COLOUR_NAMES.index(TYPICAL_COLOUR[c]) for c in CATEGORIES])[category]
    assert within(int((scenes.background == home).sum()), n, bias + (1 - bias) / 8)
    assert within(int((scenes.colour[:, 0] == typical).sum()), n, bias + (1 - bias) / 10)


def test_counts_textures_styles_and_equal_objects():
    n = 4000
    spec = WorldSpec(count_probs=(0.5, 0.2, 0.3), textured=0.4, styles=("flat", "sketch"), style_probs=(0.9, 0.1), same_category=0.25)
    scenes = sample_scenes(spec, n, 5)
    for count, p in ((1, 0.5), (2, 0.2), (3, 0.3)):
        assert within(int((scenes.count == count).sum()), n, p)
    assert within(int((scenes.texture[:, 0] > 0).sum()), n, 0.4)
    assert within(int((scenes.style == 2).sum()), n, 0.1)
    pairs = scenes[scenes.count >= 2]
    equal = (pairs.category[:, 0] == pairs.category[:, 1]) & (pairs.colour[:, 0] == pairs.colour[:, 1])
    assert within(int(equal.sum()), len(pairs), 0.25 + 0.75 / 480)


def test_held_out_and_only_held_out():
    held = tuple((TYPICAL_COLOUR[c], c) for c in CATEGORIES)
    pairs = lambda spec: {(o.colour, o.category) for s in sample_scenes(spec, 1500, 1) for o in s.objects}  # noqa: E731
    assert not pairs(WorldSpec(held_out=held)) & set(held)
    assert pairs(WorldSpec(held_out=held, only_held_out=True)) == set(held)


def test_objects_lie_apart_unless_occlusion_is_asked_for():
    def overlapping(spec: WorldSpec) -> float:
        s = sample_scenes(spec, 2000, 0)
        reach = (s.scale[:, 0] + s.scale[:, 1]) / 2
        wide, high = (np.clip(reach - np.abs(c[:, 0] - c[:, 1]), 0, None) for c in (s.x, s.y))
        return float((wide * high > 0.15 * np.minimum(s.scale[:, 0], s.scale[:, 1]) ** 2).mean())

    two = {"min_objects": 2, "max_objects": 2}
    assert overlapping(WorldSpec(**two)) < 0.2
    assert overlapping(WorldSpec(**two, occlusion=1.0)) > 0.95
    crowd = sample_scenes(WorldSpec(min_objects=10, max_objects=10), 200, 0)
    assert (crowd.scale * 32).min() >= 7 - 1e-4


# -- scenes -----------------------------------------------------------------------------------------
def test_scenes_to_names_and_back():
    scenes = sample_scenes(WorldSpec(max_objects=5), 40, 2)
    again = Scenes.from_list([scenes[i] for i in range(40)])
    for name in ("category", "background", "style", "seed", "x", "y", "scale", "angle", "flip"):
        assert np.array_equal(getattr(again, name), getattr(scenes, name)), name
    assert scenes[-1] == scenes[39] and len(scenes[5:9]) == 4 and len(scenes[scenes.count == 2]) == (scenes.count == 2).sum()


def test_replace_changes_one_factor_of_every_object():
    scenes = sample_scenes(WorldSpec(), 30, 2)
    other = scenes.replace(background="night", colour="red")
    assert {s.background for s in other} == {"night"} and {o.colour for s in other for o in s.objects} == {"red"}
    assert np.array_equal(other.category, scenes.category) and np.array_equal(other.x, scenes.x)
    assert {s.background for s in scenes} != {"night"}  # a copy: the original stays


def test_relations_by_hand():
    a, b, c = Object("cat", "red", x=0.2, y=0.5), Object("dog", "blue", x=0.7, y=0.4), Object("cup", "green", x=0.25, y=0.55)
    assert relations(Scene((a, b, c))) == [(0, "left of", 1), (1, "right of", 2)]  # a and c are too close to tell
    assert relations(Scene((a, Object("dog", "blue", x=0.3, y=0.1)))) == [(0, "below", 1)]


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_mirrored_scenes_have_mirrored_relations(seed):
    scene = sample_scenes(WorldSpec(min_objects=2, max_objects=4), 1, seed)
    swap = {"left of": "right of", "right of": "left of"}
    mirrored = relations(scene.replace(x=1 - scene.x)[0])
    assert mirrored == [(i, swap.get(r, r), j) for i, r, j in relations(scene[0])]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"categories": ("cat", "dgo")}, "unknown category 'dgo'; did you mean 'dog'"),
        ({"styles": ("sketsh",)}, "unknown style"),
        ({"sizes": ("huge",)}, "unknown size"),
        ({"held_out": (("crimson", "cat"),)}, "unknown colour"),
        ({"min_objects": 3, "max_objects": 2}, "min"),
        ({"max_objects": 11}, "10"),
        ({"count_probs": (0.5, 0.2, 0.2)}, "sum to 1"),
        ({"count_probs": (0.5, 0.5)}, "3 probabilities"),
        ({"style_probs": (0.4,)}, "sum to 1"),
        ({"colour_bias": 1.2}, "probability"),
        ({"zipf": -1.0}, "zipf"),
        ({"zipf": float("nan")}, "zipf"),
        ({"size": 4}, "size"),
        ({"styles": ()}, "at least one style"),
        ({"held_out": tuple((c, "cat") for c in COLOURS), "categories": ("cat",)}, "held_out"),
        ({"only_held_out": True}, "held_out"),
    ],
)
def test_impossible_specs(values, words):
    with pytest.raises(ClipkitError, match=words):
        WorldSpec(**values)


def test_bad_calls():
    with pytest.raises(ClipkitError, match="negative"):
        sample_scenes(WorldSpec(), -1, 0)
    with pytest.raises(ClipkitError, match="negative"):
        sample_scenes(WorldSpec(), 1, -1)
    with pytest.raises(ClipkitError, match="unknown field of WorldSpec"):
        WorldSpec.from_dict({"max_object": 2})
    scenes = sample_scenes(WorldSpec(), 3, 0)
    with pytest.raises(ClipkitError, match="unknown background"):
        scenes.replace(background="moon")
    with pytest.raises(ClipkitError, match="unknown factor"):
        scenes.replace(backgruond="night")
    with pytest.raises(ClipkitError, match="unknown category"):
        Scenes.from_list([Scene((Object("unicorn", "red"),))])
    with pytest.raises(IndexError):
        scenes[3]


@pytest.mark.parametrize(("count", "share"), [(2, 0.2), (3, 0.1), (4, 0.15)])
def test_few_objects_seldom_touch(count, share):
    scenes = sample_scenes(WorldSpec(min_objects=count, max_objects=count), 2000, 0)
    touching = np.zeros(len(scenes), bool)
    for a in range(count):
        for b in range(a):
            reach = (scenes.scale[:, a] + scenes.scale[:, b]) / 2
            touching |= (abs(scenes.x[:, a] - scenes.x[:, b]) < reach) & (abs(scenes.y[:, a] - scenes.y[:, b]) < reach)
    assert touching.mean() < share
