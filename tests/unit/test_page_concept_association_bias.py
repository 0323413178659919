"""The page on concept association bias: worlds that differ in colours alone, equal areas, captions that are true, readers, photographs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from clipkit.errors import ClipkitError
from clipkit.pretrain.tiny_clip import small_clip
from clipkit.robust import asked_scores
from clipkit.score import CrossModalReader
from clipkit.studies import concept_association_bias as study
from clipkit.studies.concept_association_bias import ANSWERS, AREA, BATCH, FORMS, FREE, GREY, KINDS, NOUNS, PALETTE, Garden
from clipkit.world import COLOURS
from clipkit.world.taxonomy import TYPICAL_COLOUR


@pytest.mark.parametrize("seed", range(4))
def test_each_colour_is_typical_of_two_nouns(seed):
    assert np.bincount(Garden(seed).typical).tolist() == [2] * len(PALETTE)
    assert (Garden(seed).association(0.5).sum(1) == pytest.approx(1)) and Garden(seed).association(0.95).max() == 0.95
    assert np.ptp(Garden(seed).association(FREE)) == pytest.approx(0)


def test_the_shipped_garden_has_the_worlds_own_colours():
    assert [PALETTE[c] for c in Garden(3, shipped=True).typical] == [TYPICAL_COLOUR[noun] for noun in NOUNS]


def test_lessons_differ_in_colours_alone_and_colours_are_tied_as_asked():
    garden, n = Garden(1), 3000
    lessons = {strength: garden.lessons(n, strength) for strength in (FREE, 0.5, 0.95)}
    first = lessons[FREE][0]
    for strength, (seen, _) in lessons.items():
        for name in ("named", "unnamed", "right"):
            assert (getattr(seen, name) == getattr(first, name)).all()
        assert (np.any(seen.images != GREY, 3) == np.any(first.images != GREY, 3)).mean() > 0.999
        assert abs((seen.own == garden.typical[seen.named]).mean() - strength) < 0.03
        two = seen.unnamed >= 0
        assert abs(two.mean() - 0.5) < 0.03 and (seen.named != seen.unnamed).all()
        assert abs((seen.other == garden.typical[seen.unnamed])[two].mean() - strength) < 0.04
        assert np.ptp(np.bincount(seen.own)) < 0.3 * n / len(PALETTE)  # no colour is more frequent
    assert lessons[0.5][0].images.shape == (n, 32, 32, 3)


def test_captions_are_true_and_name_one_thing_or_both():
    seen, captions = Garden(2).lessons(800, 0.5)
    both = coloured = 0
    for i, caption in enumerate(captions):
        said, words = [k for k, noun in enumerate(NOUNS) if noun in caption.split()], caption.split()
        assert said and set(said) <= {seen.named[i], seen.unnamed[i]}
        colour = {seen.named[i]: seen.own[i], seen.unnamed[i]: seen.other[i]}
        for noun in said:
            at = words.index(NOUNS[noun])
            near = [w for w in (words[at - 1], *words[at + 2 : at + 3]) if w in PALETTE]
            if words[at + 1 : at + 2] == ["is"]:
                near = [words[at + 2]]
            else:
                near = [w for w in near[:1] if words[at - 1] == w]
            assert near in ([], [PALETTE[colour[noun]]])
            coloured += bool(near)
        both += len(said) == 2
    assert 0.15 < both / 800 < 0.35 and 0.4 < coloured / (800 + both) < 0.75


def test_tested_pictures_are_balanced_and_of_equal_areas():
    garden = Garden(0)
    seen, free = garden.tested(2, 0), garden.tested(2, 0, typical=False)
    assert len(seen.images) == 2 * (12 * 11 - 12) == 2 * len(np.unique(seen.pairs)) * 2
    for of in (seen, free):
        assert (of.own != of.other).all() and (garden.typical[of.named] != garden.typical[of.unnamed]).all()
    assert (seen.own == garden.typical[seen.named]).all() and (seen.other == garden.typical[seen.unnamed]).all()
    assert np.ptp(np.bincount(seen.own)) == np.ptp(np.bincount(seen.other)) == np.ptp(np.bincount(seen.named)) == 0
    assert abs((free.own == garden.typical[free.named]).mean() - FREE) < 0.1
    left = np.any(seen.images[:, :, :16] != GREY, 3).sum((1, 2))
    right = np.any(seen.images[:, :, 16:] != GREY, 3).sum((1, 2))
    assert 0.9 < left.mean() / right.mean() < 1.1  # named and unnamed things stand on either side
    areas = [np.concatenate([left[at == seen.right], right[at != seen.right]]).mean() for at in (False, True)]
    assert abs(areas[0] - areas[1]) < 0.03 * sum(areas)


def test_the_part_that_takes_the_colour_is_nearly_equally_large_and_no_side_is_favoured():
    from clipkit.world.sprites import sprite

    area = np.array([sprite(c, "fill", 0, False, s, False).weight.sum() / 255 for c, s in zip(study._CATEGORY, study.sides(), strict=True)])
    far = {noun for noun, a in zip(NOUNS, area, strict=True) if abs(a - AREA) > 0.15 * AREA}
    assert far == {"carrot"} and area.min() > 0.6 * AREA  # too thin for the half of a picture; the page says so
    for seed in range(3):
        of = Garden(seed).tested(1, 0)
        assert area[of.named].mean() == pytest.approx(area[of.unnamed].mean())


def test_alone_is_the_same_thing_without_the_other():
    garden = Garden(4)
    two, one = garden.tested(1, 0), garden.tested(1, 0, alone=True)
    assert (two.named == one.named).all() and (one.unnamed == -1).all() and (two.right == one.right).all()
    for i in range(0, 120, 17):
        half = slice(16, 32) if one.right[i] else slice(0, 16)
        assert (one.images[i][:, half] == two.images[i][:, half]).mean() > 0.97
        gone = np.ones(32, bool)
        gone[half] = False
        assert (one.images[i][:, gone] == GREY).mean() > 0.97


def test_sentences():
    assert study.sentence("a photo of {}", ("apple", "orange")) == "a photo of an orange apple"
    assert study.sentence("{}", ("apple", ""), ("pear", "red")) == "an apple and a red pear"
    assert study.sentence(FORMS[5], ("apple", "red"), ("pear", "green")) == "the apple is red and the pear is green"


def test_words_are_tokens_and_sentences_fit():
    clip = small_clip(0)
    for word in (*NOUNS, *PALETTE):
        assert (clip.tokenize([word]) != 0).sum() == 3  # start, the word, end
    longest = clip.tokenize([study.sentence(form, (a, "orange"), (b, "purple")) for form in FORMS for a in NOUNS for b in NOUNS])
    assert (longest[:, -1] == 0).any() and ((longest == longest.max()).sum(1) == 1).all()  # the end is there


def test_training_starts_alike_whatever_the_strength_and_repeats():
    one, two = (study.raised(7, strength, BATCH, 1, 1e-9) for strength in (FREE, 0.95))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=0)
    again = study.raised(7, 0.95, BATCH, 2, 1e-3)
    assert all(torch.equal(a, b) for a, b in zip(again.values(), study.raised(7, 0.95, BATCH, 2, 1e-3).values(), strict=True))


def test_both_named_counts_a_tie_as_half_and_knows_the_right_sentence():
    of = Garden(0).tested(1, 0)
    clip = small_clip(0)
    clip.text_features = lambda texts: torch.stack([torch.tensor([float(t.index("and") < 0), 1.0]) for t in texts])
    assert study.both_named(clip, of, torch.ones(len(of.named), 2), NOUNS, PALETTE, "{}") == 50
    own = [
        study.sentence("{}", (NOUNS[a], PALETTE[p]), (NOUNS[b], PALETTE[q]))
        for a, b, p, q in zip(of.named, of.unnamed, of.own, of.other, strict=True)
    ]
    clip.text_features = lambda texts: torch.stack([torch.tensor([1.0 if t == own[i] else 0.0]) for i, t in enumerate(texts)])
    assert study.both_named(clip, of, torch.ones(len(of.named), 1), NOUNS, PALETTE, "{}") == 100


@pytest.mark.parametrize("kind", KINDS)
def test_questions_have_the_right_answer(kind):
    of = Garden(5).tested(3, 2, typical=False)
    questions, right = study.asked(of, kind, 0)
    share = np.bincount(right, minlength=len(ANSWERS)) / len(right)
    for i, question in enumerate(questions):
        noun = NOUNS.index(question.split()[-1])
        if kind == "existence":
            assert (noun in (of.named[i], of.unnamed[i])) == (ANSWERS[right[i]] == "yes")
        else:
            assert noun == of.named[i]
            assert ANSWERS[right[i]] == (PALETTE[of.own[i]] if kind == "colour" else ("right" if of.right[i] else "left"))
    if kind != "colour":
        assert share[[ANSWERS.index("yes"), ANSWERS.index("no"), ANSWERS.index("left"), ANSWERS.index("right")]].max() < 0.6


def test_a_reader_without_layers_reads_clips_own_vectors_and_freezing_freezes():
    clip = small_clip(1)
    before = {name: value.clone() for name, value in clip.module.state_dict().items()}
    none, one = (CrossModalReader(clip, ANSWERS, layers, seed=3) for layers in (0, 1))
    of = Garden(0).tested(1, 0)
    pixels, words = clip.preprocess_batch(of.images[:4]), clip.tokenize(study.asked(of, "colour", 0)[0][:4])
    tokens = none.tokens(pixels, words)
    assert tokens.shape == (4, 5, clip.embed_dim) and none(tokens).shape == (4, len(ANSWERS))
    # the cells add up to the picture's vector, less the bias; the last token is the question's
    whole = clip.module.visual(pixels) - clip.module.visual[-1].bias
    torch.testing.assert_close(normalize(tokens[:, :-1].sum(1), dim=1), normalize(whole, dim=1), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalize(tokens[:, -1], dim=1), clip.encode_text(words), atol=1e-4, rtol=0)
    assert torch.allclose(tokens[:, :-1].square().mean((1, 2)), torch.ones(4), atol=1e-4)
    assert torch.equal(one.encoder.blocks[0].attend_self.query.weight, torch.eye(clip.embed_dim))
    one(one.tokens(pixels, words)).sum().backward()
    assert all(p.grad is None for p in clip.module.parameters()) and one.places.grad.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in clip.module.state_dict().items())
    loose = CrossModalReader(clip, ANSWERS, 1, freeze=False)
    loose(loose.tokens(pixels, words)).sum().backward()
    assert clip.module.visual[0].weight.grad.abs().sum() > 0


def test_without_layers_no_token_sees_another_and_with_one_they_do():
    clip, dice = small_clip(2), torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 5, clip.embed_dim, generator=dice)
    for layers in (0, 1):
        x = tokens.clone().requires_grad_()
        CrossModalReader(clip, ANSWERS, layers).encoder(x)[0, -1].square().sum().backward()
        assert (x.grad[0, :-1].abs().sum() > 0) == (layers > 0)


def test_readers_answers_do_not_depend_on_who_reads_along():
    weights, rates = study.raised(0, FREE, BATCH, 1, 1e-3), (1e-3, 1e-3, 1e-3)
    both = study.schooled(0, weights, [(1, False, 2), (0, True, 2)], rates, 4)
    (alone,) = study.schooled(0, weights, [(0, True, 2)], rates, 4)
    assert {*alone} == {*KINDS, "typical"} and all(len(v) == 120 for v in alone.values())
    assert max(alone["colour"].max(), alone["typical"].max()) < len(PALETTE)
    assert all(torch.equal(alone[kind], both[1][kind]) for kind in alone)


def test_calibration_takes_a_constant_liking_away():
    """A model that likes one sentence whatever it sees is cured by the mean over pictures."""
    dice = torch.Generator().manual_seed(0)
    x, t = (normalize(torch.randn(*shape, 16, generator=dice), dim=-1) for shape in ((60,), (1, 6)))
    shared = 5 * t[0, 2]
    asked = [0] * 60
    assert (asked_scores(x + shared, t, asked).argmax(1) == 2).double().mean() > 0.95
    fixed = asked_scores(x + shared, t, asked, x + shared)
    torch.testing.assert_close(fixed, asked_scores(x, t, asked, x), atol=1e-5, rtol=0)


def labelled(folder, names):
    for k, name in enumerate(names):
        place = folder / "test" / name
        place.mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (40, 40), tuple(COLOURS.values())[k]).save(place / f"{i}.png")
    return f"folder:{folder}"


def test_photographs_side_by_side(tmp_path):
    data, noun, colour, nouns, palette = study.photographed(labelled(tmp_path, ["lemon", "ladybug", "rocking chair", "bullfrog"]))
    assert len(noun) == 12 and nouns == ["bullfrog", "ladybug", "lemon"] and palette == ["green", "red", "yellow"]
    found = study.in_pairs(data, noun, colour, 0, 48, 30)
    pair, one = found["pair"], found["single"]
    assert len(pair.images) == 30 and (pair.own != pair.other).all() and (pair.named != pair.unnamed).all()
    for i in range(30):
        half = slice(24, 48) if pair.right[i] else slice(0, 24)
        assert (pair.images[i][:, half] == one.images[i][:, half]).all()
        seen = np.any(one.images[i] != GREY, 2)
        assert seen[:, half].sum() == 24 * 24 == seen.sum() and np.any(pair.images[i] != GREY, 2).sum() == 2 * 24 * 24


def test_failures(tmp_path):
    with pytest.raises(ClipkitError, match="probability"):
        Garden(0).lessons(8, 1.5)
    with pytest.raises(ClipkitError, match="fill a batch"):
        study.raised(0, 0.5, BATCH - 1, 1, 1e-3)
    with pytest.raises(ClipkitError, match="known colour"):
        study.photographed(labelled(tmp_path, ["rocking chair", "lemon"]))
    clip = small_clip(0)
    for wrong in ({"layers": -1}, {"answers": ["a", "a"]}, {"answers": []}):
        with pytest.raises(ClipkitError, match="answers"):
            CrossModalReader(clip, **{"answers": ANSWERS} | wrong)
    clip.module.visual = torch.nn.Identity()
    with pytest.raises(ClipkitError, match="convolutional"):
        CrossModalReader(clip, ANSWERS)
