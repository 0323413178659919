"""The MetaCLIP page: its small web and metadata, the subsets it compares, the one training for all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pyarrow import parquet

from clipkit import lab, load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.features.crawls import Crawl
from clipkit.pretrain import SubstringMatcher
from clipkit.studies import metaclip as module
from clipkit.studies.metaclip import SETTINGS, CurationStudy, draw_cumulative_matches, make_metadata, make_web_pool, write_shards


@pytest.fixture(scope="module")
def study():
    test = load_dataset("world", "test", n=192, seed=0, max_objects=1)
    tower, reader = load_model("nano-dino", device="cpu"), load_model("nano", device="cpu")
    return CurationStudy(make_web_pool(700, 0), SubstringMatcher(make_metadata(200)), tower, reader, test, 0)


def test_metadata_and_pool():
    entries = make_metadata(300)
    assert len(set(entries)) == len(entries) and {"cat", "kitten", "living thing", "snow", "of", "42", "Katze"} <= set(entries)
    pool = make_web_pool(3000, 5)
    assert 0.57 < (pool.spoken >= 0).mean() < 0.63 and len(pool.captions) == 3000
    counts = np.bincount(pool.spoken[pool.spoken >= 0], minlength=48)
    assert counts.max() > 20 * np.median(counts)
    with pytest.raises(ClipkitError):
        make_web_pool(0, 5)


def test_subsets_are_what_they_say(study):
    quarter = round(study.matched.sum() / 4)
    assert set(study.subsets(0.06)) == set(SETTINGS) > set(module.LONG)
    arms = {arm: rows for arm, (rows, _) in study.subsets(0.06).items()}
    for arm in ("raw", "matched_random", "inverse_frequency", "balanced", "oracle"):
        assert len(arms[arm]) == len(set(arms[arm].tolist())) == quarter
    assert study.keep_probability(study.threshold(size=0.25)).sum() == pytest.approx(study.matched.sum() / 4)
    assert study.matched[arms["balanced"]].all() and not study.matched[arms["raw"]].all()
    assert set(arms["balanced"]) <= set(study.balance(study.threshold(share=0.06)))
    assert study.visual[arms["oracle"]].all() and study.visual_share(arms["oracle"]) == 100
    assert (arms["inverse_frequency"] == arms["matched_random"]).all()
    assert study.frequency.sum() == study.visual.sum()
    assert np.bincount(study.pool.spoken[arms["oracle"]]).max() < np.bincount(study.pool.spoken[arms["matched_random"]] + 1)[1:].max()
    for wrong in ({}, {"size": 0.5, "share": 0.1}):
        with pytest.raises(ClipkitError, match="one of the two"):
            study.threshold(**wrong)


def test_frequent_words_of_the_pool_match_more(study):
    few, some, many = (set(study.match_frequent_words(least)) for least in (10**6, 20, 2))
    assert few == set(np.flatnonzero(study.matched)) and few < some < many


def test_every_subset_is_trained_alike(study, monkeypatch):
    seen, whole = [], module.budget_clip
    monkeypatch.setattr(module, "budget_clip", lambda *a, **k: seen.append((a[2].image[0].weight.clone(), k)) or whole(*a, **k))
    for arm, (rows, draws) in study.subsets(0.06).items():
        found = study.evaluate(study.train(rows, 4, SETTINGS[arm], 32, draws))
        assert set(found) == {"mean", "head", "middle", "tail"} and all(0 <= value <= 100 for value in found.values())
    assert len(seen) == 8 and all(torch.equal(weight, seen[0][0]) for weight, _ in seen)
    assert {(k["steps"], k["batch"], k["seed"]) for _, k in seen} == {(4, 32, 0)}
    assert sum(k["draws"] is not None for _, k in seen) == 2
    study.train(np.arange(9), 1, SETTINGS["raw"], 32)
    assert seen[-1][1]["batch"] == 9
    rows = np.array([3, 5])
    assert (study.features(rows) == study.features(rows[::-1]).flip(0)).all()


def test_a_real_pool_needs_no_truth(study):
    """The same pictures and texts, as features and vectors, without what the texts speak of."""

    class Tower:
        embed_dim = 6

        def text_features(self, texts):
            return torch.stack([torch.tensor([len(x), x.count("a"), x.count("e")]) / 9 for x in texts])

        def image_features(self, images, batch):
            return torch.eye(6)[:3]

    pool = Crawl(study.pool.captions, None, study.pool._source)
    test = replace(study.test.subset(range(3)), classnames=["a", "b", "c"], labels=np.arange(3))
    real = CurationStudy(pool, study.matcher, Tower(), None, test, 0, torch.randn(len(pool.captions), 6))
    assert set(real.subsets(0.06)) == set(SETTINGS) - {"oracle"} and real.visual is None
    assert real.tokens.shape == (len(pool.captions), 3)
    heads = real.train(np.arange(40), 4, SETTINGS["raw"], 8)
    assert set(real.evaluate(heads)) == {"mean"} and 0 <= real.retrieve_own_text(heads, np.arange(8), 8) <= 100


def test_the_study_wants_pictures_and_their_features_where_there_is_no_truth(study):
    for pool in (Crawl(["a cat"]), Crawl(["a cat"], None, study.pool._source)):
        with pytest.raises(ClipkitError, match="pool with pictures, and their features"):
            CurationStudy(pool, study.matcher, None, None, None, 0)
    with pytest.raises(ClipkitError, match="digits is not"):
        CurationStudy(study.pool, study.matcher, None, None, load_dataset("digits", "test"), 0)


def test_pairs_learnt_by_heart_are_told_from_others(study):
    matched = np.flatnonzero(study.matched)
    seen, unseen = matched[:64], matched[64:128]
    heads = study.train(seen, 60, (1e-2, 0.1), batch=64)
    assert study.retrieve_own_text(heads, seen) > 80 > 50 > study.retrieve_own_text(heads, unseen)


def test_shards_hold_every_caption_once(tmp_path):
    captions = [f"text {i}" for i in range(10)]
    tables = [parquet.read_table(file) for file in write_shards(tmp_path, captions, 3)]
    assert [len(table) for table in tables] == [4, 3, 3]
    assert [row for table in tables for row in table.to_pylist()] == [{"uid": i, "text": text} for i, text in enumerate(captions)]


def test_figures_show_one_of_each_kind(study, monkeypatch):
    said = []
    monkeypatch.setattr(lab, "image_grid", lambda images, texts, **options: said.append((images, texts)))
    module.show_pairs(study, study.keep_probability(study.threshold(share=0.06)))
    images, texts = said[0]
    assert images.shape == (len(texts), 64, 64, 3) and len(texts) == 8
    assert all(text.endswith(": 0.00") for text in texts[:2]) and all(text.endswith(": 1.00") for text in texts[-2:])
    alts = []
    monkeypatch.setattr("clipkit.lab.figures.show", lambda drawing, alt: alts.append(alt))
    counts = {"all": np.array([1, 3]), "some": np.array([1, 1]), "few": np.array([1, 0])}
    draw_cumulative_matches(counts, {"all": 4, "some": 2, "few": 1})
    assert "all: 4 matches, Gini 0.25" in alts[0] and "some: 2 matches, Gini 0.00" in alts[0]
