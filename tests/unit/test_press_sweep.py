"""Sweeps: the grid is checked first, every combination runs once, a failure or a killed worker costs only itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from builder.runs import cluster, grid, sweep, sweep_picture
from clipkit.errors import ClipkitError
from clipkit.lab import load_sweep
from clipkit.press import runner, task
from clipkit.press.cli import main
from clipkit.registry.papers import load_registry
from clipkit.registry.scores import Scores

pytest.importorskip("pyarrow", reason="needs the extra `cluster`")

REGISTRY = """
papers:
  - slug: tiny
    title: T
    authors: [A]
    year: 2024
    venue: null
    arxiv: null
    code: null
    part: video
    tags: []
    idea: I.
    claims:
      - {id: C1, text: "Better.", origin: headline,
         test: {metric: m, unit: points, method: good, baselines: [poor], kind: better, margin: 1}}
  - {slug: mute, title: T, authors: [A], year: 2024, venue: null, arxiv: null, code: null, part: video, tags: [], idea: I., claims: []}
"""
PARAMETERS = """
preset = "quick"
seed = 0
shots = 1
rate = None
flavour = "plain"
dataset = "world"
n_seeds = 1
slow = 0.0
"""
PRESETS = 'PRESETS = {"smoke": {"rate": 0.5}, "quick": {"rate": 0.5}}'
# It keeps a diary of its runs, fails where it is told to, and leaves what `run.claims` leaves.
BODY = """
import os, time
with open(os.environ["DIARY"], "a") as diary:
    diary.write(f"begin {shots} {seed}\\n")
