"""NoLA: the selection by hand and against plain loops, the labeller, a student that starts as zero-shot and moves only what it may."""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from clipkit import load_model
from clipkit.adapt import (
    FeatureLabeller,
    TunedTower,
    balanced_confident,
    confident_count,
    description_embedding,
    named_clusters,
    select_confident,
)
from clipkit.errors import ClipkitError
from clipkit.zeroshot import DescriptionPool, zeroshot_weights


@functools.cache
def clip():
    return load_model("nano", device="cpu")


@functools.cache
def weights():
    return zeroshot_weights(clip(), ["cat", "dog", "car"], ["a photo of a {}"])


def pixels(n=6):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def table(n, c, seed=0, dtype=torch.float32):
    return (3 * torch.randn(n, c, generator=torch.Generator().manual_seed(seed))).softmax(1).to(dtype)


# Selection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_selection_is_the_balanced_one_where_every_class_is_chosen(dtype):
    p = table(200, 5, dtype=dtype)
    rows, labels, confidence = select_confident(p, 7)
    theirs, their_labels = balanced_confident(p, 7)
    assert rows.tolist() == theirs.tolist() and labels.tolist() == their_labels.tolist()
    torch.testing.assert_close(confidence, p[rows, labels])


def test_a_class_that_nobody_chooses_takes_second_then_third_choices():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.7, 0.2, 0.1]])
    rows, labels, confidence = select_confident(p, 1)  # class 2 is everybody's third choice with 0.1: the earliest row
    assert rows.tolist() == [2, 1, 0] and labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(confidence, torch.tensor([0.7, 0.4, 0.1]))
    assert select_confident(p, 1, choices=2)[1].tolist() == [0, 1]  # without third choices class 2 stays empty


def test_one_class_one_picture_and_a_thousand_classes():
    assert [t.tolist() for t in select_confident(torch.ones(1, 1), 16)] == [[0], [0], [1.0]]
    rows, labels, _ = select_confident(table(300, 1000), 2)
    assert len(rows) == len(set(rows.tolist())) and labels.max() < 1000


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 8), st.integers(0, 10**6))
def test_no_picture_twice_and_at_most_k_of_a_class(n, c, k, seed):
    rows, labels, _ = select_confident(table(n, c, seed), k)
    assert len(set(rows.tolist())) == len(rows) and torch.bincount(labels, minlength=c).max() <= k


@given(st.integers(2, 30), st.integers(0, 10**6))
def test_the_order_of_the_pictures_does_not_matter(n, seed):
    p = table(n, 4, seed, torch.float64)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    a, b = select_confident(p, 3), select_confident(p[order], 3)
    assert a[0].tolist() == order[b[0]].tolist() and a[1].tolist() == b[1].tolist()


def test_bad_selections_are_refused():
    for bad in (lambda: select_confident(torch.ones(3), 2), lambda: select_confident(torch.full((2, 2), torch.nan), 1)):
        with pytest.raises(ClipkitError):
            bad()
    with pytest.raises(ClipkitError, match="at least 1"):
        select_confident(torch.ones(2, 2), 0)
    with pytest.raises(ClipkitError, match="share"):
        confident_count(10, 2, share=0)


# Labeller ----------------------------------------------------------------------------------------


def test_labeller_equals_a_plain_loop():
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(40, 6, generator=g), torch.arange(40) % 3
    head = FeatureLabeller(hidden=8, epochs=3, batch=16, seed=5).fit(x, y, 3)
    torch.manual_seed(5)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(3):
        order = torch.randperm(40)
        for i in range(0, 40, 16):
            rows = order[i : i + 16]
            loss = F.cross_entropy(net(z[rows]), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
    torch.testing.assert_close(head.predict_logits(x), net(z).detach())


def test_labeller_learns_repeats_and_leaves_the_seed_alone():
    g = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 4
    x = F.normalize(torch.eye(4).repeat(1, 3)[y] + 0.3 * torch.randn(120, 12, generator=g), dim=1)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    head = FeatureLabeller().fit(x, y, 5)  # class 4 has no example
    assert torch.equal(torch.rand(1), expected)
    assert (head.predict_logits(x).argmax(1) == y).float().mean() > 0.95 and head.predict_logits(x).shape == (120, 5)
    assert torch.equal(head.predict_logits(x), FeatureLabeller().fit(x, y, 5).predict_logits(x))


def test_bad_labels_are_refused():
    x = torch.randn(4, 3)
    with pytest.raises(ClipkitError, match="not fitted"):
        FeatureLabeller().predict_logits(x)
    for y in (torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1])):
        with pytest.raises(ClipkitError):
            FeatureLabeller(epochs=1).fit(x, y, 3)
    with pytest.raises(ClipkitError, match="4 dimensions"):
        FeatureLabeller(epochs=1).fit(x, torch.zeros(4, dtype=torch.long), 2).predict_logits(torch.randn(2, 4))


