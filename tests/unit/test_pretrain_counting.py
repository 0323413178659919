"""Counting: numbers in captions, the loss against false ones, how towers are tuned with it, what is counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError
from clipkit.language.caption_numbers import COUNTS, counterfactual_captions, stated_count, swap_number
from clipkit.pretrain import (
    CountingPairs,
    CountRecipe,
    OtherPairs,
    balancing_weights,
    count_scores,
    evaluate_counting,
    false_caption_loss,
    tune_to_count,
)
from clipkit.world.words import NUMBERS

numbers = st.sampled_from(COUNTS)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize(
    ("caption", "n"),
    [
        ("Two dogs run", 2),
        ("a group of TEN men", 10),
        ("someone pays attention often", None),  # one, ten, ten inside of words
        ("weighty freight", None),
        ("a two-seater", None),
        ("one dog", None),
        ("two men and three dogs", None),
        ("two men and two dogs", None),
        ("a three year old girl", None),
        ("a man on a four wheeler", None),
        ("player number five runs", None),
        ("2 dogs", None),
        ("", None),
    ],
)
def test_numbers_are_read_as_words_and_where_they_count_things(caption, n):
    assert stated_count(caption) == n


@given(numbers, numbers, st.sampled_from(["{} dogs often listen to someone's attention", "In the tent {} men sit.", "{}"]))
def test_a_swap_changes_one_word_and_is_undone_by_its_inverse(old, new, frame):
    caption = frame.format(NUMBERS[old])
    changed = swap_number(caption, old, new)
    assert changed == frame.format(NUMBERS[new]) and swap_number(changed, new, old) == caption


def test_case_is_kept_and_parts_of_words_are_left():
    assert swap_number("Ten men often attend", 10, 2) == "Two men often attend"
    assert swap_number("TEN MEN OFTEN", 10, 7) == "SEVEN MEN OFTEN"
    assert swap_number("six sixty-six sixes", 6, 9) == "nine sixty-six sixes"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("one dog", 1, 3), "two to ten"),
        (("two dogs", 2, 1), "noun would have to change"),
        (("two dogs", 3, 4), "0 times"),
        (("two men, two dogs", 2, 4), "2 times"),
    ],
)
def test_what_cannot_be_swapped(args, said):
    with pytest.raises(ClipkitError, match=said):
        swap_number(*args)


def test_counterfactuals_hold_the_caption_itself_in_its_place():
    rows = counterfactual_captions(["five cats", "Two dogs"], [5, 2])
    assert rows[0][3] == "five cats" and rows[1][0] == "Two dogs" and rows[1][8] == "Ten dogs"
    assert all(len(set(row)) == len(COUNTS) for row in rows)
    with pytest.raises(ValueError):
        counterfactual_captions(["five cats"], [5, 2])


@given(st.integers(1, 6), st.integers(1, 8), st.sampled_from([None, 1.0, 18.0]), st.integers(0, 99))
def test_loss_by_its_definition(n, m, scale, seed):
    v, t, f = unit(n, 5, seed=seed), unit(n, 5, seed=seed + 1), unit(n, m, 5, seed=seed + 2)
    s, total = 1.0 if scale is None else scale, 0.0
    for i in range(n):
        own = math.exp(s * float(v[i] @ t[i]))
        total -= math.log(own / (own + sum(math.exp(s * float(v[i] @ f[i, j])) for j in range(m)))) / n
    assert false_caption_loss(v, t, f, scale).item() == pytest.approx(total, rel=1e-9, abs=1e-12)
    least, most = (math.log1p(m * math.exp(sign * 2)) for sign in (-1, 1))
    if scale is None:
        assert least <= total <= most


def test_without_a_scale_the_loss_has_a_floor_and_a_short_gradient():
    v = unit(1, 4)
    assert false_caption_loss(v, v, -v[:, None]).item() == pytest.approx(math.log1p(math.exp(-2)))
    assert false_caption_loss(v, -v, v[:, None]).item() == pytest.approx(math.log1p(math.exp(2)))
    t, f = unit(1, 4, seed=1), unit(1, 1, 4, seed=2)
    x = F.normalize(t + f[0], dim=1)  # as near to the one as to the other
    for scale in (None, 20.0):
        v = x.clone().requires_grad_()
        false_caption_loss(v, t, f, scale).backward()
        assert v.grad.norm().item() == pytest.approx((scale or 1) * (t - f[0]).norm().item() / 2)


def test_weights_are_of_the_terms():
    v, t, f = unit(3, 4), unit(3, 4, seed=1), unit(3, 2, 4, seed=2)
    alone = false_caption_loss(v[:1], t[:1], f[:1])
    assert false_caption_loss(v, t, f, weight=torch.tensor([1.0, 0, 0])).item() == pytest.approx(alone.item() / 3)
    for bad in ((v, t[:2], f), (v, t, f[:, 0]), (v, t, f[:2])):
        with pytest.raises(ClipkitError, match="want"):
            false_caption_loss(*bad)
    with pytest.raises(ClipkitError, match="one weight"):
        false_caption_loss(v, t, f, weight=torch.ones(2))


def test_balance_by_hand():
    stated = torch.tensor([0, 0, 0, 1])
    assert balancing_weights(stated, "norm").tolist() == [0.25, 0.25, 0.25, 0.75]
    assert balancing_weights(stated, "modal").tolist() == [1, 1, 1, 3]
    with pytest.raises(ClipkitError, match="rule"):
        balancing_weights(stated, "square")


class Two(nn.Module):
    """Two linear towers."""

    def __init__(self, d: int):
        super().__init__()
        self.pictures, self.sentences = nn.Parameter(torch.eye(d)), nn.Parameter(torch.eye(d))
        self.register_buffer("logit_scale", torch.tensor(10.0))

    def encode_image(self, x):
        return F.normalize(x @ self.pictures, dim=1)

    def encode_text(self, x):
        return F.normalize(x @ self.sentences, dim=1)


def material(n: int, seed: int, k: int = 4):
    """Pictures of k numbers of three kinds of things: one-hot number, one-hot kind, noise; captions say both in other coordinates."""
    dice = torch.Generator().manual_seed(seed)
    shown, kind = torch.randint(k, (n,), generator=dice), torch.randint(3, (n,), generator=dice)
    images = torch.cat([F.one_hot(shown, k), F.one_hot(kind, 3)], 1) + 0.1 * torch.randn(n, k + 3, generator=dice)
    number, thing = torch.arange(3 * k) % k, torch.arange(3 * k) // k
    texts = torch.cat([F.one_hot((number + 1) % k, k), F.one_hot(thing, 3)], 1).float()  # their numbers are one off
    pairs = CountingPairs(images, texts, kind[:, None] * k + torch.arange(k), shown, shown)
    return pairs, OtherPairs(images[:, torch.randperm(k + 3, generator=dice)], texts[kind * k])


def right(towers, pairs) -> float:
    return evaluate_counting(count_scores(towers, pairs), pairs.shown, 4)["accuracy"]


def test_the_loss_teaches_numbers_that_the_same_pairs_do_not():
    pairs, others = material(400, 0)
    asked, start = material(200, 1)[0], Two(7)
    short = {"steps": 30, "batch": 32, "counting": 8, "lr": 0.03}
    plain, taught = (tune_to_count(start, pairs, others, CountRecipe(weight=w, **short)) for w in (0.0, 3.0))
    assert right(start, asked) < 30 and right(taught, asked) > right(plain, asked) + 8
    assert torch.equal(start.pictures, torch.eye(7)) and taught.logit_scale == 10  # a copy; the temperature stays


@pytest.mark.parametrize(("tower", "moved"), [("image", "pictures"), ("text", "sentences")])
def test_one_tower_alone(tower, moved):
    pairs, others = material(60, 0)
    student = tune_to_count(Two(7), pairs, others, CountRecipe(tower=tower, steps=2, batch=16, counting=4))
    changed = {name for name, p in student.named_parameters() if not torch.equal(p, torch.eye(7))}
    assert changed == {moved}


def test_captions_with_wrong_numbers_are_learnt_as_they_stand():
    pairs, _ = material(3000, 0)
    noisy = pairs.spoilt(0.3, 5)
    assert torch.equal(noisy.shown, pairs.shown) and abs((noisy.stated != noisy.shown).float().mean() - 0.3) < 0.03
    assert torch.equal(pairs.spoilt(0.0, 5).stated, pairs.shown)
    wrong = noisy.stated != noisy.shown
    shift = (noisy.stated - noisy.shown)[wrong] % 4
    assert torch.bincount(shift, minlength=4)[1:].float().std() < 0.1 * wrong.sum()  # all wrong numbers about equally often
    kept = noisy.rows(~wrong)
    assert torch.equal(kept.stated, kept.shown) and len(kept.captions) == len(kept.images) == int((~wrong).sum())


def test_all_false_numbers_and_one_are_the_same_with_two_numbers():
    pairs, others = material(60, 0, k=2)
    how = {"steps": 3, "batch": 16, "counting": 4}
    one, every = (tune_to_count(Two(5), pairs, others, CountRecipe(wrong=w, **how)) for w in ("one", "all"))
    torch.testing.assert_close(one.pictures, every.pictures)


@pytest.mark.parametrize(("wrong", "said"), [({"wrong": "two"}, "false"), ({"tower": "none"}, "tower"), ({"counting": 16}, "both"),
                                             ({"balance": "x"}, "balance"), ({"weight": -1.0}, "weight")])  # fmt: skip
def test_recipes_that_will_not_do(wrong, said):
    pairs, others = material(40, 0)
    with pytest.raises(ClipkitError, match=said):
        tune_to_count(Two(7), pairs, others, CountRecipe(**{"steps": 1, "batch": 16, "counting": 4} | wrong))


def test_even_draws_show_rare_numbers_as_often():
    from clipkit.pretrain import counting

    pairs, _ = material(400, 0)
    few = pairs.rows(torch.cat([torch.where(pairs.shown == 0)[0], torch.where(pairs.shown == 3)[0][:4]]))
    seen = {}
    for even in (False, True):
        batches = counting._batches(few, 50, CountRecipe(batch=24, counting=8, even=even))
        rows = torch.cat([next(batches)[0] for _ in range(100)])
        seen[even] = (few.stated[rows] == 3).float().mean().item()
    assert seen[False] < 0.08 and abs(seen[True] - 0.5) < 0.08


def test_what_is_counted_by_hand():
    shown, guesses = torch.tensor([0, 0, 0, 2]), torch.tensor([0, 1, 0, 0])
    found = evaluate_counting(guesses, shown, 3)
    assert found["accuracy"] == pytest.approx((200 / 3 + 0) / 2) and found["mad"] == pytest.approx((1 / 3 + 2) / 2)
    assert found["confusion"].tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 0]] and np.isnan(found["per_count"][1])
    assert evaluate_counting(F.one_hot(guesses, 3), shown, 3)["accuracy"] == found["accuracy"]
