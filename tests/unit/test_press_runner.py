"""Running notebooks: skipping, failing, being killed; records and the ledger on what was run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import nbformat
import pytest

from builder import counts
from builder.runs import record
from clipkit.errors import ClipkitError
from clipkit.paths import ROOT
from clipkit.press import hashing, notebooks, runner
from clipkit.press import ledger as books
from clipkit.registry.papers import load_registry

FIXTURES = Path(__file__).parents[1] / "site" / "fixtures"
SMALL = """
papers:
  - {slug: %s, title: T, authors: [A], year: 2024, venue: null, arxiv: null, code: null, part: video, tags: [], idea: I., claims: []}
"""


def desk(folder: Path) -> Path:
    """A data folder and a notebooks folder of one's own."""
    shutil.copytree(FIXTURES, folder, dirs_exist_ok=True)
    return folder / "data"


def add_page(data: Path, slug: str, *cells: str) -> None:
    papers = data / "papers.yml"
    papers.write_text(papers.read_text(encoding="utf-8") + SMALL.split("papers:\n")[1] % slug, encoding="utf-8")
    first = nbformat.v4.new_code_cell("preset = 'quick'\nseed = 0", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = data.parent / "notebooks" / "video" / f"{slug}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Four pages run once: one good, one that fails, one whose worker is killed, one that must not notice."""
    data = desk(tmp_path_factory.mktemp("desk"))
    add_page(data, "fails", "x = 1", "# a comment\ny = 1 / 0", "z = 3")
    add_page(data, "killer", "import os\nos.kill(os.getppid(), 9)\nimport time\ntime.sleep(60)")
    add_page(
        data,
        "plain",
        "import sys, os, matplotlib\nprint(sys.executable)\nprint(os.environ['MPLBACKEND'], seed, os.environ.get('CLIPKIT_PRESET'))",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPKIT_DATA", str(data))
        patch.setenv("CLIPKIT_PRESET", "smoke")
        patch.setenv("CLIPKIT_WARM", "light")
        patch.setenv("MPLBACKEND", "agg")
        registry = load_registry()
        jobs = [runner.job_for(registry.entry(slug), {"preset": "smoke"}) for slug in ("fails", "killer", "plain", "tiny_paper")]
        results = {result.slug: result for result in runner.run_jobs(jobs, n_jobs=2, progress=False)}
        yield registry, results, data


def test_each_page_has_its_result(ran):
    _, results, _ = ran
    assert {slug: result.state for slug, result in results.items()} == {
        "fails": "failed",
        "killer": "killed",
        "plain": "ran",
        "tiny_paper": "ran",
    }


def test_a_failure_names_its_cell_line_and_error(ran):
    _, results, _ = ran
    assert "cell [3] `# a comment`" in results["fails"].why and "ZeroDivisionError: division by zero" in results["fails"].why
    kept = notebooks.read(results["fails"].output)
    assert any(cell.source == "z = 3" and not cell.outputs for cell in kept.cells if cell.cell_type == "code")
    assert "FAILED fails" in runner.summary(list(results.values()))


def test_a_killed_worker_is_told(ran):
    _, results, _ = ran
    assert "signal 9" in results["killer"].why
    assert runner.read_status(results["killer"].output)["ok"] is False


def test_kernel_is_this_interpreter_with_figures_in_the_page(ran):
    _, results, _ = ran
    cell = [c for c in notebooks.read(results["plain"].output).cells if c.cell_type == "code"][-1]
    assert cell.outputs[0].text.split() == [sys.executable, "module://matplotlib_inline.backend_inline", "0", "None"]


def test_status_says_what_it_cost(ran):
    _, results, _ = ran
    status = runner.read_status(results["tiny_paper"].output)
    assert status["seconds"] > 0 and status["peak_mb"] > 20
    assert {"clipkit.lab.run.start", "notebook.experiment"} <= set(status["parts"]["definitions"].values())
    assert json.dumps(status).count(str(ROOT)) == 0  # nothing of the machine


def test_up_to_date_is_skipped_and_failures_are_not(ran, monkeypatch):
    registry, results, data = ran
    jobs = [runner.job_for(registry.entry(slug), {"preset": "smoke"}) for slug in ("tiny_paper", "fails")]
    assert runner.is_fresh(jobs[0]) and not runner.is_fresh(jobs[1])
    assert runner.run_jobs(jobs[:1], progress=False)[0].state == "fresh"
    assert not runner.is_fresh(runner.job_for(registry.entry("tiny_paper"), {"preset": "smoke", "seed": 1}))


def test_prose_needs_no_new_run_but_code_does(ran):
    registry, _, _ = ran
    entry = registry.entry("tiny_paper")
    text = entry.notebook_path.read_text(encoding="utf-8")
    try:
        entry.notebook_path.write_text(text.replace("The mean wins, as it must.", "It wins."), encoding="utf-8")
        assert runner.is_fresh(runner.job_for(entry, {"preset": "smoke"}))
        entry.notebook_path.write_text(text.replace("< 0.5", "< 0.6"), encoding="utf-8")
        assert not runner.is_fresh(runner.job_for(entry, {"preset": "smoke"}))
    finally:
        entry.notebook_path.write_text(text, encoding="utf-8")


def test_wrong_parameters_are_told_before_anything_runs(ran):
    registry, _, _ = ran
    with pytest.raises(ClipkitError, match="unknown parameter of tiny_paper"):
        runner.job_for(registry.entry("tiny_paper"), {"n_draw": 3})
    with pytest.raises(ClipkitError, match="no notebook planned_paper yet"):
        runner.job_for(registry.entry("planned_paper"), {})


@pytest.fixture(scope="module")
def recorded(ran):
    registry, _, data = ran
    entry = registry.entry("tiny_paper")
    job = runner.job_for(entry, {"preset": "full"}, record.record_output("tiny_paper", {"preset": "full"}))
    result = runner.run_jobs([job], progress=False)[0]
    made = record.make_record(entry, notebooks.read(result.output), runner.read_status(result.output), book=True)
    made.write()
    return registry, made, data


def test_record_holds_the_seeds_and_no_place(recorded):
    _, made, data = recorded
    text = next((data / "records" / "tiny_paper").glob("*.json")).read_text(encoding="utf-8")
    assert len(made.seeds) == 6 and set(made.claims) == {"C1", "C2"}
    assert str(data) not in text and str(ROOT) not in text
    assert made.versions["torch"] and made.hashes["definitions"]


def test_a_record_goes_stale_with_the_code_and_says_why(recorded):
    registry, made, _ = recorded
    assert record.stale_records(registry) == []
    entry = registry.entry("tiny_paper")
    text = entry.notebook_path.read_text(encoding="utf-8")
    try:
        entry.notebook_path.write_text(text.replace("< 0.5", "< 0.6"), encoding="utf-8")
        assert record.staleness(entry, made) == ["notebook.experiment"]
        assert all(row.stale for row in books.ledger(registry) if row.record)
    finally:
        entry.notebook_path.write_text(text, encoding="utf-8")
    parts = hashing.record_parts(entry, notebooks.read(entry.notebook_path), made.parameters)
    seeding = next(it for it, name in parts["definitions"].items() if name.endswith(".seed_everything"))
    before = replace(made, hashes={**made.hashes, "definitions": ["0", *(it for it in made.hashes["definitions"] if it != seeding)]})
    assert record.staleness(entry, before) == ["clipkit.lab.seeds.seed_everything"]


def test_ledger_judges_the_recorded_seeds(recorded):
    registry, made, _ = recorded
    rows = {(row.entry.slug, row.claim.id): row for row in books.ledger(registry)}
    first, second = rows["tiny_paper", "C1"], rows["tiny_paper", "C2"]
    assert (first.outcome, second.outcome, rows["tiny_paper", "C3"].outcome) == ("holds", "reversed", "not testable here")
    by_hand = made.scores.values("mean") - made.scores.values("one_draw")
    assert first.estimate == pytest.approx(by_hand.mean()) and first.low < first.estimate < first.high
    assert counts.count(rows.values()) == {
        "claims": 4,
        "tested": 2,
        "not testable here": 2,
        "not run": 0,
        "stale": 0,
        "checked property": 0,
    }
    assert counts.headlines(rows.values()) == {"tested": 1, "everywhere": 1, "somewhere": 0, "nowhere": 0}
    assert books.to_csv(list(rows.values())).count("\n") == 5
    assert "reversed" in books.to_text(list(rows.values()))


def test_interrupting_keeps_what_is_finished(tmp_path):
    data = desk(tmp_path)
    add_page(data, "quickly", "x = 1")
    add_page(data, "slowly", "import time\ntime.sleep(120)")
    environment = {**os.environ, "CLIPKIT_DATA": str(data), "CLIPKIT_WARM": "light", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "clipkit", "run", "quickly", "slowly", "--preset", "smoke"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a test run in the background of a shell inherits deaf ears
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, preexec_fn=heard, **pipes)
    unfinished = data / "runs" / "smoke" / "slowly.partial.ipynb"
    end = time.monotonic() + 240  # seconds; a few on an idle machine
    while not unfinished.exists() and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "what was finished is kept" in told
    assert (data / "runs" / "smoke" / "quickly.ipynb").is_file() and not unfinished.exists()
