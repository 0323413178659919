"""The "no" tower and its losses: pair by pair, at the start, by gradient; what a decision means; the page's helpers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from clipkit import load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.robust import NoTextTower, OODSplit, class_split, clipn_loss, clipn_scores, world_split
from clipkit.robust.clipn_frozen import first_trained
from clipkit.studies import clipn as study
from clipkit.studies.clipn import MatchHead, caption_words, data_pairs, fit_no_tower, held_out_loss, shuffled, world_pairs
from clipkit.zeroshot import zeroshot_weights


def unit(n: int, d: int = 6, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1).to(dtype)


@pytest.fixture(scope="module")
def nano():
    return load_model("nano").freeze()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 7])
def test_the_loss_pair_by_pair(n, dtype):
    f, g, h = (unit(n, seed=s, dtype=dtype) for s in range(3))
    match = torch.eye(n, dtype=torch.bool)
    if n > 2:
        match[0, 3] = True
    yes = no = torch.zeros((), dtype=dtype)
    denied = 0
    for i in range(n):
        for j in range(n):
            pair = torch.softmax(10 * torch.stack([f[i] @ g[j], f[i] @ h[j]]), 0)
            if i == j:
                yes = yes - pair[0].log() / n
            elif not match[i, j]:
                no, denied = no - pair[1].log(), denied + 1
    tso = torch.stack([2 - torch.sqrt((a - b).square().sum() + 1e-4) for a, b in zip(g, h, strict=True)]).mean()
    found = clipn_loss(f, g, h, 10.0, match if n > 2 else None)
    for name, expected in {"yes": yes, "no": no / denied, "tso": tso, "total": (yes + no / denied + tso) / 2}.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)


def test_equal_towers_know_nothing_and_have_a_slope():
    f, g = unit(5), unit(5, seed=1)
    h = g.clone().requires_grad_()
    found = clipn_loss(f, g, h, 10.0)
    assert found["yes"].item() == pytest.approx(np.log(2)) and found["no"].item() == pytest.approx(np.log(2))
    assert found["tso"].item() == pytest.approx(1.99)
    found["total"].backward()
    assert torch.isfinite(h.grad).all() and h.grad.norm() > 0
    assert torch.autograd.gradcheck(lambda z: clipn_loss(f, g, normalize(z, dim=1), 10.0)["total"], unit(5, seed=2).requires_grad_())


def test_scores_class_by_class():
    x, w, v = unit(9), unit(4, seed=1), unit(4, seed=2)
    found = clipn_scores(x, w, v, 8.0)
    for i, row in enumerate(x):
        p = torch.softmax(8 * w @ row, 0)
        q = torch.stack([torch.softmax(8 * torch.stack([a @ row, b @ row]), 0)[0] for a, b in zip(w, v, strict=True)])
        torch.testing.assert_close(found.competing_to_win[i], q[p.argmax()])
        torch.testing.assert_close(found.agreeing_to_differ[i], (p * q).sum())
        assert bool(found.reject_competing[i]) == bool(v[p.argmax()] @ row > w[p.argmax()] @ row)
        assert bool(found.reject_agreeing[i]) == bool(1 - (p * q).sum() > (p * q).max())


def test_with_one_class_both_scores_agree_and_scale_moves_no_decision_of_the_winner():
    x, w, v = unit(9), unit(4, seed=1), unit(4, seed=2)
    one = clipn_scores(x, w[:1], v[:1], 8.0)
    torch.testing.assert_close(one.competing_to_win, one.agreeing_to_differ)
    assert torch.equal(clipn_scores(x, w, v, 1.0).reject_competing, clipn_scores(x, w, v, 50.0).reject_competing)


def test_a_new_tower_says_no_as_the_model_says_yes_and_leaves_the_model_alone(nano):
    before, texts = nano.fingerprint, ["a red cat", "a photo of two boats at night"]
    tower = NoTextTower(nano, 4)
    torch.testing.assert_close(tower.text_features(texts), nano.text_features(texts))
    assert {n for n, p in tower.named_parameters() if p.requires_grad} >= {
        "prompts",
        "network.text_projection",
        "network.token_embedding.weight",
    }
    assert not any("visual" in n for n, _ in tower.named_parameters())
    pairs = world_pairs(nano, 64, seed=3)
    rows = fit_no_tower(tower, pairs, 18.0, steps=3, batch=32)
    assert rows[0]["yes"] == pytest.approx(np.log(2), abs=1e-4) and rows[-1]["distance"] > rows[0]["distance"] and len(rows) == 3
    assert nano.fingerprint == before and not torch.allclose(tower.text_features(texts), nano.text_features(texts))
    assert tower.prompts.abs().sum() > 0


def test_any_open_clip_model_has_a_no_tower():
    model = load_model("ViT-S-32-alt", "random")
    tower = NoTextTower(model, 2)
    torch.testing.assert_close(tower.text_features(["a cat"]), model.text_features(["a cat"]), rtol=1e-4, atol=1e-5)
    tower.train()
    tower(tower.inputs(["a cat", "a dog"])).sum().backward()
    assert tower.prompts.grad is not None


def test_prompts_are_drawn_in_training_and_averaged_afterwards(nano):
    tower = NoTextTower(nano, 2)
    with torch.no_grad():
        tower.prompts += torch.tensor([0.5, -0.5])[:, None, None] * unit(1, tower.prompts.shape[2], dtype=torch.float32)
    tokens = tower.inputs(["a red cat"] * 30)
    tower.train()
    assert len(tower(tokens).detach().round(decimals=4).unique(dim=0)) == 3  # two prompts and their mean
    tower.eval()
    torch.testing.assert_close(tower(tokens[:1]), NoTextTower(nano, 0)(tokens[:1]))  # the mean is zero


def test_pairs_know_which_captions_are_true_of_which_picture(nano):
    from clipkit.world import check

    pairs = world_pairs(nano, 40, seed=1)
    match = pairs.match(torch.arange(40))
    assert match.diagonal().all()
    from clipkit.datasets import load_dataset

    scenes = load_dataset("world", "train", n=40, seed=1).scenes
    for i in range(0, 40, 5):
        for j in range(40):
            if match[i, j]:  # whatever is marked as a match holds in the scene, but for where the object stands
                wrong = [said for said in check(scenes[i], pairs.captions[j]).false if not said.startswith(("at ", "on ", "in the middle"))]
                assert not [w for w in wrong if pairs.captions[i] == pairs.captions[j]], (pairs.captions[j], wrong)
    avoided = world_pairs(nano, 40, seed=1, avoid=("cat", "dog"))
    assert not {"cat", "dog"} & set(caption_words(avoided.captions, []))


def test_pairs_of_other_data_sets(nano):
    from clipkit.datasets import load_dataset

    digits = data_pairs(nano, load_dataset("digits", "train", n=30))
    labels = load_dataset("digits", "train", n=30).labels
    assert torch.equal(digits.match(torch.arange(30)), torch.tensor(labels[:, None] == labels[None]))
    one = load_dataset("digits", "train", n=30).subset(np.flatnonzero(labels == labels[0]))
    with pytest.raises(ClipkitError, match="all texts are the same"):
        data_pairs(nano, one)


def test_shuffled_pairs_keep_pictures_and_texts_but_not_what_belongs_together(nano):
    pairs = world_pairs(nano, 40, seed=1)
    mixed = shuffled(pairs, 0)
    assert torch.equal(mixed.images, pairs.images) and sorted(mixed.captions) == sorted(pairs.captions) and mixed.captions != pairs.captions


def test_the_match_head_tells_matching_from_mismatched(nano):
    pairs = world_pairs(nano, 160, seed=1)
    head = MatchHead().fit(pairs)
    split = world_split(0)
    weights = zeroshot_weights(nano, split.known, ["a photo of a {}."])
    score = head.score(pairs.images[:50], weights, 18.0)
    assert score.shape == (50,) and score.min() >= 0 and score.max() <= 1


def test_pictures_of_a_split(nano):
    from clipkit.world import CATEGORIES

    split = world_split(1)
    found = study.world_pictures(split, 12, seed=0)
    assert list(found) == ["known", "near", "far", "empty", "digits"] and found["known"].classnames == split.known
    known = study.world_pictures(split, 12, seed=0, known_only=True)
    assert list(known) == ["known"] and np.array_equal(known["known"].to_array(), found["known"].to_array())
    for side in ("near", "far"):
        assert {CATEGORIES[c] for c in found[side].scenes.category[:, 0]} <= set(getattr(split, side))


def test_pictures_of_classes_known_and_not():
    from clipkit.datasets import load_dataset

    data = load_dataset("digits", "test")
    split = class_split(data.classnames, 6, seed=0)
    found = study.class_pictures(data, split, 20, seed=1)
    assert list(found) == ["known", "near", "digits"] and len(found["known"]) == len(found["near"]) == 20
    names = [split.known[label] for label in found["known"].labels]
    everything = {image.tobytes(): data.classnames[label] for image, label in zip(data.images, data.labels, strict=True)}
    assert names == [everything[image.tobytes()] for image in found["known"].images]
    assert {everything[image.tobytes()] for image in found["near"].images} <= set(split.near)
    with pytest.raises(ClipkitError, match="no class 'eleven'"):
        study.class_pictures(data, OODSplit(["eleven"], [], []), 4, 0)


def test_generic_pairs_without_a_second_data_set_know_no_unknown_class(nano):
    from clipkit.datasets import load_dataset

    split = class_split(load_dataset("digits", "train", n=20).classnames, 4, seed=0)
    pairs = study.generic_pairs(nano, "digits", None, split, 30, 0)
    assert len(pairs.captions) == 30 and all(any(name in caption for name in split.known) for caption in pairs.captions)
    assert len(study.generic_pairs(nano, "digits", "digits", split, 30, 0).true.unique()) > 4


def test_words_held_out(nano):
    pairs = world_pairs(nano, 60, seed=2)
    found = study.without_words(pairs, ["cat", "bus", "cherry"])
    assert 0 < len(found.captions) < 60 and len(found.images) == len(found.captions)
    assert not [c for c in found.captions if {"cat", "cats", "bus", "buses", "cherry"} & set(c.replace(",", "").split())]
    assert study.without_words(pairs, []).captions == pairs.captions
    with pytest.raises(ClipkitError, match="all captions name"):
        study.without_words(pairs, caption_words(pairs.captions, []))


def test_three_lessons(nano):
    pairs, split = world_pairs(nano, 64, seed=2), world_split(0)
    towers = {name: study.taught(nano, pairs, split, name, 2, 16, 1e-3, 0, n_prompts=1) for name in ("generic", "shuffled", "held out")}
    texts = [tower.text_features(["a cat"]) for tower, _ in towers.values()]
    assert all(len(rows) == 2 for _, rows in towers.values()) and not torch.allclose(texts[0], texts[1])
    again = study.taught(nano, pairs, split, "generic", 2, 16, 1e-3, 0, n_prompts=1)[0].text_features(["a cat"])
    assert torch.equal(texts[0], again)
    with pytest.raises(ClipkitError, match="unknown lesson"):
        study.taught(nano, pairs, split, "none", 2, 16, 1e-3, 0)


def test_only_the_named_parts_are_trained(nano):
    tower = NoTextTower(nano, 0, ("ln_final", "text_projection"))
    fit_no_tower(tower, world_pairs(nano, 32, seed=0), 18.0, steps=1, batch=16)
    before, after = nano.module.state_dict(), tower.network.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"ln_final.weight", "ln_final.bias", "text_projection"}


def test_frozen_layers_are_computed_once_and_change_nothing(nano):
    pairs, results = world_pairs(nano, 48, seed=0), []
    last = f"transformer.resblocks.{len(nano.module.transformer.resblocks) - 1}"
    for limit in (2**31, 0):  # kept, and too large to keep
        tower, calls = NoTextTower(nano, 0, (last,)), []
        frozen = tower.network.transformer.resblocks[0]
        frozen.ln_1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("clipkit.robust.clipn_frozen.LIMIT", limit)
            rows = fit_no_tower(tower, pairs, 18.0, steps=5, batch=16)
        results.append((tower.text_features(["a red cat", "two boats"]), rows[-1]["total"], len(calls)))
        assert "forward" not in vars(frozen)
    (kept, loss, once), (plain, as_before, every_step) = results
    assert torch.allclose(kept, plain, atol=1e-5) and loss == pytest.approx(as_before, abs=1e-4) and once < every_step


def test_what_counts_as_frozen_layers(nano):
    assert first_trained(NoTextTower(nano, 0)) is None  # all is trained
    assert first_trained(NoTextTower(nano, 2, ("transformer.resblocks.1",))) is None  # prompts come before the layers
    assert first_trained(NoTextTower(nano, 0, ("transformer.resblocks.1", "token_embedding"))) is None
    assert first_trained(NoTextTower(nano, 0, ("transformer.resblocks.0",))) is None  # nothing is below
    assert first_trained(NoTextTower(nano, 0, ("transformer.resblocks.1",)))[1] == 1


def test_pictures_are_looked_at_once_whatever_the_order(nano):
    split = class_split(load_dataset("digits", "test").classnames, 4, 0)
    a, b = (study.generic_pairs(nano, "digits", "digits", split, 10_000, seed) for seed in (0, 1))
    assert a.captions != b.captions and sorted(a.captions) == sorted(b.captions)
    data = load_dataset("digits", "train")
    order = np.random.default_rng(1).permutation(len(data))[:20]
    assert torch.allclose(b.images[:20], nano.image_features(data.subset(order).images), atol=1e-5)
    assert b.captions[:20] == [data.captions[i][0] for i in order]


def test_negative_words_are_those_that_are_allowed(nano):
    known = zeroshot_weights(nano, ["cat"], ["a {}"])
    captions = ["a photo of a cat", "a red bus", "a boat"]
    found = study.negative_weights(nano, captions, ["cat", "bus"], known, ["a {}", "{}"], 1.0)
    expected = zeroshot_weights(nano, caption_words(captions, ["cat", "bus"]), ["a {}", "{}"])
    assert len(found) == len(expected)
    assert torch.allclose((found @ expected.T).amax(1), torch.ones(len(found)), atol=1e-5)


def test_bad_input(nano):
    f, g, h = (unit(3, seed=s) for s in range(3))
    with pytest.raises(ClipkitError, match="must be of one shape"):
        clipn_loss(f, g[:2], h, 10.0)
    with pytest.raises(ClipkitError, match="True on the diagonal"):
        clipn_loss(f, g, h, 10.0, torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(ClipkitError, match="nothing can be denied"):
        clipn_loss(f, g, h, 10.0, torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ClipkitError, match="yes and no weights"):
        clipn_scores(f, g, h[:2], 10.0)
    with pytest.raises(ClipkitError, match="n_prompts must be at least 0"):
        NoTextTower(nano, -1)
    pairs = world_pairs(nano, 8, seed=0)
    with pytest.raises(ClipkitError, match="do not fill a batch"):
        fit_no_tower(NoTextTower(nano, 0), pairs, 18.0, 1, batch=16)
    with pytest.raises(ClipkitError, match="do not fill a batch"):
        held_out_loss(NoTextTower(nano, 0), pairs, 18.0, batch=16)
