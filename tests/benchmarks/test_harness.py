"""The harness itself, with a clock that only the timed calls move."""

from __future__ import annotations

import json
import re

import pytest

from tests.benchmarks import harness
from tests.benchmarks.harness import Pace, Pair, short, spread, table, take_turns

pytest_plugins = "pytester"


class Desk:
    """A clock, and calls that take a given time on it, seen in their order."""

    def __init__(self):
        self.now, self.seen = 0.0, []

    def clock(self) -> float:
        return self.now

    def call(self, name, seconds, result=None):
        def made():
            self.seen.append(name)
            self.now += seconds
            return result

        return made

    def turns(self, *calls, budget, check=lambda *results: None, **more):
        return take_turns(calls, check, budget, self.clock, self.clock, **more)


def test_rounds_alternate_after_a_warm_up():
    desk = Desk()
    a, b = desk.turns(desk.call("A", 1.0), desk.call("B", 3.0), budget=20.0)
    assert "".join(desk.seen) == "AB" + "ABBAABBAAB"
    assert a == pytest.approx([1.0] * 5) and b == pytest.approx([3.0] * 5)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.5, 20), (2.0, 5), (4.0, 3), (5.0, 3), (30.0, 3)])
def test_rounds_follow_the_budget(seconds, rounds):
    """Ten seconds of rounds, three of them at least."""
    desk = Desk()
    a, b = desk.turns(desk.call("A", seconds / 2), desk.call("B", seconds / 2), budget=10.0)
    assert len(a) == len(b) == rounds


def test_short_calls_are_repeated_within_a_turn():
    desk = Desk()
    a, b = desk.turns(desk.call("A", harness.TURN / 7.5), desk.call("B", 1.0), budget=3.0)
    assert "".join(desk.seen) == "AB" + "AB" + "".join(("A" * 8 + "B", "B" + "A" * 8)[i % 2] for i in range(len(a)))
    assert a == pytest.approx([harness.TURN / 7.5] * len(a)) and b == pytest.approx([1.0] * len(b))


def test_setup_runs_before_each_turn_and_is_not_timed():
    desk = Desk()
    a, b = desk.turns(desk.call("A", 0.001), desk.call("B", 0.002), budget=9.0, setup=desk.call("s", 1.0))
    assert "".join(desk.seen).startswith("sAsBsAsBsBsAsAsBsBsA")
    assert a == pytest.approx([0.001] * len(a)) and b == pytest.approx([0.002] * len(b))


def test_no_budget_only_checks():
    desk, seen = Desk(), []
    assert desk.turns(desk.call("A", 1.0, "ours"), desk.call("B", 1.0, "theirs"), budget=0, check=lambda *r: seen.append(r)) == [[], []]
    assert desk.seen == ["A", "B"] and seen == [("ours", "theirs")]


def test_what_differs_is_not_timed():
    desk = Desk()

    def same(a, b):
        assert a == b

    with pytest.raises(AssertionError):
        desk.turns(desk.call("A", 1.0, 1), desk.call("B", 1.0, 2), budget=10.0, check=same)
    assert desk.seen == ["A", "B"]


def test_ratio_is_the_median_of_the_rounds_ratios():
    """A load that slows whole rounds, whatever its size, leaves the ratio where it is; the ratio of medians would move."""
    load = [1.0, 10.0, 3.0, 1.5, 20.0]
    found = Pair("p", "q", "cpu", [0.1 * s for s in load], [0.4 * s for s in load])
    assert found.ratio == pytest.approx(dict.fromkeys(("least", "lower", "median", "upper", "most"), 4.0))
    uneven = Pair("p", "q", "cpu", [1.0, 1.0, 2.0, 1.0, 1.0], [1.0, 2.0, 6.0, 4.0, 5.0])
    assert uneven.ratio == {"least": 1.0, "lower": 2.0, "median": 3.0, "upper": 4.0, "most": 5.0}


def test_pace_is_an_amount_a_second():
    assert Pace("p", "scenes", 100, "cpu", [0.5, 0.1, 0.25]).rate["median"] == pytest.approx(400)


def test_spread_interpolates():
    assert spread([1.0, 2.0]) == {"least": 1.0, "lower": 1.25, "median": 1.5, "upper": 1.75, "most": 2.0}


@pytest.mark.parametrize(("value", "text"), [(0.012345, "0.0123"), (1.0, "1.00"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")])
def test_short(value, text):
    assert short(value) == text


def test_one_aligned_line_a_pair():
    rows = [Pair("a", "a long peer", "cpu", [0.001] * 3, [0.01] * 3), Pair("a longer name", "b", "wall", [1.0] * 5, [0.5] * 5)]
    head, first, second = table(harness.PAIRS, rows)
    assert " ".join(first.split()) == "a a long peer 10.0 × 10.0–10.0 1.00 ms 10.0 ms 3 cpu"
    assert " ".join(second.split()) == "a longer name b 0.500 × 0.500–0.500 1,000 ms 500 ms 5 wall"
    assert head.index("clock") == first.index("cpu") == second.index("wall") and "a long peer" in first
    assert first.index("×") == second.index("×") and head.index("peer") == first.index("a long peer") == second.index(" b ") + 1


CASE = """
def test_sum(pair, size):
    n = size(1000, 10)
    def same(a, b):
        print("checked", n)
        assert a == b == {answer}
    pair("sum", lambda: n * (n - 1) // 2, lambda: sum(range(n)), "a loop", same)

def test_pace(pace):
    pace("range", lambda: list(range(50)), lambda found: found, 50, "numbers")
"""


@pytest.fixture
def folder(pytester, monkeypatch):
    """A folder of cases with this folder's fixtures, and a short budget."""
    monkeypatch.setenv("CLIPKIT_DATA", str(pytester.path / "data"))
    monkeypatch.setattr(harness, "BUDGET", 0.3)
    pytester.makeconftest("from tests.benchmarks.conftest import *")

    def run(*arguments, answer="n * (n - 1) // 2"):
        pytester.makepyfile(CASE.format(answer=answer))
        return pytester.runpytest_inprocess("-s", "-p", "no:cacheprovider", *arguments)

    run.report = pytester.path / "data" / "runs" / "bench.json"
    return run


def test_cases_are_only_checked_at_a_small_size(folder):
    result = folder()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*checked 10*"])
    result.stdout.no_fnmatch_line("*peer / ours*")
    assert not folder.report.exists()


def test_bench_times_the_full_size_and_writes_the_report(folder):
    result = folder("--bench")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*checked 1000*", "*peer / ours*", "sum * a loop * × * cpu", "*pace*", "range * numbers/s *"])
    assert sum(bool(re.match("sum ", line)) for line in result.outlines) == 1
    report = json.loads(folder.report.read_text())
    (found,), (pace,) = report["pairs"], report["paces"]
    assert found["name"] == "sum" and found["peer"] == "a loop" and len(found["ours"]) == len(found["theirs"]) >= harness.FEWEST
    assert pace["unit"] == "numbers" and pace["rate"]["median"] > 0


def test_a_wrong_answer_fails_without_a_line(folder):
    result = folder("--bench", answer=0)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("sum * a loop *")
