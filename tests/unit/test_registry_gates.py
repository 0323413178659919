"""Gates: each opens and shuts at its border, and only the four that withhold a verdict do so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.registry.claims import Claim, ClaimTest, checked
from clipkit.registry.contrast import scores_of
from clipkit.registry.gates import BLOCKING, blocked, measure
from clipkit.registry.outcomes import judge_claim, judge_test
from clipkit.registry.stats import t_interval

NOISE = [0.1, -0.2, 0.0, 0.2, -0.1]
BASE = {"metric": "m", "unit": "points", "method": "good", "baselines": ["poor"], "kind": "better", "margin": 1}


def made(**means: float) -> dict[str, list[float]]:
    """Five seeds of each arm around its mean; arms move apart by turning the noise."""
    return {arm: [mean + NOISE[(i + turn) % 5] for i in range(5)] for turn, (arm, mean) in enumerate(means.items())}


def gate(name: str, runs: dict, **test):
    found = [one for one in measure(checked(ClaimTest, {**BASE, **test}, "test"), scores_of(runs)) if one.name == name]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("top", "is_open"), [(72.01, True), (71.98, False)])
def test_headroom_is_twice_the_margin(top, is_open):
    runs = made(good=73, poor=70, oracle=top)
    for ceiling in ("oracle", top):
        found = gate("headroom", runs, gates={"ceiling": ceiling})
        assert found.open is is_open and found.numbers["room"] == pytest.approx(top - 70)
    mirrored = {arm: [-v for v in values] for arm, values in runs.items()}
    assert gate("headroom", mirrored, gates={"ceiling": "oracle"}, direction="lower").open is is_open


def test_headroom_of_a_number_is_above_its_null():
    runs = made(good=0.9)
    assert not gate("headroom", runs, baselines=[], kind="above", null=0.8, margin=0.2, gates={"ceiling": 1}).open
    assert gate("headroom", runs, baselines=[], kind="above", null=0.5, margin=0.2, gates={"ceiling": 1}).open


@pytest.mark.parametrize(
    ("beats", "by", "is_open"), [(50, 0, True), (50, 6, False), ("pixels", 0, False), ([50, "pixels"], 0, False), (55, 0, False)]
)
def test_a_stand_in_beats_the_hardest_of_its_rivals(beats, by, is_open):
    runs = made(good=73, poor=70, helper=55, pixels=56)
    found = gate("stand-in", runs, gates={"stand_ins": [{"arm": "helper", "beats": beats, "by": by}]})
    assert found.open is is_open and "helper 55 against" in found.words


def test_a_trivial_arm_that_passes_shuts_the_gate():
    runs = made(good=73, poor=70, nothing=72.5)
    shut = gate("triviality", runs, gates={"trivial": ["nothing"]})
    assert shut.open is False and "nothing passes the same test" in shut.words
    assert gate("triviality", made(good=73, poor=70, nothing=70.2), gates={"trivial": ["nothing"]}).open
    # an arm that is among the baselines is held against the others
    assert gate("triviality", runs, baselines=["poor", "nothing"], gates={"trivial": ["nothing"]}).open is False
    assert gate("triviality", made(good=70, poor=70, nothing=69.9), kind="no_worse", gates={"trivial": ["nothing"]}).open is False


def test_no_spread_is_no_evidence():
    runs = {"good": [1, 2, 3, 4, 5], "poor": [1, 2, 3, 4, 5]}
    found = gate("spread", runs)
    assert found.open is False and found.words.startswith("the method is poor")
    assert gate("spread", {**runs, "good": [3, 4, 5, 6, 7]}).words == "every seed gives the same number"
    assert gate("spread", made(good=3, poor=1)).open
    identity = {"good": [1e-15] * 5}
    assert gate("spread", identity, baselines=[], kind="equivalent", null=0).open  # an identity is the same everywhere
    assert gate("spread", identity, baselines=[], kind="above", null=0).open is False


@given(st.lists(st.integers(-200, 200).map(lambda i: i / 10), min_size=5, max_size=9), st.sampled_from([0.5, 1.0, 5.0]))
@settings(deadline=None)
def test_power_is_half_the_interval_against_the_margin(values, margin):
    runs = {"good": values, "poor": [0.0] * len(values)}
    found, interval = gate("power", runs, margin=margin), t_interval(values)
    half = interval.high - interval.estimate
    if abs(half - margin) > 1e-9:
        assert found.open == (half < margin) and ("would need about" in found.words) == (half > margin)
        assert found.open or found.numbers["seeds_needed"] > len(values)


def test_a_gate_whose_arm_was_not_measured_says_so_and_shuts_nothing():
    test = checked(ClaimTest, {**BASE, "gates": {"ceiling": "oracle", "trivial": ["nothing"]}}, "test")
    found = {one.name: one for one in measure(test, scores_of(made(good=73, poor=70)))}
    assert found["headroom"].open is None and "not measured" in found["headroom"].words and found["triviality"].open is None
    assert blocked(list(found.values())) is None
    with pytest.raises(ClipkitError, match="'poor'"):  # an arm of the contrast itself is another matter
        measure(test, scores_of(made(good=73)))


def test_what_a_shut_gate_does_to_the_word():
    runs = made(good=73, poor=70, oracle=71)
    test = checked(ClaimTest, {**BASE, "gates": {"ceiling": "oracle"}}, "test")
    found = judge_test(test, scores_of(runs))
    assert (found.outcome, found.verdict.verdict) == ("not testable here", "holds") and found.note.startswith("headroom 1 points")
    noisy = {"good": [10, -8, 3, 9, -5], "poor": [0.0] * 5}
    wide = judge_test(checked(ClaimTest, BASE, "test"), scores_of(noisy))
    assert wide.outcome == "open" and "would need about" in wide.note and "power" not in BLOCKING
    far = judge_test(checked(ClaimTest, BASE, "test"), scores_of({"good": [40, 52, 43, 49, 45], "poor": [0.0] * 5}))
    assert far.outcome == "holds"  # a wide interval that lies beyond the marks decides
    few = judge_test(test, scores_of({arm: values[:4] for arm, values in runs.items()}))
    assert (few.outcome, few.note) == ("not run", "4 seeds; a verdict needs 5")
    better = judge_test(checked(ClaimTest, {**BASE, "kind": "no_worse"}, "test"), scores_of(runs))
    assert (better.outcome, better.note) == ("holds", "and better")


def test_a_claim_of_parts_is_as_good_as_its_worst():
    parts = [{**BASE, "name": "gain"}, {**BASE, "name": "harm", "method": "harm", "baselines": ["poor"], "kind": "no_worse"}]
    claim = checked(Claim, {"id": "C1", "text": "Gains without harm.", "origin": "paper", "parts": parts}, "test")
    found = judge_claim(claim, made(good=73, poor=70, harm=60))
    assert found.outcome == "reversed" and found.test.name == "harm" and found.note == "gain: holds; harm: reversed"
    assert [part.outcome for part in found.parts] == ["holds", "reversed"]
    assert judge_claim(claim, made(good=73, poor=70, harm=70)).outcome == "holds"
