"""Figures and numbers show the record where one stands for the run, and say so; else the run."""

import pandas as pd
import pytest

from clipkit import lab
from clipkit.registry.records import Record
from clipkit.registry.scores import Scores

PRESETS = {"full": {"n_seeds": 5, "shots": 4}, "quick": {"n_seeds": 1, "shots": 2}}
HASHES = {"definitions": [], "registry": "r", "models": {}, "data": {}}


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))


def runs_of(lead, n):
    return pd.DataFrame({"new": [50.0 + lead + i / 10 for i in range(n)], "old": [50.0] * n}, index=pd.Index(range(n), name="seed"))


def start(preset, **parameters):
    given = {"model": "nano", "dataset": "world", **parameters}
    return lab.start("page", PRESETS, preset=preset, entry={"slug": "page", "claims": []}, **given)


def record(lead):
    run = start("full")
    facts = {"hashes": HASHES, "versions": {}, "seconds": 1.0, "date": "2026-01-02", "book": True}
    return Record.from_output(run.report(runs_of(lead, len(run.seeds))).payload, **facts)


def live(lead=9.0, **parameters):
    return start("quick", **parameters), runs_of(lead, 1)


def test_the_record_of_all_seeds_stands_for_a_run_of_one(capsys):
    kept = record(3.0)
    kept.write()
    run, runs = live()
    shown = run.evidence(runs)
    assert (run.shown["shots"], run.shown["n_seeds"], run.shots) == (4, 5, 2)
    assert isinstance(shown, pd.DataFrame) and shown.index.tolist() == kept.seeds and len(shown) > 1
    said = capsys.readouterr().out
    assert f"show the record ({len(kept.seeds)} seeds, preset full, 2026-01-02)" in said and "this run's one seed" in said
    for free in ({"seed": 7}, {"device": "cpu"}, {"n_seeds": 2}):
        assert len(live(**free)[0].evidence(runs)) == len(kept.seeds)


def test_a_run_of_something_else_shows_itself(capsys):
    record(3.0).write()
    cases = [
        ({"model": "nano-dino"}, "no record of this model and data"),
        ({"shots": 3}, "run with other parameters"),
    ]
    for parameters, why in cases:
        run, runs = live(**parameters)
        assert run.evidence(runs) is runs and run.shown["n_seeds"] == 1
        assert why in capsys.readouterr().out
    run = start("full")
    assert run.evidence(runs := runs_of(9.0, len(run.seeds))) is runs
    assert "as many seeds as the record" in capsys.readouterr().out


class Folder:
    """As much of a data set as a run notes."""

    images = ()

    def __init__(self, name, fingerprint):
        self.name, self.fingerprint = name, fingerprint


def test_another_folder_of_the_same_name_does_not_get_the_records_numbers(capsys):
    def started(preset, path, fingerprint):
        run = start(preset, dataset=path)
        run.uses(Folder(path, fingerprint))
        return run

    run = started("full", "folder:/a/cifar10", "ab")
    facts = {"hashes": HASHES, "versions": {}, "seconds": 1.0, "date": "2026-01-02", "book": True}
    Record.from_output(run.report(runs_of(3.0, 5)).payload, **facts).write()
    mine = runs_of(9.0, 1)
    assert len(started("quick", "folder:/b/cifar10", "ab").evidence(mine)) == 5  # the same pictures elsewhere
    assert started("quick", "folder:/c/cifar10", "cd").evidence(mine) is mine
    assert "no record of this model and data" in capsys.readouterr().out


def test_a_record_without_the_runs_arms_is_too_old(capsys):
    record(3.0).write()
    run, runs = live()
    assert run.evidence(more := runs.assign(new_arm=1.0)) is more
    axed = Scores([0])
    axed.update(runs.iloc[0].to_dict(), shots=4)
    assert run.evidence(axed) is axed
    assert capsys.readouterr().out.count("older than the page's experiment") == 2


def test_the_run_is_a_thin_mark_on_the_record():
    kept, mine = runs_of(3.0, 5), runs_of(9.0, 1)
    with lab.figure(alt="bars") as axes:
        assert "diamonds: this run" in lab.bars(kept, ax=axes, live=mine)
        (marks,) = (line for line in axes.lines if line.get_marker() == "d")
        order = kept.mean().sort_values(ascending=False).index
        assert list(marks.get_xdata()) == mine[order].mean().tolist()
    with lab.figure(alt="bars") as axes:
        assert "diamonds" not in lab.bars(kept, ax=axes, live=kept)
    with lab.figure(alt="bars") as axes:
        fewer = mine[mine.columns[:1]]
        lab.bars(kept, ax=axes, live=fewer)  # an arm that the run lacks has no mark
    table = pd.DataFrame({"x": [1, 2] * 3, "y": [1.0, 2.0, 1.5, 2.5, 1.2, 2.2], "arm": "a"})
    with lab.figure(alt="curves") as axes:
        said = lab.curves(table, "x", "y", "arm", ax=axes, live=table.head(2))
        assert said == "bands: smallest to largest of 3 seeds; thin lines: this run"
        assert [line.get_linewidth() for line in axes.lines].count(0.8) == 1
    with lab.figure(alt="curves") as axes:
        assert "thin" not in lab.curves(table, "x", "y", "arm", ax=axes, live=table)
