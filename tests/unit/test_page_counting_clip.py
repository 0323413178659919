"""The page on counting: what a seed learns from and is asked, counters without words, captions that tell too much, folders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from clipkit import load_model
from clipkit.adapt import tuned
from clipkit.errors import ClipkitError
from clipkit.pretrain import CountRecipe, count_scores
from clipkit.studies import counting_clip as study
from clipkit.world.words import NUMBERS

QUICK = CountRecipe(steps=2, batch=16, counting=4)


@pytest.fixture(scope="module")
def part():
    return tuned(load_model("nano").freeze(), "layers")


@pytest.fixture(scope="module")
def seen(part):
    return study.load(part, "world", 3, (12, 5), (), "photos", (None, "things"))


def test_what_is_learnt_and_asked_shares_no_pair_that_is_held_out(seen):
    kinds = {name: test.captions[:, 0] // study.K for name, test in {"learnt": seen.pairs, "tail": seen.tail, **seen.tests}.items()}
    learnt = set(kinds["learnt"].tolist())
    assert len(set(kinds["new categories"].tolist()) & learnt) == 0 and len(learnt) <= 40
    together = {name: set(zip(k.tolist(), test.shown.tolist(), strict=True)) for (name, k), test in
                zip(kinds.items(), (seen.pairs, seen.tail, *seen.tests.values()), strict=True)}  # fmt: skip
    assert not together["new pairs"] & (together["learnt"] | together["tail"] | together["usual"])
    assert set(kinds["usual"].tolist()) | set(kinds["new pairs"].tolist()) <= set(range(48))
    for test in seen.tests.values():
        assert torch.bincount(test.shown).tolist() == [5] * 9 and torch.equal(test.stated, test.shown)


def test_pairs_are_even_and_the_tail_falls(seen):
    assert torch.bincount(seen.pairs.shown).tolist() == [12] * 9
    tail = torch.bincount(seen.tail.shown)
    assert (tail[:-1] >= tail[1:]).all() and tail[0] > 20 * tail[-1] and abs(int(tail.sum()) - 108) < 8
    assert len(seen.others.images) == len(seen.others.texts) == 108


def test_towers_start_as_the_model_and_stay_their_own(part, seen):
    model = part.model
    said = [f"a photo of {NUMBERS[n]} cats" for n in (2, 10)]
    with torch.no_grad():
        torch.testing.assert_close(seen.towers.encode_text(part.texts(model.tokenize(said))), model.text_features(said), atol=1e-5, rtol=0)
    assert seen.towers is not part.towers and (part.towers.pictures_mean == 0).all() and (seen.towers.pictures_mean != 0).any()
    layers = (seen.pairs.images[:, part.model.embed_dim :] - seen.towers.pictures_mean) / seen.towers.pictures_spread
    assert 0.2 < layers.square().sum(1).mean() < 5  # about one, whatever the layers' own scale


def test_guesses_of_every_test_and_of_none(seen):
    found = study.taught(seen, seen.pairs, QUICK)
    assert set(found["guesses"]) == {*seen.tests, "blind"} and set(found["kept"]) == {"category", "colour", "retrieval"}
    before = seen.measure(seen.towers)
    scores = count_scores(seen.towers, seen.tests["usual"])
    assert torch.equal(before["guesses"]["usual"], scores.argmax(1)) and before["kept"]["category"] > 50
    kinds = seen.tests["usual"].captions[:, 0]
    for kind in kinds.unique():  # blind: one answer for a category
        assert len(before["guesses"]["blind"][kinds == kind].unique()) == 1
    again = study.taught(seen, seen.pairs, QUICK)
    assert torch.equal(again["guesses"]["usual"], found["guesses"]["usual"])


def test_another_seed_is_other_material(part, seen):
    same, other = (study.load(part, "world", seed, (12, 5), (), "photos", (None, "things")) for seed in (3, 4))
    assert same.fingerprint == seen.fingerprint != other.fingerprint


def test_counters_without_words(seen):
    found = study.counters(seen)
    assert set(found) == {"logistic_head", "ridge_head", "area_reader"}
    for of in found.values():
        assert set(of) == set(seen.tests) and all(g.min() >= 0 and g.max() < 9 and g.dtype == torch.int64 for g in of.values())
    alike = found["area_reader"]["equal area"]
    assert len(alike.unique()) == 1  # all cover the same
    assert (found["ridge_head"]["usual"] - seen.tests["usual"].shown).abs().float().mean() < 2.5


def test_captions_tell_where_numbers_are_uneven(seen):
    one_kind = seen.pairs.captions[:, :1].expand(-1, 9) * 0 + torch.arange(9)
    even = study.CountingPairs(seen.pairs.images, seen.pairs.texts, one_kind, seen.pairs.shown, seen.pairs.shown)
    twos = torch.where(torch.arange(108) < 90, 0, seen.pairs.shown)
    uneven = study.CountingPairs(seen.pairs.images, seen.pairs.texts, one_kind, twos, twos)
    assert study.told_by_text(even, 0) < 62 and study.told_by_text(uneven, 0) > 75


@pytest.fixture
def folders(tmp_path):
    """Captioned pictures, a labelled set, and pictures with a table of dots."""
    rng = np.random.default_rng(0)

    def picture(path, points=()):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 60, (64, 64, 3), dtype=np.uint8))
        for x, y in points:
            ImageDraw.Draw(image).ellipse((x - 2, y - 2, x + 2, y + 2), fill="white")
        image.save(path)

    rows = ["image,caption,split"]
    for i in range(66):
        picture(tmp_path / "said" / f"{i}.png")
        split, n = "train" if i % 2 else "test", (2, 3, 0)[i // 2 % 3]
        rows.append(f"{i}.png,{f'{NUMBERS[n]} dogs' if n else 'a dog'} number {i},{split}")
    (tmp_path / "said" / "captions.csv").write_text("\n".join(rows))
    for split in ("train", "test"):
        for label in "ab":
            picture(tmp_path / "named" / split / f"class {label}" / "0.png")
    dots = ["filename,x,y"]
    for i in range(108):  # two to ten in the middle, so that each half of the pictures has all numbers
        points = [(26 + 3 * (k % 4), 26 + 4 * (k // 4)) for k in range(2 + i % 9)]
        picture(tmp_path / "dots" / "images" / f"{i}.png", points)
        dots += [f"{i}.png,{x},{y}" for x, y in points]
    (tmp_path / "dots" / "dots.csv").write_text("\n".join(dots))
    return lambda name: f"folder:{tmp_path / name}"


def test_captioned_photographs(part, folders):
    found = study.load(part, folders("said"), 0, (5, 40), [folders("named")], "photos", (None, "things"))
    assert found.numbers == 2 and torch.bincount(found.pairs.shown).tolist() == [5, 5] and len(found.others.images) == 10
    assert torch.bincount(found.tests["usual"].shown).tolist() == [11, 11] and len(found.kept) == 2
    got = study.taught(found, found.pairs, QUICK)
    assert got["guesses"]["usual"].max() < 2 and set(study.counters(found)) == {"logistic_head", "ridge_head"}
    with pytest.raises(ClipkitError, match="no captions"):
        study.load(part, folders("named"), 0, (5, 40), [], "photos", (None, "things"))


def test_squares_of_photographs_with_dots(part, folders):
    found = study.load(part, folders("dots"), 0, (1, 1), [], folders("said"), (None, "white dots"))
    assert torch.bincount(found.pairs.shown).tolist() == [1] * 9 == torch.bincount(found.tests["usual"].shown).tolist()
    assert found.pairs.captions[0].tolist() == list(range(9)) and len(found.pairs.texts) == 9 and set(found.kept) == {"retrieval"}


def test_no_test_photograph_is_of_two_seeds(part, folders):
    from clipkit.dealing import deal_among

    deal_among([0, 1])
    one, two = (study.load(part, folders("said"), seed, (5, 40), [], "photos", (None, "x")).tests["usual"] for seed in (0, 1))
    rows = [{x.numpy().tobytes() for x in test.images} for test in (one, two)]
    assert all(rows) and not set.intersection(*rows)
