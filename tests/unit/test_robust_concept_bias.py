"""The bias of associated concepts: shares of answers, the correction by pictures' mean, and the regression, each computed another way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from clipkit.errors import ClipkitError
from clipkit.robust import asked_scores, association_bias, association_regression

N, O, K, D = 40, 4, 5, 7


def words(seed: int, n: int = N, k: int = K):
    """Two different words a picture."""
    dice = np.random.default_rng(seed)
    own = dice.integers(0, k, n)
    return own, (own + dice.integers(1, k, n)) % k, dice


@given(st.integers(0, 200), st.integers(1, 60))
def test_shares_add_up_and_the_score_follows_from_them(seed, n):
    own, other, dice = words(seed, n)
    found = association_bias(dice.integers(0, K, n), own, other)
    assert found.right + found.swap + found.neither == pytest.approx(100)
    assert found.score == pytest.approx(0.5 + (found.swap - found.right) / 200) and 0 <= found.score <= 1


@given(st.integers(0, 200))
def test_who_asks_for_the_other_thing_gets_the_mirrored_score(seed):
    own, other, dice = words(seed)
    guesses = dice.integers(0, K, N)
    one, two = association_bias(guesses, own, other), association_bias(guesses, other, own)
    assert (one.right, one.swap) == (two.swap, two.right) and one.score == pytest.approx(1 - two.score)
    order = np.random.default_rng(seed).permutation(K)  # words have no order
    assert association_bias(order[guesses], order[own], order[other]) == one


def test_extremes():
    own, other, _ = words(1)
    assert association_bias(own, own, other) == (100, 0, 0, 0)
    assert association_bias(other, own, other) == (0, 100, 0, 1)
    third = np.array([next(k for k in range(K) if k not in (a, b)) for a, b in zip(own, other, strict=True)])
    assert association_bias(third, own, other) == (0, 0, 100, 0.5)


def features(seed: int):
    dice = torch.Generator().manual_seed(seed)
    image, text, reference = (normalize(torch.randn(*shape, D, generator=dice), dim=-1) for shape in ((N,), (O, K), (9,)))
    return image, text, reference, torch.randint(O, (N,), generator=dice)


def test_scores_one_by_one_and_less_each_prompts_mean():
    image, text, reference, asked = features(0)
    plain, corrected = asked_scores(image, text, asked), asked_scores(image, text, asked, reference)
    for i in (0, 7, N - 1):
        for k in range(K):
            prompt = text[asked[i], k]
            assert plain[i, k].item() == pytest.approx(float(image[i] @ prompt), abs=1e-6)
            mean = np.mean([float(one @ prompt) for one in reference])
            assert corrected[i, k].item() == pytest.approx(float(image[i] @ prompt) - mean, abs=1e-6)


def test_corrected_scores_do_not_see_what_all_pictures_share():
    image, text, reference, asked = features(1)
    shift = torch.randn(D, generator=torch.Generator().manual_seed(5))
    moved = asked_scores(image + shift, text, asked, reference + shift)
    torch.testing.assert_close(moved, asked_scores(image, text, asked, reference), atol=1e-5, rtol=0)


def pulled(seed: int, weights, noise: float = 0.1):
    """Scores made of the four columns with known weights; nouns are shown in colours that need not be theirs."""
    own, other, dice = words(seed, 600)
    association = dice.random((O, K))
    a, b = dice.integers(0, O, (2, 600))
    columns = [np.eye(K)[own], np.eye(K)[other], association[a], association[b]]
    scores = sum(w * c for w, c in zip(weights, columns, strict=True)) + noise * dice.normal(size=(600, K)) + dice.normal(size=(600, 1))
    return torch.as_tensor(scores), own, other, *map(torch.as_tensor, columns[2:]), a * O + b


@pytest.mark.parametrize("weights", [(1, 1, 0, 0), (0.2, 0.5, 0.1, 0.8), (1, 0, -0.5, 0)])
def test_regression_equals_least_squares_with_a_dummy_a_picture(weights):
    scores, own, other, named, unnamed, clusters = pulled(2, weights)
    found = association_regression(scores, own, other, named, unnamed, clusters, draws=50)
    columns = [np.eye(K)[own], np.eye(K)[other], named.numpy(), unnamed.numpy()]
    dummies = np.repeat(np.eye(len(own)), K, axis=0)
    design = np.column_stack([np.stack(columns, 2).reshape(-1, 4), dummies])
    raw = np.linalg.lstsq(design, scores.numpy().ravel(), rcond=None)[0][:4]
    within = [c - c.mean(1, keepdims=True) for c in [*columns, scores.numpy()]]
    spread = np.array([np.sqrt((c**2).mean()) for c in within])
    np.testing.assert_allclose(found.beta, raw * spread[:4] / spread[4], rtol=1e-6)
    np.testing.assert_allclose(raw, weights, atol=0.05)
    assert (found.low <= found.beta + 0.02).all() and (found.beta - 0.02 <= found.high).all()


def test_scores_in_other_units_and_with_another_constant_a_picture_pull_alike():
    scores, own, other, named, unnamed, clusters = pulled(3, (1, 1, 0, 0.5))
    one = association_regression(scores, own, other, named, unnamed, clusters, draws=20)
    two = association_regression(7 * scores + torch.arange(600.0)[:, None], own, other, 3 * named, unnamed - 2, clusters, draws=20)
    np.testing.assert_allclose(one.beta, two.beta, rtol=1e-6)


def test_a_bag_of_words_is_told_from_filling_in():
    bag = association_regression(*pulled(4, (1, 1, 0, 0), noise=1.0))
    assert abs(bag.beta[0] - bag.beta[1]) < 0.05 and (bag.low[2:] < 0).all() and (bag.high[2:] > 0).all()
    filling = association_regression(*pulled(4, (1, 1, 0, 1), noise=1.0))
    assert filling.low[3] > 0.05 and filling.low[2] < 0 < filling.high[2]


def test_the_interval_covers_what_all_clusters_would_say():
    """A weight that differs from cluster to cluster: an interval over pictures would be too narrow, that over clusters is not."""
    hits, truth, trials = 0, 1.0, 60
    for trial in range(trials):
        dice = np.random.default_rng(trial)
        cluster = np.repeat(np.arange(24), 10)
        own = dice.integers(0, K, 240)
        other, a, b = (own + dice.integers(1, K, 240)) % K, dice.random((240, K)), dice.random((240, K))
        pull = truth + dice.normal(size=24)[cluster][:, None]
        scores = torch.as_tensor(pull * b + 0.1 * dice.normal(size=(240, K)))
        found = association_regression(scores, own, other, torch.as_tensor(a), torch.as_tensor(b), cluster, 200, trial)
        spread = (
            np.sqrt(((b - b.mean(1, keepdims=True)) ** 2).mean()),
            (scores - scores.mean(1, keepdim=True)).square().mean().sqrt().item(),
        )
        hits += found.low[3] <= truth * spread[0] / spread[1] <= found.high[3]
    assert hits / trials > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: association_bias([0], [1], [1]), "same colour"),
        (lambda: association_bias([], [], []), "pictures"),
        (lambda: association_bias([0, 1], [0], [1]), "guesses"),
        (lambda: asked_scores(torch.rand(2, 3), torch.rand(2, 2, 4), [0, 1]), "dimensions"),
        (lambda: asked_scores(torch.rand(2, 4), torch.rand(2, 2, 4), [0, 2]), "asked"),
        (lambda: asked_scores(torch.full((2, 4), torch.nan), torch.rand(2, 2, 4), [0, 1]), "NaN"),
    ],
)
def test_failures(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()


def test_regression_refuses_what_it_cannot_separate():
    scores, own, other, named, _, clusters = pulled(5, (1, 1, 0, 0))
    with pytest.raises(ClipkitError, match="depend"):  # every unnamed thing in its own colour
        association_regression(scores, own, other, named, torch.eye(K)[torch.as_tensor(other)], clusters)
    with pytest.raises(ClipkitError, match="two clusters"):
        association_regression(scores, own, other, named, named.flip(0), np.zeros(600, int))
    with pytest.raises(ClipkitError, match="depend"):
        association_regression(scores, own, other, torch.ones(600, K), named, clusters)
    with pytest.raises(ClipkitError, match="rows"):
        association_regression(scores[:5], own, other, named, named, clusters)
