"""The page on holistic robustness: sources are what is said, twins differ in one thing, exams pair their pictures, axes by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector

from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right
from clipkit.pretrain.losses import info_nce_reference, sigmoid_pairs
from clipkit.pretrain.tiny_clip import AttentionBlock, PatchTower
from clipkit.pretrain.word_bags import OBJECTIVES, TOWERS, WORDS, WordBagClip, bags_of, objective_of
from clipkit.robust import calibration_under_shift, expected_calibration_error, fit_temperature
from clipkit.studies import holistic_robustness as study
from clipkit.studies.holistic_robustness import (
    BATCH,
    FINE_TUNINGS,
    KNOWN,
    PROMPTS,
    SOURCES,
    Diet,
    Tuning,
    Worlds,
    asked,
    classifier,
    exams,
    finetuned,
    lessons,
    loaded,
    measured,
    trained,
)
from clipkit.world import BACKGROUNDS, CATEGORIES, COLOURS
from clipkit.world.conflict import cue_conflicts, fillings
from clipkit.world.factors import FACTORS
from clipkit.world.taxonomy import HOME, TYPICAL_COLOUR

SHORT = Diet(n=128, steps=6, stages=(2, 6))


@pytest.fixture(scope="module")
def of():
    return exams(3, 20, 10)


@pytest.mark.parametrize("source", SOURCES)
def test_sources_are_what_is_said(source):
    world = Worlds(1)
    scenes = world.learn(source, 3000)
    names = [CATEGORIES[c] for c in scenes.category[:, 0]]
    assert set(names) <= set(world.split.known) and (scenes.category[:, 1:] < 0).all()
    home = np.mean([BACKGROUNDS[b] == HOME[c] for b, c in zip(scenes.background, names, strict=True)])
    usual = np.mean([list(COLOURS)[k] == TYPICAL_COLOUR[c] for k, c in zip(scenes.colour[:, 0], names, strict=True)])
    most = np.bincount(world.numbers(scenes), minlength=KNOWN).max() / len(scenes)
    if source == "even":
        assert abs(home - 1 / 8) < 0.03 and abs(usual - 0.1) < 0.03 and most < 0.13
    else:
        assert abs(home - (0.35 + 0.65 / 8)) < 0.04 and abs(usual - 0.415) < 0.04 and most > 0.13
    assert (Worlds(1).learn(source, 50).seed == scenes.seed[:50]).all() and (Worlds(2).learn(source, 50).seed != scenes.seed[:50]).any()


def test_the_exam_is_balanced_and_new():
    world = Worlds(4)
    exam, learnt = world.exam(60, 1), world.learn("even", 200)
    assert np.ptp(np.bincount(world.numbers(exam), minlength=KNOWN)) == 0
    assert not set(exam.seed.tolist()) & set(learnt.seed.tolist()) and (exam.seed != world.exam(60, 2).seed).any()


def test_captions_say_what_is_there():
    world = Worlds(0)
    scenes = world.learn("crawl", 400)
    full, some = bags_of(scenes), bags_of(scenes, 5)
    for row, c, k, b in zip(full[:9], scenes.category[:9, 0], scenes.colour[:9, 0], scenes.background[:9], strict=True):
        assert [WORDS[i] for i in row] == [CATEGORIES[c], list(COLOURS)[k], BACKGROUNDS[b]]
    silent = some == len(WORDS)
    assert not silent[:, 0].any() and (some[~silent] == full[~silent]).all()
    assert (silent[:, 1:].double().mean(0) - 0.5).abs().max() < 0.08 and torch.equal(some, bags_of(scenes, 5))


@pytest.mark.parametrize("tower", TOWERS)
def test_twins_start_alike(tower):
    one, two, other = WordBagClip(tower, 3), WordBagClip(tower, 3), WordBagClip(tower, 4)
    assert torch.equal(parameters_to_vector(one.parameters()), parameters_to_vector(two.parameters()))
    assert not torch.equal(parameters_to_vector(one.visual.parameters()), parameters_to_vector(other.visual.parameters()))
    assert torch.equal(WordBagClip("conv", 3).words.weight, WordBagClip("patches", 3).words.weight)  # the towers' texts start alike, too
    x = one.pictures(torch.randn(5, 3, 32, 32))
    assert x.shape == (5, 64) and torch.allclose(x.norm(dim=1), torch.ones(5))


def test_texts_are_bags_of_words():
    net = WordBagClip("conv", 0)
    w = net.words.weight
    said = net.texts(torch.tensor([[3, 50, len(WORDS)], [50, 3, len(WORDS)]]))
    torch.testing.assert_close(said, F.normalize((w[3] + w[50]).expand(2, -1), dim=1))


def test_attention_is_attention():
    torch.manual_seed(0)
    block, x = AttentionBlock(16).double(), torch.randn(2, 5, 16, dtype=torch.float64)
    q, k, v = (part.view(2, 5, 4, 4).transpose(1, 2) for part in block.qkv(block.norms[0](x)).chunk(3, -1))
    seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 16)
    after = x + block.back(seen)
    torch.testing.assert_close(block(x), after + block.mlp(block.norms[1](after)))
    tower = PatchTower()
    with torch.no_grad():
        a, b = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
        b[..., 24:, 24:] = 1  # each patch is seen
        assert (tower(a) - tower(b)).abs().max() > 1e-4


def test_the_sigmoid_loss_pair_by_pair():
    x, t = F.normalize(torch.randn(2, 5, 8), dim=2)
    pairs = [-F.logsigmoid((1 if i == j else -1) * (7 * x[i] @ t[j] - 2)) for i in range(5) for j in range(5)]
    torch.testing.assert_close(sigmoid_pairs(x, t, 7.0, -2.0), sum(pairs) / 5)
    assert sigmoid_pairs(x, t, 0.0).item() == pytest.approx(5 * np.log(2), rel=1e-5)
    with pytest.raises(ClipkitError):
        sigmoid_pairs(x, t[:4], 7.0)


def test_objectives_by_hand():
    world, net = Worlds(0), WordBagClip("conv", 0)
    pixels, numbers, words = next(lessons(world, world.learn("even", BATCH), 0))
    x, t = net.pictures(pixels), net.texts(words)
    names = net.texts(asked(world)[:, None])
    hand = {
        "captions": info_nce_reference(x, t, net.logit_scale),
        "sigmoid": sigmoid_pairs(x, t, net.logit_scale, net.bias),
        "labels": F.cross_entropy(net.logit_scale * x @ names.T, numbers),
    }
    for objective in OBJECTIVES:
        torch.testing.assert_close(objective_of(objective, asked(world))(net, (pixels, numbers, words)), hand[objective])
    with pytest.raises(ClipkitError, match="guesses"):
        objective_of("guesses", asked(world))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_follows_its_diet(objective):
    diet = SHORT._replace(objective=objective)
    first = trained(diet, 0)
    assert first.shape == (2, len(parameters_to_vector(WordBagClip("conv", 0).parameters()))) and torch.equal(first, trained(diet, 0))
    for other in (diet._replace(source="crawl"), diet._replace(lr=1e-3), diet._replace(n=192)):
        assert not torch.equal(first[-1], trained(other, 0)[-1])
    assert not torch.equal(first[-1], trained(diet, 1)[-1]) and not torch.equal(first[0], first[1])


def test_stages_are_on_the_way():
    whole = trained(SHORT, 0)
    assert torch.equal(whole[1], trained(SHORT._replace(stages=(6,)), 0)[0])
    start = parameters_to_vector(WordBagClip("conv", 0).parameters())
    assert (whole[0] - start).norm() < (whole[1] - start).norm()


@pytest.mark.parametrize("how", FINE_TUNINGS)
def test_what_fine_tuning_moves(how):
    start = trained(SHORT, 0)[-1]
    after = finetuned(SHORT, start, Tuning(how, 0.9, 3, 1e-3), 0)
    before, net = loaded("conv", start), loaded("conv", after)
    moved = {name for (name, a), b in zip(before.named_parameters(), net.parameters(), strict=True) if not torch.equal(a, b)}
    if how == "last layer":
        assert moved == {"visual.7.weight", "visual.7.bias"}
    else:
        assert {"visual.0.weight", "visual.7.weight", "words.weight"} <= moved
    assert not torch.equal(after, finetuned(SHORT, start, Tuning(how, 0.0, 3, 1e-3), 0))


def test_exams_pair_their_pictures(of):
    label = of.labels["id"]
    assert len(of.sets("factor")) == len(FACTORS) == 10 and of.rows["conflict"].stop == len(of.pixels)
    for name in of.sets("factor", "view", "corruption"):
        rows = of.rows[name]
        assert torch.equal(of.labels[name], label[: rows.stop - rows.start])
        assert not torch.equal(of.pixels[rows], of.pixels[of.rows["id"]][: len(of.labels[name])])
    assert len(of.sets("unknown")) == 3 and all(of.labels[name] is None for name in of.sets("unknown", "conflict"))
    shape, texture = of.cues
    assert (shape != texture).all() and max(shape.max(), texture.max()) < KNOWN
    assert not torch.equal(of.pixels[of.rows["val"]], of.pixels[of.rows["id"]])


def test_prompts(of):
    net = loaded("conv", trained(SHORT, 3)[-1])
    w = net.words.weight[of.names]
    torch.testing.assert_close(classifier(net, of), F.normalize(w, dim=1))
    places = net.words.weight[of.places]
    pooled = torch.stack([F.normalize(w + place, dim=1) for place in places]).mean(0)
    torch.testing.assert_close(classifier(net, of, "all places"), F.normalize(pooled, dim=1))
    torch.testing.assert_close(classifier(net, of, "wrong place"), F.normalize(w + places[0], dim=1))
    with pytest.raises(ClipkitError, match="shout"):
        classifier(net, of, "shout")


def test_axes_by_hand(of):
    net = loaded("conv", trained(SHORT, 3)[-1])
    rows = measured(net, of, PROMPTS)
    assert [row["prompt"] for row in rows] == list(PROMPTS)
    x, w = (t.detach() for t in (net.pictures(of.pixels), classifier(net, of)))
    assert rows[0]["id"] == pytest.approx(percent_right(x[of.rows["id"]] @ w.T, of.labels["id"]))
    assert rows[0]["factor"] == pytest.approx(np.mean([rows[0][f"factor:{factor}"] for factor in FACTORS]))
    guess = (x[of.rows["conflict"]] @ w.T).argmax(1)
    assert rows[0]["cue_accuracy"] == pytest.approx(percent_right(guess, of.cues[0]) + percent_right(guess, of.cues[1]))
    assert 0 <= rows[0]["recall"] <= 100 and {row["recall"] for row in rows} == {rows[0]["recall"]}  # captions, not prompts


def test_calibration_by_hand():
    dice = torch.Generator().manual_seed(0)
    z, y = 6 * torch.randn(300, 5, generator=dice), torch.randint(0, 5, (300,), generator=dice)
    found = calibration_under_shift({"val": z, "id": z, "a": z, "b": 2 * z}, dict.fromkeys(("val", "id", "a", "b"), y))
    temperature = fit_temperature(z, y)
    ece = [100 * expected_calibration_error((k * z).softmax(1), y) for k in (1, 2, 1 / temperature, 2 / temperature)]
    assert found["shift_ece"] == pytest.approx(np.mean(ece[:2])) and found["shift_ece_scaled"] == pytest.approx(np.mean(ece[2:]))
    assert found["id_ece"] == pytest.approx(ece[0]) and found["id_ece_scaled"] == pytest.approx(ece[2])
    assert found["shift_helped"] == 100 and found["shift_gap"] > 30  # sure of itself, and guessing


def test_training_learns_the_names():
    of = exams(0, 40, 10)
    for objective in ("captions", "labels"):
        net = loaded("conv", trained(Diet(objective=objective, n=512, steps=60, stages=(60,)), 0)[-1])
        assert measured(net, of)[0]["id"] > 25  # chance is 10


def test_kept_axes_are_those_of_the_weights(monkeypatch):
    asked_for = []
    monkeypatch.setattr(study, "kept", lambda name, build, *inputs: asked_for.append(name) or build(*inputs))
    rows = study.axes(SHORT, 3, 20, 10, PROMPTS[:2])
    assert [(row["stage"], row["prompt"]) for row in rows] == [(0, "name"), (0, "all places"), (1, "name"), (1, "all places")]
    tuned = study.axes_tuned(SHORT, 1, Tuning(steps=2), 3, 20, 10)
    assert tuned["id"] >= 0 and asked_for == ["holistic", "holistic"]


def test_fillings_are_what_stands_in_the_outlines():
    names = ["cat", "apple", "car"]
    found, cues = fillings(names, 64), cue_conflicts(12, 5, 64, names)
    assert found.shape == (3, 64, 64, 3) and len({picture.tobytes() for picture in found}) == 3
    for picture, texture, mask in zip(cues.images, cues.texture, cues.masks, strict=True):
        pattern, inside = found[names.index(CATEGORIES[texture])], binary_erosion(mask, iterations=2)
        same = [
            (picture[y : y + 48, x : x + 48][inside[y : y + 48, x : x + 48]] == pattern[:48, :48][inside[y : y + 48, x : x + 48]]).mean()
            for y in range(17)
            for x in range(17)
        ]
        assert max(same) > 0.99  # at the corner of the outline's box, and nowhere else by chance