time.sleep(slow)
"""
FAIL = "if flavour == 'sour':\n    raise ValueError(f'sour at {shots}')"
CLAIMS = """
from IPython.display import display
seeds = list(range(seed, seed + n_seeds))
scores = {"axes": ["arm"], "keys": [["good"], ["poor"]], "values": [[10.0 * shots + s for s in seeds], [1.0 * s for s in seeds]]}
used = {"model": None, "dataset": "world", "preset": preset, "shots": shots, "flavour": flavour}
payload = {"slug": "tiny", "seeds": seeds, "scores": scores, "parameters": used, "claims": {}}
display({"application/vnd.clipkit.claims+json": payload, "text/plain": "x"}, raw=True)
"""


def write_page(path: Path, *cells: str) -> None:
    first = nbformat.v4.new_code_cell(PARAMETERS.strip(), metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A registry and two pages of one's own: one good, one that leaves no claims output."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "papers.yml").write_text(REGISTRY, encoding="utf-8")
    write_page(tmp_path / "notebooks" / "video" / "tiny.ipynb", PRESETS, BODY, FAIL, CLAIMS)
    write_page(tmp_path / "notebooks" / "video" / "mute.ipynb", BODY)
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CLIPKIT_WARM", "light")
    monkeypatch.setenv("DIARY", str(tmp_path / "diary.txt"))
    return tmp_path


def diary(desk: Path) -> list[str]:
    path = desk / "diary.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def planned(*words: str, **common) -> sweep.Plan:
    return sweep.plan(load_registry().entry("tiny"), words, {"preset": "smoke", **common})


# the grid


def test_a_grid_is_the_product_of_its_axes_in_order(desk):
    made = planned("flavour=plain,sweet", "shots=1,2", "seed=3..5", rate="0.1")
    assert len(made.jobs) == 12 and made.axes["seed"] == [3, 4, 5]
    assert made.jobs[0].parameters == {"preset": "smoke", "rate": 0.1, "n_seeds": 1, "flavour": "plain", "shots": 1, "seed": 3}
    assert [job.name for job in made.jobs[:2]] == ["flavour=plain shots=1 seed=3", "flavour=plain shots=1 seed=4"]
    assert len({job.key for job in made.jobs}) == len({job.output for job in made.jobs}) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shot=1,2"], "unknown parameter of tiny 'shot'; did you mean 'shots'"),
        (["shots=1,two"], "parameter shots = 'two' .str.: a whole number is expected"),
        (["shots=1.5"], "parameter shots = 1.5 .float.: a whole number is expected"),
        (["rate=a"], "parameter rate = 'a' .str.: a number is expected"),  # known from the presets' table alone
        (["seed=4..0"], r"grid seed: the range 4..0 is empty; write 0..4"),
        (["shots="], "grid shots: an empty value"),
        (["shots=1,,2"], "grid shots: an empty value"),
        (["shots=1,2,1"], "grid shots: 1 stands there twice"),
        (["seed=0..3,2"], "grid seed: 2 stands there twice"),
        (["shots=1", "shots=2"], "shots is given twice"),
        (["shots"], "write NAME=VALUE"),
        (["=1"], "write NAME=VALUE"),
        (["preset=smoke,fast"], "unknown preset 'fast'"),
        (["dataset=folder:/a/photos,folder:/b/photos"], "two combinations are the same to tiny: dataset=folder:photos"),
        (["rate=0.5,None"], "two combinations are the same to tiny: rate=0.5"),
    ],
)
def test_a_bad_grid_is_one_line_before_anything_runs(desk, capsys, words, message):
    assert main(["sweep", "tiny", "--preset", "smoke", "--grid", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("clipkit: ") and told.count("\n") == 1
    with pytest.raises(ClipkitError, match=message):
        planned(*words)
    assert not diary(desk) and not (desk / "data" / "runs").exists()


def test_a_parameter_is_given_in_one_place(desk):
    with pytest.raises(ClipkitError, match="shots is in the grid and also given with -p"):
        planned("shots=1,2", shots=4)


def test_a_page_without_a_notebook_is_told(desk, capsys):
    (desk / "notebooks" / "video" / "mute.ipynb").unlink()
    assert main(["sweep", "mute", "--grid", "seed=0,1"]) == 2
    assert "no notebook yet for mute" in capsys.readouterr().err


def test_presets_that_are_not_a_literal_are_left_to_the_page():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%matplotlib inline\nPRESETS = {'smoke': dict(n=1)}")])
    assert grid.presets_of(notebook) is None


# running


def test_rows_failures_and_resuming(desk, capsys):
    line = ["sweep", "tiny", "--preset", "smoke", "--jobs", "2", "--out", str(desk / "out"), "--grid", "seed=0..1", "flavour=plain,sour"]
    assert main(line) == 1
    told = capsys.readouterr().out
    assert "2 ran, 0 up to date, 2 failed" in told
    assert "FAILED seed=0 flavour=sour: cell [4] `if flavour == 'sour':`: ValueError: sour at 1" in told
    table = pd.read_parquet(desk / "out" / "rows.parquet")
    assert len(table) == 4 and set(table.arm) == {"good", "poor"} and set(table.flavour) == {"plain"}
    assert table.attrs["combinations"] == 4 and table.attrs["finished"] == 2 and table.attrs["grid"]["seed"] == [0, 1]

    page = desk / "notebooks" / "video" / "tiny.ipynb"
    before = diary(desk)
    assert len(before) == 4
    assert main(line) == 1  # what is finished is not run again; what failed is
    assert "0 ran, 2 up to date, 2 failed" in capsys.readouterr().out and len(diary(desk)) == 6
    page.write_text(page.read_text(encoding="utf-8").replace("raise ValueError", "print"), encoding="utf-8")
    assert main(line) == 0  # other code: everything anew
    assert "4 ran, 0 up to date, 0 failed" in capsys.readouterr().out and len(diary(desk)) == 10
    table = load_sweep("out", root=desk)
    assert len(table) == 8 and not table.duplicated(["flavour", "seed", "arm"]).any()
    assert (desk / "out" / "summary.png").read_bytes()[:4] == b"\x89PNG"
    summary = pd.read_csv(desk / "out" / "summary.csv")
    assert summary[(summary.arm == "good") & (summary.flavour == "sour")]["mean"].item() == pytest.approx(10.5)


def test_a_page_without_claims_output_is_a_failure(desk, capsys):
    assert main(["sweep", "mute", "--preset", "smoke", "--grid", "seed=0"]) == 2
    told = capsys.readouterr()
    assert "FAILED seed=0: the run left no claims output" in told.out and "no combination is finished" in told.err


def fake_run(job, scores: Scores, **used) -> None:
    """What a run leaves behind, without running."""
    used = {"model": None, "dataset": "world", "preset": "smoke", **used}
    payload = {"slug": "tiny", "seeds": scores.seeds, "scores": scores.to_dict(), "parameters": used, "claims": {}}
    output = nbformat.v4.new_output("display_data", {"application/vnd.clipkit.claims+json": payload})
    Path(job.output).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])]), job.output)
    status = {"slug": "tiny", "ok": True, "error": None, "key": job.key, "seconds": 1.0, "peak_mb": 1, "parameters": job.parameters}
    task.status_path(job.output).write_text(pd.io.json.ujson_dumps(status), encoding="utf-8")


def test_overlapping_seeds_stand_in_the_table_once(desk):
    made = planned("shots=1,2", "seed=0..4", n_seeds=3)
    for job in made.jobs:
        shots, seed = job.parameters["shots"], job.parameters["seed"]
        scores = Scores(range(seed, seed + 3))
        scores.add("good", [100.0 * shots + s for s in scores.seeds])
        scores.add("poor", [0.0] * 3)
        scores.add("good", [1.0] * 3, where="elsewhere")  # a setting of the page's own has a row of its own
        fake_run(job, scores, shots=shots)
    table = sweep.rows(made)
    assert not table.duplicated(["shots", "seed", "arm"]).any()
    assert sorted(table[table.arm == "good"].value) == [100.0 * shots + s for shots in (1, 2) for s in range(7)]
    summary = sweep.summarise(table).set_index(["shots", "arm"])
    assert summary.loc[(2, "good"), "mean"] == pytest.approx(203) and summary.loc[(2, "good"), "seeds"] == 7
    half = 2.4469 * pd.Series(range(7)).std() / 7**0.5  # Student's 97.5 % point with six degrees of freedom
    assert summary.loc[(1, "good"), "high"] == pytest.approx(103 + half, abs=1e-3)
    assert "shots=1" in sweep.overview(sweep.summarise(table), made)


def test_a_committed_sweep_is_read_back_or_told(tmp_path):
    assert load_sweep("none", root=tmp_path) is None
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "rows.parquet").write_bytes(b"no parquet")
    with pytest.raises(ClipkitError, match="sweeps/broken/rows.parquet cannot be read"):
        load_sweep("broken", root=tmp_path)


def test_few_seeds_have_no_interval():
    table = pd.DataFrame({"shots": 1, "seed": [0, 1], "arm": "good", "value": [1.0, 3.0], "key": "k"})
    found = sweep.summarise(table).iloc[0]
    assert found["mean"] == 2.0 and pd.isna(found.low) and found.seeds == 2


def test_what_the_picture_is_drawn_along(desk):
    entry = load_registry().entry("tiny")
    assert sweep_picture.main_axis({"model": ["a", "b", "c"], "shots": [1, 2], "rate": [0.1, 0.2, 0.3], "seed": [0, 1, 2, 3]}) == "rate"
    assert sweep_picture.main_axis({"model": ["a", "b"], "slow": [True, False], "seed": [0, 1]}) is None
    assert sweep_picture.shown_arms(["other", "poor", "good"], entry) == {"points": ["good", "poor"]}
    assert sweep_picture.shown_arms(["other", "poor"], entry, ["other", "poor"]) == {"": ["other"], "points": ["poor"]}
    assert sweep_picture.shown_arms(["a", "b"], load_registry().entry("mute")) == {"": ["a", "b"]}
    with pytest.raises(ClipkitError, match="unknown arm 'god'; did you mean 'good'"):
        sweep_picture.shown_arms(["good"], entry, ["god"])
    table = pd.DataFrame([{"flavour": f, "seed": s, "arm": a, "value": 1.0 * s} for f in "xy" for s in (0, 1) for a in ("good", "poor")])
    assert sweep_picture.picture(table, {"": ["good", "poor"]}, {"flavour": ["x", "y"], "seed": [0, 1]}, "T")[:4] == b"\x89PNG"


# on a cluster


def test_no_scheduler_is_told(desk, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "PATIENCE", "1s")
    assert main(["sweep", "tiny", "--preset", "smoke", "--grid", "seed=0", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err
    assert main(["sweep", "tiny", "--preset", "smoke", "--grid", "seed=0", "--scheduler", "carrier-pigeon:home"]) == 2


def test_a_worker_with_other_code_refuses(desk):
    job = planned("seed=0").jobs[0]
    text = Path(job.source).read_text(encoding="utf-8")
    notebook, status = task.remote(replace(job, parts={**job.parts, "notebook": "0", "data": "1"}), text)
    assert notebook is None and not status["ok"] and not diary(desk)
    assert "a worker differs from the caller in: notebook, data" in status["error"]["error"]


def test_a_killed_worker_loses_nothing_and_repeats_nothing(desk):
    """LocalCluster over tcp: kill a worker once something is finished and something is running. Takes about 20 s."""
    distributed = pytest.importorskip("distributed")
    made = planned("shots=1,2", "seed=0..1", slow=1.0)
    results: list[runner.Result] = []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, protocol="tcp://", dashboard_address=None) as local:
        assert local.scheduler_address.startswith("tcp://")
        with distributed.Client(local) as client:
            pids = list(client.run(os.getpid).values())
        caller = threading.Thread(target=lambda: results.extend(cluster.run_on_cluster(made.jobs, local.scheduler_address, progress=False)))
        caller.start()
        wait_for(lambda: not caller.is_alive() or (any(map(runner.is_fresh, made.jobs)) and len(diary(desk)) >= 3))
        finished = [job for job in made.jobs if runner.is_fresh(job)]
        os.kill(pids[0], signal.SIGKILL)
        caller.join(timeout=240)
        assert not caller.is_alive()
    assert [result.state for result in results] == ["ran"] * 4
    begun = diary(desk)
    for job in finished:
        assert begun.count(f"begin {job.parameters['shots']} {job.parameters['seed']}") == 1
    assert 4 <= len(begun) <= 6  # at most what the killed worker had in hand, or had not yet sent home, ran again
    table = sweep.rows(made)
    assert len(table) == 8 and not table.duplicated(["shots", "seed", "arm"]).any()
    assert set(table.arm) == {"good", "poor"}
    assert sorted(table[table.arm == "good"].value) == [10.0, 11.0, 20.0, 21.0]
    assert all(result.state == "fresh" for result in runner.run_jobs(made.jobs, progress=False))


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.1)