# Student -----------------------------------------------------------------------------------------


def test_untrained_without_tokens_it_is_zero_shot():
    x = pixels()
    student = TunedTower(clip(), weights(), n=0)
    expected = clip().logit_scale * clip().encode_image(x) @ weights().T
    torch.testing.assert_close(student.predict_logits(x), expected.detach())
    raw = TunedTower(clip(), weights(), n=0, normalise=False).predict_logits(x)
    length = clip().module.visual(x).norm(dim=1, keepdim=True)
    torch.testing.assert_close(raw, (length * clip().encode_image(x) @ weights().T).detach(), atol=1e-4, rtol=1e-4)
    assert torch.equal(raw.argmax(1), expected.argmax(1))  # only the scale differs, so the same classes win


def test_smoothing_zero_is_cross_entropy():
    x, y = pixels(4), torch.tensor([0, 1, 2, 0])
    student = TunedTower(clip(), weights(), n=2)
    expected = F.cross_entropy(student.predict_logits(x), y).item()
    assert student.fit(x, y, steps=1, smoothing=0.0).losses_[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("norms", "head"), [(True, True), (False, True), (True, False), (False, False)])
def test_only_what_may_learn_moves_and_the_model_is_left_alone(norms, head):
    before = {k: v.clone() for k, v in clip().module.state_dict().items()}
    student = TunedTower(clip(), weights(), n=2, norms=norms, head=head)
    first = {k: v.clone() for k, v in student.model.module.state_dict().items()}
    tokens, w = student.prompts.detach().clone(), student.weight.detach().clone()
    student.fit(pixels(), torch.arange(6) % 3, steps=2, batch=3)
    assert all(torch.equal(v, before[k]) for k, v in clip().module.state_dict().items())
    moved = {k for k, v in student.model.module.state_dict().items() if not torch.equal(v, first[k])}
    assert all("ln_" in k and k.startswith("visual") for k in moved) and bool(moved) == norms
    assert torch.equal(student.weight, w) != head and not torch.equal(student.prompts, tokens)


def test_it_learns_its_teachers_labels():
    x, y = pixels(8), torch.arange(8) % 3
    student = TunedTower(clip(), weights(), n=2).fit(x, y, steps=8, lr=1e-2, smoothing=0.0, batch=8)
    assert student.losses_[-1] < 0.6 * student.losses_[0]
    again = TunedTower(clip(), weights(), n=2).fit(x, y, steps=8, lr=1e-2, smoothing=0.0, batch=8)
    assert torch.equal(student.predict_logits(x), again.predict_logits(x))


def test_strong_views_and_callback_are_used():
    seen = []
    TunedTower(clip(), weights(), n=1).fit(
        pixels(), torch.zeros(6, dtype=torch.long), steps=3, batch=4,
        strong=lambda x, g: seen.append(len(x)) or x, after_step=lambda step, student: seen.append(step),
    )  # fmt: skip
    assert seen == [4, 0, 4, 1, 4, 2]


def test_bad_students_are_refused():
    with pytest.raises(ClipkitError, match="nothing to learn"):
        TunedTower(clip(), weights(), n=0, norms=False, head=False).fit(pixels(), torch.zeros(6, dtype=torch.long))
    with pytest.raises(ClipkitError):
        TunedTower(clip(), weights()).fit(pixels(), torch.full((6,), 3))
    with pytest.raises(ClipkitError, match="are wanted"):
        TunedTower(clip(), torch.ones(3, 5))
    with pytest.raises(ClipkitError, match="no attention layers"):
        TunedTower(load_model("nano-conv", device="cpu"), torch.ones(2, load_model("nano-conv", device="cpu").embed_dim))


# Descriptions ------------------------------------------------------------------------------------


def test_description_embedding_is_the_mean_of_all_texts():
    pool = DescriptionPool({"cat": ["it has whiskers", "it is alive"], "car": ["it has wheels"]})
    found = description_embedding(clip(), pool, ["a photo of a {}", "a drawing of a {}"])
    texts = ["a photo of a car", "a drawing of a car", "a photo of a car, it has wheels"]
    torch.testing.assert_close(found[1], F.normalize(clip().text_features(texts).mean(0), dim=0))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_clusters_take_the_name_that_most_of_their_probability_has():
    x = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [5.0, 5.0], [5.1, 5.0]])
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.1, 0.9]])
    centres, names = named_clusters(x, p)
    near = torch.cdist(x, centres).argmin(1)
    torch.testing.assert_close(names[near[0]], p[:3].mean(0))  # the third picture goes with its neighbours
    assert names[near].argmax(1).tolist() == [0, 0, 0, 1, 1]
    for bad in (lambda: named_clusters(x, p[:3]), lambda: named_clusters(x, p, n_clusters=6)):
        with pytest.raises(ClipkitError, match="do not go together"):
            bad()
