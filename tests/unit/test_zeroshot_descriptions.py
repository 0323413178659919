"""Description pools, classifiers from descriptions, and the choice of descriptions: against plain loops, and by hand."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, category_attributes
from clipkit.zeroshot import (
    DescriptionPool,
    DescriptionSelector,
    average_by_class,
    choose_weight,
    class_similarities,
    described_logits,
    described_prompts,
    described_weights,
    select_descriptions,
    share_true,
    without_names,
)
from clipkit.zeroshot.disclip import CAPTION_WEIGHTS

POOL = DescriptionPool({"cat": ["it purrs", "it is soft"], "dog": ["it is soft", "it barks"], "cup": ["it is hard"]})


def unit(*shape, seed=0, dtype=torch.float64):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).to(dtype)


def plain_selection(M, near, m, margin=0.0):
    """The definition, one image, one class, one description at a time."""
    out = []
    for row in near.tolist():
        lists = []
        for c in row:
            found = []
            for p in range(len(M)):
                differences = [float(M[p, c] - M[p, d]) for d in row]
                if all(x >= margin for x, d in zip(differences, row, strict=True) if d != c):
                    found.append((-sum(differences) / len(row), p))
            lists.append([p for _, p in sorted(found)[:m]])
        out.append(lists)
    return out


def plain_scores(v, captions, descriptions, near, lists, weight):
    out = np.full((len(v), len(captions)), -np.inf)
    for i, row in enumerate(near.tolist()):
        for j, c in enumerate(row):
            own = [float(v[i] @ descriptions[p]) for p in lists[i][j]]
            out[i, c] = weight * float(v[i] @ captions[c]) + sum(own) / len(own)
    return out


# ---- pools ----


def test_pool_by_hand():
    assert POOL.texts == ("it purrs", "it is soft", "it barks", "it is hard")
    assert POOL.assigned.int().tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert DescriptionPool({"a": ["x", "x", "y"]}).by_class == {"a": ("x", "y")}


@pytest.mark.parametrize("rows", [[], "it purrs", [""], ["  "], [3]])
def test_class_without_descriptions_is_named(rows):
    with pytest.raises(ClipkitError, match="'dog'"):
        DescriptionPool({"cat": ["it purrs"], "dog": rows})
    with pytest.raises(ClipkitError, match="at least one class"):
        DescriptionPool({})


def test_json(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"cat": ["A cat purrs.", "A cat.", "Cats purr"], "car": ["A car has wheels", "The automobile drives"]}))
    pool = DescriptionPool.from_json(path, ["automobile", "cat"], {"automobile": "car"}, most=2)
    assert pool.by_class == {"automobile": ("it has wheels", "it drives"), "cat": ("it purrs", "it purr")}
    with pytest.raises(ClipkitError, match="class 'automobile'.*also names: car"):
        DescriptionPool.from_json(path, ["automobile", "cat"])
    path.write_text('{"cat": ["A cat."]}')
    with pytest.raises(ClipkitError, match="'cat'.*nothing but names"):
        DescriptionPool.from_json(path, ["cat"])
    path.write_text("[1]")
    with pytest.raises(ClipkitError, match="JSON object"):
        DescriptionPool.from_json(path, ["cat"])
    for broken in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(ClipkitError, match="cannot be read"):
            DescriptionPool.from_json(broken, ["cat"])


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("A carrot is not a car.", "A carrot is not it"),
        ("Buses and a bus", "it and it"),
        ("hot dogs; the hot dog", ""),
        ("It. ", ""),
        ("CAT!", ""),
    ],
)
def test_without_names(sentence, wanted):
    assert without_names(sentence, ["car", "bus", "dog", "hot dog", "cat"]) == wanted


def test_controls():
    for seed in range(5):
        like = POOL.random_like(seed)
        assert [len(like.by_class[c]) for c in POOL.by_class] == [2, 2, 1]
        assert set(like.texts) <= set(POOL.texts)
        turned = POOL.rotated(seed)
        assert all(turned.by_class[c] != POOL.by_class[c] for c in POOL.by_class)
        assert sorted(turned.by_class.values()) == sorted(POOL.by_class.values())
        noise = POOL.characters(seed)
        assert torch.equal(noise.assigned, POOL.assigned)
        assert [[len(w) for w in t.split()] for t in noise.texts] == [[len(w) for w in t.split()] for t in POOL.texts]
        assert noise.texts == POOL.characters(seed).texts != POOL.characters(seed + 1).texts
        words = POOL.words(seed, ["sea", "blue"])
        assert len(set(words.by_class.values())) == 1
        assert {w for t in words.texts for w in t.split()} <= {"sea", "blue"}
    with pytest.raises(ClipkitError, match="vocabulary"):
        POOL.words(0, [])
    with pytest.raises(ClipkitError, match="two of them"):
        DescriptionPool({"cat": ["it purrs"]}).rotated(0)


def test_prompts():
    assert described_prompts(POOL)[1] == ["a photo of a dog, it is soft", "a photo of a dog, it barks"]
    with pytest.raises(ClipkitError, match="two"):
        described_prompts(POOL, "a photo of a {}")


class Letters:
    """A text tower made of letter counts."""

    def text_features(self, texts):
        rows = torch.tensor([[t.count(c) + 0.1 for c in "abcdefgh"] for t in texts])
        return rows / rows.norm(dim=1, keepdim=True)


def test_described_weights_are_mean_logits():
    weights, v = described_weights(Letters(), POOL), unit(6, 8, dtype=torch.float32)
    for c, rows in enumerate(described_prompts(POOL)):
        single = torch.stack([v @ Letters().text_features([row])[0] for row in rows])
        assert torch.allclose(v @ weights[c], single.mean(0), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("c", "p"), [(1, 1), (3, 7), (1000, 60)])
def test_average_against_a_loop(c, p, dtype):
    features, assigned = unit(p, 5, dtype=dtype), torch.rand(c, p, generator=torch.Generator().manual_seed(1)) < 0.3
    got = average_by_class(features, assigned)
    assert got.dtype == dtype
    for i in range(min(c, 50)):
        own = [features[j] for j in range(p) if assigned[i, j]]
        assert torch.allclose(got[i], sum(own) / len(own) if own else torch.zeros(5, dtype=dtype), atol=1e-6)
    with pytest.raises(ClipkitError, match="assigned"):
        average_by_class(features, assigned[:, 1:])


def test_weight_of_the_caption():
    v, captions, described = unit(20, 4), unit(3, 4, seed=1), unit(3, 4, seed=2)
    y = torch.arange(20) % 3
    assert torch.allclose(described_logits(v, captions, described, 2.5), 2.5 * v @ captions.T + v @ described.T)
    assert torch.equal(described_logits(v, captions, described, 1e9).argmax(1), (v @ captions.T).argmax(1))
    with pytest.raises(ClipkitError, match="weight must be at least 0"):
        described_logits(v, captions, described, -1.0)
    a, b = v @ captions.T, v @ described.T
    hits = [((w * a + b).argmax(1) == y).sum().item() for w in CAPTION_WEIGHTS]
    assert choose_weight(a, b, y, CAPTION_WEIGHTS) == CAPTION_WEIGHTS[hits.index(max(hits))]
    assert len(CAPTION_WEIGHTS) == 160 and CAPTION_WEIGHTS[-1] == 39.75
    with pytest.raises(ClipkitError, match="weights"):
        choose_weight(a, b, y, [])


# ---- selection ----


def test_selection_by_hand():
    # rows: fits class 0; fits class 1; fits both alike
    M = torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.5, 0.5]])
    assert select_descriptions(M, torch.tensor([[0, 1], [1, 0]]), 2).tolist() == [[[0, 2], [1, 2]], [[1, 2], [0, 2]]]
    # with a margin above zero, equal is not enough, and a class never has to beat itself
    assert select_descriptions(M, torch.tensor([[0, 1]]), 2, margin=0.05).tolist() == [[[0, -1], [1, -1]]]
    assert select_descriptions(M, torch.tensor([[0]]), 4, margin=0.5).tolist() == [[[0, 1, 2, -1]]]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.0, 0.05]), st.integers(0, 999))
def test_selection_against_a_loop(c, p, k, m, margin, seed):
    rng = np.random.default_rng(seed)
    M = torch.as_tensor(rng.normal(size=(p, c)))
    near = torch.as_tensor(np.stack([rng.permutation(c)[: min(k, c)] for _ in range(7)]))
    got = select_descriptions(M, near, m, margin, chunk=2)
    assert [[[p for p in row if p >= 0] for row in image] for image in got.tolist()] == plain_selection(M, near, m, margin)


def test_permuting_the_pool_permutes_the_selection():
    M, near = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([[0, 3, 5], [7, 1, 2]])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    a, b = select_descriptions(M, near, 4), select_descriptions(M[order], near, 4)
    assert torch.equal(torch.where(b >= 0, order[b.clamp_min(0)], -1), a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("c", "k", "shots"), [(1, 3, 1), (5, 3, 1), (12, 3, 4), (12, 12, 2), (1000, 3, 1)])
def test_selector_against_a_loop(c, k, shots, dtype):
    p, d, n = 40, 16, 30
    descriptions, captions, v = unit(p, d, dtype=dtype), unit(c, d, seed=1, dtype=dtype), unit(n, d, seed=2, dtype=dtype)
    x, y = unit(c * shots, d, seed=3, dtype=dtype), torch.arange(c).repeat(shots)
    assigned = torch.rand(c, p, generator=torch.Generator().manual_seed(4)) < 0.2
    assigned[:, 0] = True
    head = DescriptionSelector(descriptions, assigned, k=k, m=5, weight=1.5).fit(x, y, captions)
    M = torch.stack([torch.stack([(x[y == j] @ descriptions[q]).mean() for j in range(c)]) for q in range(p)]).double()
    assert torch.allclose(head.similarity_.double(), M, atol=1e-6)
    near = head.neighbours(v)
    assert near.shape == (n, min(k, c))
    lists = plain_selection(head.similarity_, near, 5)
    own = [torch.nonzero(row).flatten().tolist()[:5] for row in assigned]
    lists = [[row or own[c] for row, c in zip(image, classes.tolist(), strict=True)] for image, classes in zip(lists, near, strict=True)]
    wanted = plain_scores(v.double(), captions.double(), descriptions.double(), near, lists, 1.5)
    np.testing.assert_allclose(head.predict_logits(v).double().numpy(), wanted, atol=1e-5)


def test_heavy_caption_is_zero_shot_and_choice_is_on_validation():
    captions, v, descriptions = unit(9, 12), unit(40, 12, seed=1), unit(30, 12, seed=2)
    y = (v @ captions.T).argmax(1)
    assigned = torch.ones(9, 30, dtype=torch.bool)
    head = DescriptionSelector(descriptions, assigned, weight=1e6).fit(captions, torch.arange(9), captions)
    assert torch.equal(head.predict_logits(v).argmax(1), y)
    head.choose_weight(v, y)
    hits = []
    for weight in CAPTION_WEIGHTS:
        head.weight, chosen = weight, head.weight
        hits.append((head.predict_logits(v).argmax(1) == y).float().mean().item())
        head.weight = chosen
    assert head.weight == CAPTION_WEIGHTS[int(np.argmax(hits))]


def test_empty_selection_falls_back_to_the_own_list():
    descriptions, captions = unit(6, 4), unit(2, 4, seed=1)
    assigned = torch.tensor([[0, 0, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0]], dtype=torch.bool)
    head = DescriptionSelector(descriptions, assigned, k=2, m=2, margin=99.0).fit(captions, torch.arange(2), captions)
    assert head.chosen(torch.tensor([[0, 1]])).tolist() == [[[2, 3], [0, -1]]]
    assert torch.isfinite(head.predict_logits(captions)).all()


def test_share_true_by_hand():
    true = torch.tensor([[1, 0, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
    chosen, near = torch.tensor([[[0, 1], [2, -1]]]), torch.tensor([[0, 1]])
    found, base = share_true(chosen, near, true)
    assert found == pytest.approx(2 / 3) and base == pytest.approx((0.25 + 0.25 + 0.5) / 3)
    with pytest.raises(ClipkitError, match="no description"):
        share_true(torch.full((1, 1, 1), -1), torch.tensor([[0]]), true)


def test_bad_input():
    x, y, d = unit(4, 3), torch.tensor([0, 1, 1, 0]), unit(5, 3)
    with pytest.raises(ClipkitError, match="class 2 has no labelled image"):
        class_similarities(x, y, d, 3)
    with pytest.raises(ClipkitError, match="labels must lie"):
        class_similarities(x, y, d, 1)
    with pytest.raises(ClipkitError, match="NaN"):
        class_similarities(x * torch.nan, y, d, 2)
    with pytest.raises(ClipkitError, match="want"):
        class_similarities(x, y[:3], d, 2)
    with pytest.raises(ClipkitError, match="m must be at least 1"):
        select_descriptions(torch.zeros(2, 2), torch.tensor([[0, 1]]), 0)
    with pytest.raises(ClipkitError, match="below 2"):
        select_descriptions(torch.zeros(2, 2), torch.tensor([[0, 2]]), 1)
    with pytest.raises(ClipkitError, match="assigned"):
        DescriptionSelector(d, torch.ones(2, 4))
    with pytest.raises(ClipkitError, match="at least 1"):
        DescriptionSelector(d, torch.ones(2, 5), k=0)
    with pytest.raises(ClipkitError, match="captions of 3"):
        DescriptionSelector(d, torch.ones(2, 5)).fit(x, y, unit(3, 3))
    with pytest.raises(ClipkitError, match="not fitted"):
        DescriptionSelector(d, torch.ones(2, 5)).predict_logits(x)


# ---- the world's sentences ----


def test_attributes_of_the_world():
    found = category_attributes()
    assert found.true.shape == found.listed.shape == (48, len(found.texts)) and len(set(found.texts)) == len(found.texts)
    assert set(found.kinds) == {"colour", "place", "kind", "part", "shape", "use"}
    for kind in ("colour", "place", "kind"):  # exactly one of each is true of a category
        assert (found.true[:, [k == kind for k in found.kinds]].sum(1) == 1).all()
    assert ((found.listed & ~found.true).sum(1) == 2).all()
    assert (found.true.sum(1) >= 4).all() and found.true.any(0).all()
    for row in found.lists(only_true=True).values():
        assert len(row) <= 8
    for text, name in itertools.product(found.texts, CATEGORIES):
        assert without_names(text, [name]) == text.strip(" .,:;!?"), f"{text!r} names {name}"
