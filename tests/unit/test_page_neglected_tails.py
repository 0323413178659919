"""The page of neglected tails: judges of word sense, lessons from a crawl, new names for a text tower, pictures."""

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.features import crawls
from clipkit.pretrain import concept_frequency
from clipkit.robust import balanced_accuracy
from clipkit.studies.neglected_tails import (
    SenseJudge,
    learn_names,
    sense_pairs,
    show_estimates,
    show_mentions,
    train_judge,
)
from clipkit.world import CATEGORIES, NAMES, WorldSpec, crawl, name_shares, render, sample_scenes, spellings


@pytest.fixture(scope="module")
def nano():
    return load_model("nano")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))


def lesson(seed, half=None, n=3000):
    made = crawl(sample_scenes(WorldSpec(max_objects=1, zipf=1.0), n, seed), name_shares(0), seed, half=half)
    pairs = concept_frequency(made.captions, NAMES, spell=spellings).matched.tocoo()
    keep = np.random.default_rng(seed).permutation(len(pairs.row))[:600]
    rows, classes = pairs.row[keep], pairs.col[keep]
    return [made.captions[n] for n in rows], [CATEGORIES[c] for c in classes], made.spoken[rows] == classes


def test_judge_learns_and_is_measured_on_unseen_sentences():
    judge = SenseJudge({c: [form for name in NAMES[c] for form in spellings(name)] for c in CATEGORIES}).fit(*lesson(0, half=0))
    captions, classes, meant = lesson(1, half=1)  # every sentence with another meaning is new
    guess = judge.pairs(captions, classes)
    right = balanced_accuracy(guess[meant], guess[~meant])
    assert 75 < right <= 100
    assert judge(captions[:3], classes[0]).shape == (3,) and judge([], "cat").shape == (0,)


def test_judge_refuses():
    judge = SenseJudge({"cat": ["cat"]})
    with pytest.raises(ClipkitError, match="learnt nothing"):
        judge(["a cat"], "cat")
    with pytest.raises(ClipkitError, match="both kinds"):
        judge.fit(["a cat"] * 3, ["cat"] * 3, [True] * 3)
    with pytest.raises(ClipkitError, match="one of each"):
        judge.fit(["a cat"], ["cat"], [True, False])
    with pytest.raises(ClipkitError, match="'dog'"):
        judge.fit(["a cat"] * 4, ["dog"] * 4, [1, 1, 0, 0])
    with pytest.raises(ClipkitError, match="at least one class"):
        SenseJudge({})


def test_pairs_and_a_judge_trained_on_them():
    crawl = crawls.world_crawl(1500, 1, name_shares(0), half=0)
    found = concept_frequency(crawl.captions, NAMES, spell=spellings)
    captions, classes, meant = sense_pairs(crawl, found)
    assert len(captions) == len(classes) == len(meant) == found.union.sum()
    spoken = dict(zip(crawl.captions, crawl.spoken, strict=True))
    assert all(m == (spoken[text] == CATEGORIES.index(c)) for text, c, m in zip(captions, classes, meant, strict=True))
    some = sense_pairs(crawl, found, most=50, seed=3)
    assert len(some[0]) == 50 and some[0] == sense_pairs(crawl, found, most=50, seed=3)[0]
    judge = train_judge(crawl, NAMES, spellings, 200)
    assert (judge.pairs(captions, classes) == meant).mean() > 0.8
    with pytest.raises(ClipkitError, match="label some"):
        sense_pairs(crawls.Crawl(["a cat"]), found)


def test_learning_names(nano):
    usage = name_shares(0, (0.0, 1.0, 0.0))
    crawl = crawls.world_crawl(96, 2, usage)
    pictures = crawl.pictures(nano, range(96))
    before = nano.fingerprint
    learner = learn_names(nano, pictures, crawl.captions, steps=2, batch=32)
    assert nano.fingerprint == before != learner.fingerprint
    some = render(sample_scenes(WorldSpec(), 4, 0), size=32).images
    assert torch.equal(learner.image_features(some), nano.image_features(some))  # the image tower is left alone
    assert not torch.allclose(learner.text_features(["a brolly"]), nano.text_features(["a brolly"]), atol=1e-3)
    again = learn_names(nano, pictures, crawl.captions, steps=2, batch=32)  # from the cache
    assert torch.allclose(again.text_features(["a brolly"]), learner.text_features(["a brolly"]), atol=1e-6)
    with pytest.raises(ClipkitError, match="as many captions"):
        learn_names(nano, pictures, crawl.captions[1:], steps=1)
    with pytest.raises(ClipkitError, match="batch of 512"):
        learn_names(nano, pictures, crawl.captions, steps=1, batch=512)


def test_pictures_are_drawn_and_described(monkeypatch):
    from clipkit import lab

    drawn, figure = [], lab.figure
    monkeypatch.setattr(lab, "figure", lambda alt, **options: drawn.append(alt) or figure(alt=alt, **options))
    names, found = (
        ["cat", "dog", "elk"],
        concept_frequency(["a cat", "cats", "a dog"], {"cat": ["cat", "cats"], "dog": ["dog"], "elk": ["elk"]}),
    )
    show_mentions(found.union, np.array([False, False, True]), names)
    show_estimates(np.array([2, 4, 1]), dict.fromkeys(("name_only", "synonyms_only", "synonyms_and_judge"), found))
    assert "from 2 (cat) down to 0 (elk)" in drawn[0]
    assert f"name only {np.log(1.5 / 0.5):.2f}" in drawn[1]  # errors: ln 1, ln (4.5 / 1.5), ln (1.5 / 0.5)
