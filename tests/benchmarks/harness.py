"""Two ways to one result, timed in turns: A B, B A, A B … Whatever else the machine does falls on both, so their ratio stays.

A round is one turn of each; every round gives a ratio, and the median over rounds is reported with its quartiles. The clock is the
CPU time of this process, which does not run while others hold the core; ways that work in several threads at once are compared by
wall-clock time instead, and their line says so: such a gain needs idle cores, and on a busy machine the ratio tends to that of one
thread. Threads of torch must then sleep while they wait (`OMP_WAIT_POLICY=PASSIVE`): spinning ones, short of cores, slow the peer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

BUDGET = 2.0  # seconds a pair, by the wall clock: all cases together take three minutes on two idle cores
TURN = 0.02  # seconds a turn at least: a shorter call is repeated within its turn
FEWEST = 3  # rounds, where three take longer than the budget
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


def take_turns(
    calls: Sequence[Callable[[], object]],
    check: Callable[..., object],
    budget: float,
    clock: Callable[[], float],
    wall: Callable[[], float] = time.perf_counter,
    setup: Callable[[], object] | None = None,
) -> list[list[float]]:
    """Seconds a call of each of `calls`, one number a round.

    First every call is made once, untimed, and `check(*results)` raises when they are wrong. A budget of 0 ends there. One timed call
    of each then tells how often a turn repeats it; where none needs that, these calls are the first round. `setup` runs, untimed,
    before each turn; a turn then is a single call.
    """

    def prepared(call):
        if setup:
            setup()
        return call()

    def turn(call, repeats) -> float:
        if setup:
            setup()
        start = clock()
        for _ in range(repeats):
            call()
        return (clock() - start) / repeats

    check(*map(prepared, calls))
    times: list[list[float]] = [[] for _ in calls]
    if not budget:
        return times
    start = wall()
    single = [turn(call, 1) for call in calls]
    repeats = [1 if setup else math.ceil(TURN / max(seconds, 1e-6)) for seconds in single]
    if max(repeats) == 1:
        times = [[seconds] for seconds in single]
    while wall() - start < budget or len(times[0]) < FEWEST:
        turns = list(zip(calls, repeats, times, strict=True))
        for call, n, found in turns if len(times[0]) % 2 == 0 else reversed(turns):
            found.append(turn(call, n))
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    names = ("least", "lower", "median", "upper", "most")
    return dict(zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True))


@dataclass(frozen=True)
class Pair:
    """Ours against a named peer; seconds a call, one number a round."""

    name: str
    peer: str
    clock: str
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> dict[str, float]:
        """`spread` of the rounds' ratios, their time over ours: above 1, ours is faster."""
        return spread([b / a for a, b in zip(self.ours, self.theirs, strict=True)])

    def cells(self) -> list[str]:
        r = self.ratio
        return [
            *(self.name, self.peer, f"{short(r['median'])} ×", f"{short(r['lower'])}–{short(r['upper'])}"),
            *(milliseconds(self.ours), milliseconds(self.theirs), str(len(self.ours)), self.clock),
        ]

    def record(self) -> dict:
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True)
class Pace:
    """How much of something is done a second, where there is no peer; seconds a call, one number a round."""

    name: str
    unit: str
    amount: int
    clock: str
    seconds: list[float]
    note: str = ""

    @property
    def rate(self) -> dict[str, float]:
        """`spread` of the amounts a second."""
        return spread([self.amount / s for s in self.seconds])

    def cells(self) -> list[str]:
        r = self.rate
        return [
            *(self.name, self.note, f"{short(r['median'])} {self.unit}/s", f"{short(r['lower'])}–{short(r['upper'])}"),
            *(milliseconds(self.seconds), "", str(len(self.seconds)), self.clock),
        ]

    def record(self) -> dict:
        return asdict(self) | {"rate": self.rate}


def short(value: float) -> str:
    """Three figures, or all those before the point."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def milliseconds(seconds: Sequence[float]) -> str:
    return f"{short(1000 * float(np.median(seconds)))} ms"


PAIRS = ["case", "peer", "peer / ours", "quartiles", "ours", "peer", "rounds", "clock"]
PACES = ["case", "", "pace", "quartiles", "a call", "", "rounds", "clock"]


def table(heads: list[str], rows: Sequence[Pair | Pace]) -> list[str]:
    """One aligned line a case under a line of heads: words to the left, numbers to the right."""
    lines = [heads, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ([c.ljust(w) if i < 2 or i == 7 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))] for line in lines)
    return ["  ".join(line).rstrip() for line in aligned]
