"""The command line: one line for what the caller can mend, honest exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import builder.cli
from clipkit.errors import ClipkitError
from clipkit.paths import PACKAGE
from clipkit.press.cli import main
from clipkit.press.runner import Result

FIXTURES = Path(__file__).parents[1] / "site" / "fixtures"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tiny_papr"], "unknown page 'tiny_papr'; did you mean 'tiny_paper'"),
        (["run"], "name the pages to run, or say --all"),
        (["run", "planned_paper"], "no notebook yet for planned_paper"),
        (["run", "tiny_paper", "-p", "shots", "3"], "unknown parameter of tiny_paper 'shots'"),
        (["record"], "name the pages to record, or say --stale"),
    ],
)
def test_what_the_caller_can_mend_is_one_line_and_exit_code_2(desk, capsys, arguments, message):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("clipkit: ") and message in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--all", "--preset", "fast"], "'fast' is not one of 'smoke', 'quick', 'full'"),
        (["fly"], "No such command 'fly'"),
        (["run", "--all", "--fast"], "No such option: --fast"),
        (["run", "tiny_paper", "-p", "seed"], "requires 2 arguments"),
        (["run", "tiny_paper", "--jobs", "many"], "Invalid value for '--jobs'"),
        (["sweep", "tiny_paper"], "Missing option '--grid'"),
        (["sweep"], "Missing argument 'SLUG'"),
        ([], "Missing command"),
    ],
)
def test_what_does_not_exist_is_one_line_and_exit_code_2(desk, capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    out, told = capsys.readouterr()
    assert told.startswith("clipkit: ") and message in told and told.count("\n") == 1 and not out


@pytest.mark.parametrize(
    ("command", "name", "listed"),
    [
        (main, "clipkit", "run ledger papers features classify retrieve"),
        (builder.cli.main, "builder", "record sweep strip new check book page pdf readme size pretrain"),
    ],
)
def test_every_command_has_its_help(command, name, listed, desk, capsys):
    assert command(["--help"]) == 0
    assert " ".join(re.findall(r"^  ([a-z]+)  +\S", capsys.readouterr().out.partition("Commands:")[2], re.M)) == listed
    for one in listed.split():
        assert command([one, "-h"]) == 0 and f"Usage: {name} {one}" in capsys.readouterr().out


def test_the_builder_s_commands_are_there_in_a_clone_only(desk, monkeypatch, capsys):
    assert main(["readme", "--help"]) == 0 and "Usage: clipkit readme" in capsys.readouterr().out
    monkeypatch.setattr("clipkit.press.cli.BOOK", desk)
    with pytest.raises(SystemExit, match="2"):
        main(["record", "tiny_paper"])
    assert "'record' needs a clone of the book's repository" in capsys.readouterr().err


def test_parameters_are_typed_pairs_and_the_last_one_wins(desk, monkeypatch):
    seen = []

    def run_jobs(jobs, *rest):
        seen.append((jobs, rest))
        return [Result(job.name, "failed", "on purpose") for job in jobs]

    monkeypatch.setattr("clipkit.press.runner.run_jobs", run_jobs)
    assert main(["run", "tiny_paper", "-p", "seed", "-3", "--parameter", "pretrained", "None", "-p", "seed", "4", "--jobs", "2"]) == 1
    ((job,), rest) = seen[0]
    assert job.parameters == {"preset": "quick", "seed": 4, "pretrained": None} and rest == (2, False)
    monkeypatch.setattr("builder.runs.frozen.require_committed", lambda entry: "0" * 40)
    assert main(["record", "tiny_paper", "--force"]) == 1
    ((job,), rest) = seen[1]
    assert job.parameters == {"preset": "full"} and rest == (1, True)


def test_a_grid_takes_several_words(desk, monkeypatch):
    seen = []

    def plan(entry, words, common, arms):
        seen.append((entry.slug, words, common, arms))
        raise ClipkitError("seen")

    monkeypatch.setattr("builder.runs.sweep.plan", plan)
    assert main(["sweep", "tiny_paper", "--grid", "model=nano,lite", "seed=0..4", "--arms", "mean,zero", "--preset", "smoke"]) == 2
    assert seen == [("tiny_paper", ["model=nano,lite", "seed=0..4"], {"preset": "smoke"}, ["mean", "zero"])]


def test_an_interrupt_and_a_closed_pipe(desk, monkeypatch, capsys):
    def interrupted(registry):
        raise KeyboardInterrupt

    def closed(registry):
        raise BrokenPipeError

    monkeypatch.setattr("clipkit.press.ledger.ledger", interrupted)
    assert main(["ledger"]) == 130 and "what was finished is kept" in capsys.readouterr().err
    monkeypatch.setattr("clipkit.press.ledger.ledger", closed)
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # is put back afterwards
    assert main(["ledger"]) == 0 and sys.stdout is None


def test_it_runs_as_a_module(desk):
    done = subprocess.run([sys.executable, "-m", "clipkit", "papers"], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0 and "2 papers, 1 with a page" in done.stdout
    done = subprocess.run([sys.executable, "-m", "clipkit", "fly"], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_papers_and_ledger_print(desk, capsys):
    assert main(["papers"]) == 0 and "2 papers, 1 with a page; 1 pages of our own" in capsys.readouterr().out
    assert main(["ledger"]) == 0
    said = capsys.readouterr().out
    assert "the papers: 3 claims, 0 tested, 1 not testable here, 2 not run" in said and "our own pages: 1 claims" in said
    assert main(["ledger", "--csv", str(desk / "x.csv")]) == 0 and (desk / "x.csv").read_text().startswith("slug,claim")
    capsys.readouterr()
    assert main(["ledger", "--json", "-"]) == 0 and len(json.loads(capsys.readouterr().out)) == 4


def test_command_line_starts_quickly():
    start = time.perf_counter()
    heavy = "any(name in sys.modules for name in ('torch', 'matplotlib', 'papermill'))"
    code = f"import sys, clipkit.press.cli, clipkit.registry.papers; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0
    assert time.perf_counter() - start < 10  # generous: the machine may be busy; what matters is the line above
