"""Pictures dealt out among the seeds of a run: nobody shares one, nothing is left over, and the interval keeps its promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipkit.dealing import deal_among, dealt, hand_of
from clipkit.registry.verdict import interval


@pytest.fixture(autouse=True)
def no_run():
    yield
    deal_among([])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 7), st.integers(0, 10_000))
def test_the_hands_are_a_partition_and_even_in_every_class(labels, hands, first):
    labels = np.array(labels)
    seeds = range(first, first + hands)
    deal_among(seeds)
    got = [dealt(labels, seed) for seed in seeds]
    assert sorted(np.concatenate(got).tolist()) == list(range(len(labels)))
    counts = np.array([np.bincount(labels[rows], minlength=4) for rows in got])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 1
    assert all((np.diff(rows) > 0).all() for rows in got)


def test_a_seed_that_is_not_of_the_run_sees_everything():
    deal_among([0, 1, 2])
    assert hand_of(100) == (0, 1) and dealt(5, 100).tolist() == [0, 1, 2, 3, 4]
    assert hand_of(2) == (2, 3)


def covered(choose, trials=1500, seeds=5, pictures=1000, effect=2.0):
    """How often the 95 % interval over seeds covers the true gain of one head over another, in percent.

    A data set is a sample of a population in which head B is right where A is wrong on 12 % of the pictures and the other way
    round on 10 %; a seed trains its own heads, whose gains differ by half a point.
    """
    rng, hits = np.random.default_rng(0), 0
    for _ in range(trials):
        gain = rng.choice([1.0, 0.0, -1.0], pictures, p=[0.12, 0.78, 0.10])
        values = [100 * gain[choose(rng, pictures, seed)].mean() + rng.normal(0, 0.5) for seed in range(seeds)]
        found = interval(values)
        hits += found.low <= effect <= found.high
    return 100 * hits / trials


def test_intervals_over_dealt_pictures_cover_what_they_say():
    deal_among(range(5))
    hands = {seed: dealt(1000, seed) for seed in range(5)}
    assert covered(lambda rng, n, seed: hands[seed]) >= 93.0


def test_intervals_over_pictures_drawn_with_replacement_do_not():
    # What the book did before: each seed a bootstrap sample of the same pictures.
    assert covered(lambda rng, n, seed: rng.integers(n, size=n)) < 85.0
