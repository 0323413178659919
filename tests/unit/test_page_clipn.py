"""The page on CLIPN: what its pairs know, which pictures are known, rivals with the same captions, its figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.robust import OODSplit, class_split, clipn_scores, world_split
from clipkit.studies import clipn as study
from clipkit.studies.clipn import caption_words, data_pairs, fit_match_head, world_pairs
from clipkit.zeroshot import zeroshot_weights


@pytest.fixture(scope="module")
def nano():
    return load_model("nano").freeze()


def test_pairs_know_which_captions_are_true_of_which_picture(nano):
    from clipkit.world import check

    pairs = world_pairs(nano, 40, seed=1)
    match = pairs.match(torch.arange(40))
    assert match.diagonal().all()
    scenes = load_dataset("world", "train", n=40, seed=1).scenes
    for i in range(0, 40, 5):
        for j in range(40):
            if match[i, j]:  # whatever is marked as a match holds in the scene, but for where the object stands
                wrong = [said for said in check(scenes[i], pairs.captions[j]).false if not said.startswith(("at ", "on ", "in the middle"))]
                assert not [w for w in wrong if pairs.captions[i] == pairs.captions[j]], (pairs.captions[j], wrong)
    few = world_pairs(nano, 40, seed=1, categories=("cat", "dog"))
    assert len(few.true[:, 0].unique()) == 2 and not {"bus", "cherry"} & set(caption_words(few.captions, []))


def test_pairs_of_other_data_sets(nano):
    digits = data_pairs(nano, load_dataset("digits", "train", n=30))
    labels = load_dataset("digits", "train", n=30).labels
    assert torch.equal(digits.match(torch.arange(30)), torch.tensor(labels[:, None] == labels[None]))
    one = load_dataset("digits", "train", n=30).subset(np.flatnonzero(labels == labels[0]))
    with pytest.raises(ClipkitError, match="all texts are the same"):
        data_pairs(nano, one)


def test_shuffled_pairs_keep_pictures_and_texts_but_not_what_belongs_together(nano):
    pairs = world_pairs(nano, 40, seed=1)
    mixed = pairs.shuffled(0)
    assert torch.equal(mixed.images, pairs.images) and sorted(mixed.captions) == sorted(pairs.captions) and mixed.captions != pairs.captions


def test_the_match_head_tells_matching_from_mismatched(nano):
    pairs = world_pairs(nano, 160, seed=1)
    score_of = fit_match_head(pairs)
    split = world_split(0)
    weights = zeroshot_weights(nano, split.known, ["a photo of a {}."])
    score = score_of(pairs.images[:50], weights, 18.0)
    assert score.shape == (50,) and score.min() >= 0 and score.max() <= 1


def test_pictures_of_a_split(nano):
    from clipkit.world import CATEGORIES

    split = world_split(1)
    found = study.world_pictures(split, 12, seed=0)
    assert list(found) == ["known", "near", "far", "empty", "textures", "digits"] and found["known"].classnames == split.known
    known = study.world_pictures(split, 12, seed=0, known_only=True)
    assert list(known) == ["known"] and np.array_equal(known["known"].to_array(), found["known"].to_array())
    for side in ("near", "far"):
        assert {CATEGORIES[c] for c in found[side].scenes.category[:, 0]} <= set(getattr(split, side))


def test_pictures_of_classes_known_and_not():
    data = load_dataset("digits", "test")
    split = class_split(data.classnames, 6, seed=0)
    found = study.class_pictures(data, split, 20, 1, ["photos"])
    assert list(found) == ["known", "near", "photos", "digits"] and len(found["known"]) == len(found["near"]) == 20
    names = [split.known[label] for label in found["known"].labels]
    everything = {image.tobytes(): data.classnames[label] for image, label in zip(data.images, data.labels, strict=True)}
    assert names == [everything[image.tobytes()] for image in found["known"].images]
    assert {everything[image.tobytes()] for image in found["near"].images} <= set(split.near)
    with pytest.raises(ClipkitError, match="no class 'eleven'"):
        study.class_pictures(data, OODSplit(["eleven"], [], []), 4, 0)


def test_generic_pairs_without_a_second_data_set_know_no_unknown_class(nano):
    split = class_split(load_dataset("digits", "train", n=20).classnames, 4, seed=0)
    pairs = study.generic_pairs(nano, "digits", None, split, 30, 0)
    assert len(pairs.captions) == 30 and all(any(name in caption for name in split.known) for caption in pairs.captions)
    assert len(study.generic_pairs(nano, "digits", "digits", split, 30, 0).true.unique()) > 4


def test_words_held_out(nano):
    pairs = world_pairs(nano, 60, seed=2)
    found = pairs.without(["cat", "bus", "cherry"])
    assert 0 < len(found.captions) < 60 and len(found.images) == len(found.captions)
    assert not [c for c in found.captions if {"cat", "cats", "bus", "buses", "cherry"} & set(c.replace(",", "").split())]
    assert pairs.without([]).captions == pairs.captions
    with pytest.raises(ClipkitError, match="all captions name"):
        pairs.without(caption_words(pairs.captions, []))


def test_pictures_are_looked_at_once_whatever_the_order(nano):
    split = class_split(load_dataset("digits", "test").classnames, 4, 0)
    a, b = (study.generic_pairs(nano, "digits", "digits", split, 10_000, seed) for seed in (0, 1))
    assert a.captions != b.captions and sorted(a.captions) == sorted(b.captions)
    data = load_dataset("digits", "train")
    order = np.random.default_rng(1).permutation(len(data))[:20]
    assert torch.allclose(b.images[:20], nano.image_features(data.subset(order).images), atol=1e-5)
    assert b.captions[:20] == [data.captions[i][0] for i in order]


def test_negative_words_are_those_that_are_allowed(nano):
    captions = ["a photo of a cat", "a red bus", "a boat"]
    found = study.negative_weights(nano, captions, ["cat", "bus"], ["a {}", "{}"])
    expected = zeroshot_weights(nano, caption_words(captions, ["cat", "bus"]), ["a {}", "{}"])
    assert len(found) == len(expected)
    assert torch.allclose((found @ expected.T).amax(1), torch.ones(len(found)), atol=1e-5)


def test_matched_pairs_score_higher_than_mismatched(nano):
    pairs = world_pairs(nano, 400, seed=1)
    score_of = fit_match_head(pairs.of(torch.arange(300)))
    rest = pairs.of(torch.arange(300, 400))
    fits, other = (torch.stack([score_of(x[None], w[None], 18.0)[0] for x, w in zip(rest.images, texts, strict=True)])
                   for texts in (rest.texts, rest.texts.roll(1, 0)))  # fmt: skip
    assert (fits > other).float().mean() > 0.8  # with one class the score is the head's probability


def test_answers_name_the_winner_and_how_sure_the_towers_are():
    yes, no = torch.eye(2), torch.eye(2).flip(0)
    x = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2], [0.2, 1.0]]), dim=1)
    sure = clipn_scores(x, yes, no, 2.0).competing_to_win
    assert study.answer(x, yes, no, 2.0, ["cat", "bus"]) == [f"cat? yes {sure[0]:.2f}", f"bus? yes {sure[1]:.2f}"]
    assert study.answer(x, yes, yes + yes.flip(0), 2.0, ["cat", "bus"])[0].startswith("cat? no ")


def test_textures_are_two_colours_of_the_world():
    from clipkit.world import COLOURS

    found = study.paint_textures(30, seed=5)
    colours = {tuple(colour) for colour in COLOURS.values()}
    assert found.shape == (30, 32, 32, 3) and found.dtype == np.uint8
    for picture in found:
        used = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
        assert len(used) == 2 and used <= colours
    assert np.array_equal(found, study.paint_textures(30, seed=5)) and not np.array_equal(found, study.paint_textures(30, seed=6))


def test_the_last_layer_of_a_sentence_encoder(nano):
    from types import SimpleNamespace

    tower = torch.nn.ModuleDict({"visual": torch.nn.ModuleList([torch.nn.Linear(1, 1)] * 9)})
    tower["text"] = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Linear(1, 1)] * 3)})
    assert study.last_text_layer(SimpleNamespace(module=tower)) == "text.layers.2"
    assert study.last_text_layer(nano) == ""
