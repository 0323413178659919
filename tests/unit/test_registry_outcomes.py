"""Outcomes: which record counts, one row for each claim and record, and the book's own records under the rule."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from builder.moved_tests import unexplained
from builder.runs import frozen
from clipkit.errors import ClipkitError
from clipkit.paths import ROOT
from clipkit.press.staleness import staleness
from clipkit.registry.claims import Claim, checked
from clipkit.registry.outcomes import counting, judged
from clipkit.registry.papers import load_registry
from clipkit.registry.records import load_records
from clipkit.registry.verdict import OUTCOMES

TINY = Path(__file__).parents[1] / "site" / "fixtures" / "data" / "papers.yml"
BOOK = [(entry.slug, record.file_name) for entry in load_registry().entries for record in load_records(entry.slug)]


@pytest.fixture(scope="module")
def record():
    return load_records("gda_adapter")[0]


def test_the_record_with_most_seeds_counts_and_the_newest_of_equals(record):
    short = replace(record, seeds=record.seeds[:2], date="2030-01-01")
    newer = replace(record, date="2029-01-01")
    other = replace(record, dataset={**record.dataset, "name": "folder:flowers"}, scale="photographs")
    assert counting([record, short]) == [record] == counting([short, record])
    assert counting([record, newer, other]) == [newer, other] and counting([]) == []


def test_a_row_for_each_claim_and_record(record):
    entry = load_registry().entry("gda_adapter")
    other = replace(record, dataset={**record.dataset, "name": "folder:flowers"}, scale="photographs", skipped={"C2": "no labels"})
    rows = judged(entry, [record, other])
    assert len(rows) == 2 * len(entry.claims) - 1 and len({row.row_id for row in rows}) == len(rows)
    first = rows[0]
    assert (first.claim.id, first.scale, first.n, first.seeds_vary) == ("C1", "world", len(record.seeds), "pictures")
    assert first.low < first.estimate < first.high and first.kind == "better" and {gate.name for gate in first.gates} == {"spread", "power"}
    assert [row.outcome for row in judged(entry, [])] == ["not run"] * len(entry.claims)


def test_a_record_that_lacks_an_arm_is_not_run_and_says_why(record):
    entry = load_registry().entry("gda_adapter")
    poorer = replace(record, scores=record.scores.select("gda"))
    row = judged(entry, [poorer])[0]
    assert row.outcome == "not run" and row.estimate is None and "tip_adapter" in row.note and "record the page again" in row.note


def test_what_cannot_be_tested_has_its_reason():
    entry = load_registry(TINY).entry("tiny_world")
    assert [(row.outcome, row.note) for row in judged(entry, [])] == [("not testable here", "There is nothing to measure.")]


@pytest.mark.parametrize("slug", sorted({slug for slug, _ in BOOK}))
def test_every_record_of_the_book_gets_its_words(slug):
    entry, records = load_registry().entry(slug), load_records(slug)
    for row in judged(entry, [record for record in records if not staleness(entry, record)]):
        assert row.outcome in OUTCOMES and (row.outcome != "not testable here" or row.note)
        assert all(gate.open is not None for gate in row.gates), f"{slug} {row.claim.id}: {row.gates}"
        assert row.record is None or row.estimate is not None, f"{slug} {row.claim.id}: {row.note}"


def _then(slug: str, name: str) -> tuple[dict | None, date]:
    """The entry when a record was made: at its commit, or for one made before commits were stored at the end of its day."""
    made = next(record for record in load_records(slug) if record.file_name == name)
    commit = made.commit
    if commit is None:
        asked = ["git", "rev-list", "-1", f"--until={made.date[:10]}T23:59:59", "HEAD"]
        commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return (frozen.entry_at(commit, slug) if commit else None), date.fromisoformat(made.date[:10])


@pytest.mark.parametrize(("slug", "name"), BOOK)
def test_what_moved_after_a_record_has_its_line(slug, name):
    then, made = _then(slug, name)
    if then is None:
        pytest.skip("this clone does not reach back to the record's commit")
    moved = unexplained(load_registry().entry(slug), then, made)
    assert moved == [], f"{slug}: {moved} changed after {name}; say under `changes` what, why, and what had been seen"


# ---- frozen before run


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with the small registry, committed."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "papers.yml").write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("CLIPKIT_DATA", str(data))
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return data / "papers.yml"


def rewrite(path: Path, change) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change({entry["slug"]: entry for entry in content["papers"]})
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def test_only_a_committed_entry_is_recorded(repository):
    commit = frozen.require_committed(load_registry().entry("tiny_paper"))
    assert len(commit) == 40 and frozen.entry_at(commit, "tiny_paper")["year"] == 2024
    rewrite(repository, lambda papers: papers["planned_paper"].update(year=2024))
    assert frozen.require_committed(load_registry().entry("tiny_paper")) == commit  # another entry is another matter
    with pytest.raises(ClipkitError, match="planned_paper of papers.yml is not committed"):
        frozen.require_committed(load_registry().entry("planned_paper"))
    rewrite(repository, lambda papers: papers["tiny_paper"]["claims"][0]["test"].update(margin=0.5))
    with pytest.raises(ClipkitError, match="tiny_paper of papers.yml is not committed as it is now; commit it"):
        frozen.require_committed(load_registry().entry("tiny_paper"))
    assert frozen.entry_at("0" * 40, "tiny_paper") is None


def test_a_registry_outside_git_cannot_be_recorded(tmp_path, monkeypatch):
    (tmp_path / "papers.yml").write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ClipkitError, match="in no git repository"):
        frozen.require_committed(load_registry().entry("tiny_paper"))


def test_the_command_refuses_before_it_runs_anything(repository, capsys):
    from clipkit.press.cli import main

    rewrite(repository, lambda papers: papers["tiny_paper"].update(year=2023))
    notebook = repository.parent.parent / "notebooks" / "few_shot" / "tiny_paper.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_text("no notebook at all", encoding="utf-8")
    assert main(["record", "tiny_paper"]) == 2
    assert "not committed as it is now" in capsys.readouterr().err


def test_a_moved_test_needs_a_line_from_after_the_record():
    entry = load_registry(TINY).entry("tiny_paper")
    then = yaml.safe_load(TINY.read_text(encoding="utf-8"))["papers"][0]
    day = date(2026, 5, 1)
    assert unexplained(entry, then, day) == []
    stricter = {**then["claims"][0], "test": {**then["claims"][0]["test"], "margin": 2.0}}
    line = {"date": date(2026, 5, 2), "what": "δ 2", "why": "asked", "seen": "the record"}
    for changes, expected in (([], ["C1"]), ([line], []), ([{**line, "date": date(2026, 4, 30)}], ["C1"])):
        claim = checked(Claim, {**stricter, "changes": changes}, "test")
        assert unexplained(entry.model_copy(update={"claims": (claim, *entry.claims[1:])}), then, day) == expected
    reworded = checked(Claim, {**then["claims"][0], "text": "Said otherwise."}, "test")
    assert unexplained(entry.model_copy(update={"claims": (reworded,)}), then, day) == []


def test_the_old_shape_of_a_test_is_the_same_test():
    entry = load_registry(TINY).entry("tiny_paper")
    old = {
        "metric": "accuracy",
        "unit": "points",
        "method": "median",
        "baseline": "mean",
        "kind": "better",
        "margin": 5.0,
        "scale": "world",
    }
    then = yaml.safe_load(TINY.read_text(encoding="utf-8"))["papers"][0]
    claims = [then["claims"][0], {"id": "C2", "text": "t", "test": old}]
    assert unexplained(entry, {"claims": claims}, date(2026, 5, 1)) == []
    claims[1]["test"]["baseline"] = ["mean", "zero"]
    assert unexplained(entry, {"claims": claims}, date(2026, 5, 1)) == ["C2"]
