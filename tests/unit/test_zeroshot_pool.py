"""The pool of prompts as data, what its prompts may be misled by, and pictures like those of pretraining."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from clipkit import load_dataset
from clipkit.errors import ClipkitError
from clipkit.studies.zero_shot_prompt_ensembling_bias import concept_share, rank_correlation, word_frequency, words_of
from clipkit.studies.zero_shot_prompt_ensembling_usual import diet, photo_crops
from clipkit.zeroshot.pool import PromptPool


def test_the_shipped_pool():
    pool = PromptPool.shipped()
    assert 150 <= len(pool) <= 300 and len(set(pool.templates)) == len(pool)
    assert all("{}" in template for template in pool.templates)
    assert {"world", "openai", "company", "nonsense"} <= set(pool.groups)
    assert ("background", "snow") in pool.concepts and pool.concepts[0] is None
    scenes = load_dataset("world", n=8).scenes
    assert np.isfinite(concept_share(pool.concepts, scenes)).sum() == sum(c is not None for c in pool.concepts)  # all concepts exist
    few = pool.thinned(3)
    assert few.templates == pool.templates[::3] and few.concepts == pool.concepts[::3]


@pytest.mark.parametrize(
    "content,message",
    [
        ("groups: []", "no groups"),
        ("", "no groups"),
        ("groups: [{name: a, templates: [a photo]}]", "lacks"),
        ('groups: [{name: a, concept: colour, templates: ["a {}"]}]', "lacks"),
        ('groups: [{name: a, templates: [{"a {}": red}]}]', "lacks"),
        ("groups: [{name: a, import: nowhere}]", "nowhere"),
    ],
)
def test_bad_pools(tmp_path, content, message):
    path = tmp_path / "pool.yml"
    path.write_text(content)
    with pytest.raises(ClipkitError, match=message):
        PromptPool.from_yaml(path)
    with pytest.raises(ClipkitError, match="no pool of prompts"):
        PromptPool.from_yaml(tmp_path / "other.yml")
    with pytest.raises(ClipkitError, match="step"):
        PromptPool.shipped().thinned(0)


def test_a_template_twice_counts_once(tmp_path):
    path = tmp_path / "pool.yml"
    path.write_text(
        'groups: [{name: a, templates: ["{}", "a {}"]}, {name: b, concept: colour, templates: [{"a {}": red}, {"red {}": red}]}]'
    )
    pool = PromptPool.from_yaml(path)
    assert pool == PromptPool(("{}", "a {}", "red {}"), ("a", "a", "b"), (None, None, ("colour", "red")))


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
    images, captions = diet("nano", 40, seed=1)
    assert images.shape[1:] == (32, 32, 3) and images.dtype == np.uint8 and abs(len(images) - 40) <= 2 and len(captions) == len(images)
    again, _ = diet("nano", 40, seed=1)
    other, _ = diet("nano", 40, seed=2)
    assert (images == again).all() and (images != other).any()
    with pytest.raises(ClipkitError, match="recipe"):
        diet("lite", 4)
    with pytest.raises(ClipkitError, match="at least 1"):
        diet("nano", 0)


def test_photo_crops():
    crops = photo_crops(20, seed=0, side=24)
    assert crops.shape == (20, 24, 24, 3) and (crops == photo_crops(20, seed=0, side=24)).all() and crops[0].std() > 0
    with pytest.raises(ClipkitError, match="at least 1"):
        photo_crops(0)
