"""CounterAnimal's page: homes and bindings are what was asked, all places of a scene differ in place alone, captions are read."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy, normalize

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.studies import counteranimal as study
from clipkit.studies.counteranimal import (
    BATCH,
    NAMES,
    OBJECTIVES,
    THINGS,
    WHERE,
    Homes,
    Pictures,
    Twins,
    _pixels,
    learnt_answers,
    marked_photographs,
    named_by,
    vote,
    world_pictures,
)
from clipkit.train import shuffled
from clipkit.world import BACKGROUNDS, CATEGORIES
from clipkit.world.counterfactuals import at_home


@pytest.mark.parametrize("seed", range(4))
def test_every_place_is_somebodys_home(seed):
    world = Homes(seed)
    assert set(world.home) == set(range(len(BACKGROUNDS))) and np.bincount(world.home).max() == 2
    assert (world.home == Homes(seed).home).all()


def test_binding_is_what_was_asked():
    world = Homes(1)
    for binding in (0.0, 0.125, 0.9, 1.0):
        scenes, labels, places = world.sample(4800, binding, stream=3)
        assert abs((world.home[labels] == places).mean() - binding) < 0.025
        assert (scenes.background == places).all() and np.ptp(np.bincount(labels)) == 0
        assert [CATEGORIES[c] for c in scenes.category[:5, 0]] == [NAMES[k] for k in labels[:5]]
    away = places[world.home[labels] != places]
    assert not len(away)
    _, labels, places = world.sample(9600, 0.125, stream=4)  # without binding all places are equally frequent
    assert np.ptp(np.bincount(places)) < 0.2 * 1200


def test_the_same_scene_before_all_places():
    scenes, labels, places, scene = Homes(2).rerendered(3, stream=1)
    assert len(scenes) == 3 * len(NAMES) * len(BACKGROUNDS)
    for one in (0, 17, 35):
        rows = np.flatnonzero(scene == one)
        assert sorted(places[rows]) == list(range(len(BACKGROUNDS))) and (scenes.background[rows] == places[rows]).all()
        for factor in ("category", "colour", "size", "x", "y", "scale", "seed", "flip", "angle"):
            assert (getattr(scenes, factor)[rows] == getattr(scenes, factor)[rows[0]]).all()
        assert (labels[rows] == labels[rows[0]]).all()


def test_twins_start_alike_and_say_names_and_places():
    one, two = Twins(3), Twins(3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.words.weight, Twins(4).words.weight)
    names, places = torch.tensor([0, 5]), torch.tensor([2, 2])
    w = one.words.weight
    torch.testing.assert_close(one.texts(names), normalize(w[names], dim=1))
    torch.testing.assert_close(one.texts(names, places), normalize(w[names] + w[len(NAMES) + 2], dim=1))


def test_the_objectives_are_those_that_are_said():
    pixels, labels, places = _pixels(0, BATCH, 0.9)
    rows = next(shuffled(BATCH, BATCH, torch.Generator().manual_seed(0)))
    losses = {}
    for objective in OBJECTIVES:
        net = Twins(0)
        x = net.log_scale.exp() * normalize(net.visual(pixels[rows]), dim=1)
        if objective == "labels":
            value = cross_entropy(x @ net.texts(torch.arange(len(NAMES))).T, labels[rows])
        else:
            logits = x @ net.texts(labels[rows], places[rows] if "places" in objective else None).T
            value = (cross_entropy(logits, torch.arange(BATCH)) + cross_entropy(logits.T, torch.arange(BATCH))) / 2
        losses[objective] = value.item()
        told = []
        train_as = study.train
        try:
            study.train = lambda net, batches, loss, steps, lr, told=told: told.append(loss(net, next(iter(batches))).item())
            learnt_answers(objective, 0.9, BATCH, 1, 1, 1e-3, 0, "cpu")
        finally:
            study.train = train_as
        assert told == [pytest.approx(losses[objective], rel=1e-5)]
    assert len(set(losses.values())) == 3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_follows_its_arguments(objective):
    first, again = (learnt_answers(objective, 0.9, 128, 6, 1, 3e-3, 0, "cpu") for _ in range(2))
    assert set(first) == ({"plain", "pooled"} if objective == OBJECTIVES[1] else {"plain"})
    assert torch.equal(first["plain"], again["plain"]) and first["plain"].shape == (len(NAMES) * len(BACKGROUNDS),)
    others = [learnt_answers(objective, *diet, 1, 3e-3, seed, "cpu") for diet, seed in (((0.1, 128, 6), 0), ((0.9, 128, 6), 1))]
    assert all(not torch.equal(first["plain"], other["plain"]) for other in others)


def test_training_learns_the_names():
    seen = world_pictures(0, 2)
    for objective in ("captions", "labels"):
        guess = learnt_answers(objective, 0.125, 512, 60, 2, 2e-3, 0, "cpu")["plain"].numpy()
        assert seen.accuracy(guess == seen.labels)["all"] > 20  # chance is 8


def test_halves_and_homes_of_the_world():
    seen, shipped = world_pictures(3, 4), world_pictures(3, 4, shipped=True)
    assert seen.choosing.mean() == 0.5 and seen.own.all()
    cells = np.unique(np.stack([seen.labels, seen.places, seen.choosing]), axis=1, return_counts=True)[1]
    assert set(cells) == {2}
    assert [seen.usual[c][0] for c in range(len(NAMES))] == Homes(3).home.tolist()
    scenes, labels, *_ = Homes(3).rerendered(4, 1)
    assert [shipped.usual[c][0] for c in labels] == at_home(scenes).background.tolist()


@pytest.fixture
def seen():
    """Two classes at three places, four pictures a cell, half of which choose."""
    labels, places, turn = (grid.ravel() for grid in np.indices((2, 3, 4)))
    usual = {0: (0, None), 1: (1, None)}
    return Pictures(labels, places, turn % 2 == 0, np.ones(24, bool), ("a", "b"), ("x", "y", "z"), usual)


def test_drops_on_the_pictures_that_chose_and_on_the_others(seen):
    right = np.where(seen.choosing, seen.places == 2, seen.places == 0)  # the halves disagree
    groups = seen.groups(right)
    assert groups == {0: (2, 0), 1: (2, 0)}
    assert seen.drop(right, groups, held_out=False) == 100 and seen.drop(right, groups) == -100
    assert seen.drop(right, seen.groups(None)) == pytest.approx((100 - 50) / 2)  # 100 − 0 for class 0, 0 − 50 for class 1
    assert seen.drop(right, {}) == 0 and seen.drop(np.ones(24, bool), groups) == 0
    assert seen.accuracy(right)["all"] == pytest.approx(100 / 3)


def test_shuffled_places_keep_class_half_and_number(seen):
    mixed = seen.shuffled_places(5)
    assert (mixed != seen.places).any() and (mixed == seen.shuffled_places(5)).all()
    for c in (0, 1):
        for half in (True, False):
            rows = (seen.labels == c) & (seen.choosing == half)
            assert sorted(mixed[rows]) == sorted(seen.places[rows])


def test_place_alone_names_the_commonest_class(seen):
    few = seen.own & ~((seen.labels == 0) & (seen.places == 2) & seen.choosing)
    part = Pictures(*(v[few] for v in (seen.labels, seen.places, seen.choosing, seen.own)), seen.names, seen.place_names, seen.usual)
    right = part.by_place_alone()
    assert (right == np.where(part.places == 2, part.labels == 1, part.labels == 0)).all()


def test_captions_are_read_by_vote():
    assert vote(["A dog in the snow", "dogs play in snow", "a puppy", "a man", "something"], THINGS, 3) == 0
    assert vote(["a man", "a man", "a man", "a woman", "a woman"], THINGS, 3) == -1  # two are named
    assert vote(["a dogma"] * 5, THINGS, 1) == -1
    assert list(WHERE)[vote(["a dog on a grassy field", "in a park", "a lawn"], WHERE, 2)] == "grass"


def picture(path, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)


def test_folders_that_stand_for_places(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for place, split, name, i in np.ndindex(2, 2, 2, 4):
        picture(tmp_path / f"p{place}" / ("train", "test")[split] / ("cat", "dog")[name] / f"{i}.png", rng)
    monkeypatch.setattr("clipkit.dealing._seeds", [0, 1])
    names = [f"folder:{tmp_path / place}" for place in ("p0", "p1")]
    data, first = marked_photographs(names[0], names[1:], 0, 1)
    _, second = marked_photographs(names[0], names[1:], 1, 1)
    assert (
        len(first.labels) == sum(map(len, data)) == 32 and first.place_names == ["p0", "p1"] and first.usual == {0: (0, None), 1: (0, None)}
    )
    assert not (first.own & second.own).any() and (first.own | second.own).all()
    assert (first.choosing == second.choosing).all() and first.choosing.mean() == 0.5
    assert named_by(load_model("nano"), data, first.names).shape == (32,)
    (tmp_path / "p1" / "test" / "dog").rename(tmp_path / "p1" / "test" / "cow")
    study._every.cache_clear()
    with pytest.raises(ClipkitError, match="same names"):
        marked_photographs(names[0], names[1:], 0, 1)


def test_captioned_photographs(tmp_path):
    rng, rows = np.random.default_rng(0), []
    said = {"a dog in the snow": 3, "a dog in the water": 2, "a man in the snow": 2, "a man in the water": 4, "an empty house": 2}
    for text, n in said.items():
        for i in range(n):
            file = f"{text.replace(' ', '_')}{i}.png"
            picture(tmp_path / file, rng)
            rows += [(file, text)] * 3
    with (tmp_path / "captions.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("image", "caption"), *rows])
    data, found = marked_photographs(f"folder:{tmp_path}", (), 9, 1)
    assert len(found.labels) == sum(map(len, data)) == 11
    named = [list(THINGS).index(said[0].split()[1]) for part in data for said in part.captions]
    assert found.labels.tolist() == named
    dog, man, snow, water = (list(kinds).index(w) for kinds, w in ((THINGS, "dog"), (THINGS, "man"), (WHERE, "snow"), (WHERE, "water")))
    assert found.usual == {dog: (snow, None), man: (water, None)}
    assert ((found.labels == man) & (found.places == water)).sum() == 4


def test_what_cannot_be_is_said(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        picture(tmp_path / "test" / name / "0.png", rng)
    with pytest.raises(ClipkitError, match="no captions"):
        marked_photographs(f"folder:{tmp_path}", (), 0, 1)
    with pytest.raises(ClipkitError, match="probability"):
        Homes(0).sample(10, 1.5, stream=0)
    for objective, n in (("guesses", 128), ("labels", 40)):
        with pytest.raises(ClipkitError, match="objectives"):
            learnt_answers(objective, 0.9, n, 1, 1, 1e-3, 0, "cpu")
