"""The page of prompt weighting: its measures by hand on small tables, what scores follow, pictures like those of pretraining."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch.nn.functional import normalize

from clipkit import lab, load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.studies.zero_shot_prompt_ensembling import (
    accuracy_alone,
    accuracy_by_pictures,
    accuracy_by_temperature,
    average_over_tasks,
    concept_share,
    crowded_pool,
    diet,
    effective_number,
    photo_crops,
    pretraining_features,
    rank_correlation,
    word_frequency,
    words_of,
)
from clipkit.world import CATEGORIES
from clipkit.world.words import PLACES
from clipkit.zeroshot import prompt_scores, prompt_weights, weighted_classifier
from clipkit.zeroshot.pool import PromptPool


@pytest.fixture(scope="module")
def table():
    g = torch.Generator().manual_seed(0)
    x, t = (normalize(torch.randn(*shape, 6, generator=g), dim=-1) for shape in ((40,), (5, 3)))
    return x, (x @ t[2].T).argmax(1), t  # labels are what prompt 2 says


def percent_by_hand(x, w, y):
    return 100 * sum(int((w @ v).argmax()) == k for v, k in zip(x, y, strict=True)) / len(x)


def test_accuracies_by_hand(table):
    x, y, t = table
    own = accuracy_alone(x, t, y)
    assert own[2] == 100 and own[0] == pytest.approx(percent_by_hand(x, t[0], y))


def test_temperatures(table):
    x, y, t = table
    scores = torch.tensor([0.0, 0.1, 5.0, 0.2, 0.3])
    found = accuracy_by_temperature(x, y, t, scores, (0.01, 1e6))
    assert found[0.01] == (100, pytest.approx(1))
    assert found[1e6] == (pytest.approx(percent_by_hand(x, weighted_classifier(t), y)), pytest.approx(5))
    assert effective_number(torch.full((4,), 0.25)) == pytest.approx(4)


def test_weights_from_the_first_pictures_only(table):
    x, y, t = table
    found = accuracy_by_pictures(x, y, t, x.flip(0), 20.0, (7, 40, 0))
    for size, seen in ((7, 7), (40, 40), (0, 1)):
        weights = prompt_weights(prompt_scores(x[:seen], t, x, scale=20.0))
        assert found[size] == pytest.approx(percent_by_hand(x, weighted_classifier(t, weights), y))


def test_scores_are_averaged_over_tasks():
    one, two = lab.Scores(), lab.Scores()
    for scores, value in ((one, 1.0), (two, 3.0)):
        scores.add("a", value)
        scores.add("a", 10 * value, temperature=0.3)
    found = average_over_tasks({"x": one, "y": two})
    assert found.values("a").item() == 2 and found.values("a", temperature=0.3).item() == 20
    assert found.values("a", task="y").item() == 3 and found.values("a", task="x", temperature=0.3).item() == 10
    assert len(found) == 6


def test_concepts_of_the_shipped_pool_exist():
    pool = PromptPool.shipped()
    scenes = load_dataset("world", n=8).scenes
    assert np.isfinite(concept_share(pool.concepts, scenes)).sum() == sum(c is not None for c in pool.concepts)  # all concepts exist


def test_the_crowded_pool_names_two_places_and_a_thing():
    pool, scenes = crowded_pool(3), load_dataset("world", n=8).scenes
    own = [t for t, g in zip(pool.templates, pool.groups, strict=True) if g == "world"]
    assert own == [t for t, g in zip(PromptPool.shipped().templates, PromptPool.shipped().groups, strict=True) if g == "world"]
    crowded = pool.templates[len(own) :]
    assert len(crowded) == len(set(crowded)) == 3 * len(own) and crowded_pool(3) == pool
    for template, concept in zip(crowded, pool.concepts[len(own) :], strict=True):
        here, there = template.split(", ")
        assert here == f"a {{}} {PLACES[concept[1]]}" and any(there.endswith(place) for place in PLACES.values())
        assert re.fullmatch(f"an? ({'|'.join(CATEGORIES)}) .*", there)
    assert not any("an " + letter in text for text in crowded for letter in "bcdfgkst")
    assert np.isfinite(concept_share(pool.concepts, scenes)).sum() == len(crowded)


def test_word_frequency_by_hand():
    captions = ["A cat", "a cat, a dog", "the dog", "snow"]
    assert words_of("a {} on IMG_02.jpg") == ["a", "on", "img", "jpg"]
    found = word_frequency(["{}", "a {}", "a cat and {}", "{} quasar"], captions)
    a = np.log10(501)  # in two of four captions, although three times
    np.testing.assert_allclose(found, [np.nan, a, (a + a + 0) / 3, 0])
    with pytest.raises(ClipkitError, match="need captions"):
        word_frequency(["a {}"], [])


def test_concept_share_by_hand():
    scenes = load_dataset("world", n=60, seed=3, styles=("sketch",), categories=("cat", "car")).scenes
    share = concept_share([("style", "sketch"), ("style", "flat"), None, ("category", "cat"), ("superclass", "vehicle")], scenes)
    assert share[0] == 1 and share[1] == 0 and np.isnan(share[2]) and share[3] + share[4] == pytest.approx(1)
    with pytest.raises(ClipkitError, match="does not have"):
        concept_share([("background", "moon")], scenes)


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b)[0])
    a[3] = np.nan
    keep = ~np.isnan(a)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a[keep], b[keep])[0])
    assert rank_correlation(np.ones(4), b[:4]) == 0
    with pytest.raises(ClipkitError, match="at least three"):
        rank_correlation([1, 2], [1, 2])


def test_diet():
    images, captions = diet("nano", 40)
    assert images.shape[1:] == (32, 32, 3) and images.dtype == np.uint8 and abs(len(images) - 40) <= 2 and len(captions) == len(images)
    again, _ = diet("nano", 40)
    assert (images == again).all()
    with pytest.raises(ClipkitError, match="recipe"):
        diet("lite", 4)
    with pytest.raises(ClipkitError, match="at least 1"):
        diet("nano", 0)


def test_photo_crops():
    crops = photo_crops(20, side=24)
    assert crops.shape == (20, 24, 24, 3) and (crops == photo_crops(20, side=24)).all() and crops[0].std() > 0
    with pytest.raises(ClipkitError, match="at least 1"):
        photo_crops(0)


def test_pictures_like_those_of_pretraining(tmp_path):
    nano, rng = load_model("nano"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "test" / name / f"{i}.png")
    assert len(pretraining_features(nano, 20)) in range(18, 23)
    assert pretraining_features(nano, 5, f"folder:{tmp_path}").shape == (5, nano.embed_dim)
