"""The cases' fixtures. Without `--bench` each case only checks, at a small size, that both ways agree; with it they are timed."""

from __future__ import annotations

import json
import os
import platform
import time

import pytest
import torch

from clipkit.paths import data_dir, writable
from tests.benchmarks import harness

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
CASES = pytest.StashKey[list]()
START = pytest.StashKey[tuple]()


def pytest_addoption(parser):
    parser.addoption("--bench", action="store_true", help="time the benchmarks' cases and print the ratios")


def pytest_configure(config):
    config.stash[CASES] = []
    config.stash[START] = time.time(), os.getloadavg()


@pytest.fixture(scope="session")
def timed(request) -> bool:
    """Whether cases are timed. The option is unknown where this folder was not named on the command line."""
    return request.config.getoption("--bench", default=False)


@pytest.fixture(scope="session")
def size(timed):
    """size(full, small): the size that is timed, or a small one that is only checked."""
    return lambda full, small: full if timed else small


@pytest.fixture
def threads():
    """threads(clock): torch has one thread under the CPU clock and all cores under the wall clock; restored at the end."""
    before = torch.get_num_threads()
    yield lambda clock: torch.set_num_threads(CORES if clock == "wall" else 1)
    torch.set_num_threads(before)


@pytest.fixture
def pair(request, timed, threads):
    """pair(name, ours, peer, peer_name, same): `same(our result, their result)` raises where they differ; then both are timed."""

    def run(name, ours, peer, peer_name, same, *, clock="cpu", setup=None):
        threads(clock)
        times = harness.take_turns((ours, peer), same, harness.BUDGET * timed, harness.CLOCKS[clock], setup=setup)
        if timed:
            request.config.stash[CASES].append(harness.Pair(name, peer_name, clock, *times))

    return run


@pytest.fixture
def pace(request, timed, threads):
    """pace(name, call, check, amount, unit): how many a second, for what has no peer; `check(result)` raises where it is wrong."""

    def run(name, call, check, amount, unit, note=""):
        threads("cpu")
        (times,) = harness.take_turns((call,), check, harness.BUDGET / 3 * timed, harness.CLOCKS["cpu"])
        if timed:
            request.config.stash[CASES].append(harness.Pace(name, unit, amount, "cpu", times, note))

    return run


def pytest_terminal_summary(terminalreporter, config):
    cases = config.stash.get(CASES, [])
    if not cases:
        return
    began, load = config.stash[START]
    pairs, paces = ([c for c in cases if isinstance(c, kind)] for kind in (harness.Pair, harness.Pace))
    print_line = terminalreporter.write_line
    terminalreporter.section("benchmarks")
    print_line("Rounds of ours and its peer in turns: the median of their ratio (above 1, ours is faster) and its quartiles.")
    print_line("cpu: CPU time, one thread. wall: wall-clock time, all cores; what several threads gain shows only while cores are idle.")
    for heads, rows in ((harness.PAIRS, pairs), (harness.PACES, paces)):
        if rows:
            print_line("")
            for line in harness.table(heads, rows):
                print_line(line)
    about = {
        "seconds": round(time.time() - began, 1),
        "cores": CORES,
        "load": {"before": load, "after": os.getloadavg()},
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    file = writable(data_dir() / "runs") / "bench.json"
    file.write_text(json.dumps(about | {"pairs": [c.record() for c in pairs], "paces": [c.record() for c in paces]}, indent=1))
    print_line("")
    print_line(
        f"{about['seconds']:.0f} s; load of {about['cores']} cores {load[0]:.1f} before, {about['load']['after'][0]:.1f} after; {file}"
    )
