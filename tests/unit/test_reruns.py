"""A run is of what it says: the data it used, its own row, its own record, whatever else is called the same."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace

import nbformat
import pandas as pd
import pytest

from builder import cli as builder
from builder import pages
from builder.runs import record as press_record
from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.paths import ROOT
from clipkit.press import hashing, notebooks
from clipkit.press.cli import main
from clipkit.press.ledger import to_text
from clipkit.registry.outcomes import counting, judged
from clipkit.registry.papers import load_registry
from clipkit.registry.records import Record, load_records, said_model

TEST = {"metric": "accuracy", "unit": "points", "method": "new", "baselines": ["old"], "kind": "better", "margin": 1.0}
ENTRY = {"slug": "page", "claims": [{"id": "C1", "text": "New is better.", "origin": "headline", "test": TEST}]}
PRESETS = {"quick": {"n_seeds": 2}, "full": {"n_seeds": 5}}
PAGES = {entry.slug: notebooks.read(entry.notebook_path) for entry in load_registry().finished()}
HASHES = {"definitions": ["0a"], "registry": "c", "models": {}, "data": {}}


def runs_of(lead: float, n: int = 5) -> pd.DataFrame:
    return pd.DataFrame({"new": [50.0 + lead + i / 10 for i in range(n)], "old": [50.0] * n}, index=pd.Index(range(n), name="seed"))


class Data:
    """As much of a data set as a run notes."""

    images, fingerprint = (), "ab"

    def __init__(self, name: str):
        self.name = name


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))
    return tmp_path


def start(preset="full", uses=(), **parameters):
    given = {"model": "nano", "pretrained": None, "dataset": "world", **parameters}
    run = lab.start("page", PRESETS, preset=preset, entry=ENTRY, **given)
    run.uses(*uses)
    return run


def record(lead=3.0, book=True, data=(), preset="full", **parameters) -> Record:
    uses = [Data(parameters["dataset"])] if ":" in parameters.get("dataset", "") else []
    run = start(preset, uses, **parameters)
    hashes = {**HASHES, "data": dict(data)}
    facts = {"hashes": hashes, "versions": {}, "seconds": 1.0, "date": "2026-01-02", "book": book}
    return Record.from_output(run.report(runs_of(lead, len(run.seeds))).payload, **facts)


# ---- the data of a run


def test_a_page_that_takes_the_world_only_refuses_the_rest():
    with pytest.raises(ClipkitError, match="page runs on world only, not on 'folder:x': leave out -p dataset"):
        lab.start("page", PRESETS, entry=ENTRY, dataset="folder:x", datasets=("world",))
    assert lab.start("page", PRESETS, entry=ENTRY, dataset="world", datasets=("world",)).datasets == ("world",)


def test_the_data_set_is_the_one_that_was_used(own_data):
    drew = start(uses=[Data("world")], dataset="folder:/a/flowers").report(runs_of(3)).payload
    assert (drew["dataset"]["name"], drew["scale"]) == ("world", "world")
    looked = start(uses=[Data("folder:/a/flowers"), Data("world")], dataset="folder:/a/flowers").report(runs_of(3))
    assert (looked.payload["dataset"]["name"], looked.payload["scale"]) == ("folder:flowers", "photographs")
    assert "folder:flowers" in looked.text.splitlines()[0]
    with pytest.raises(ClipkitError, match="asked for 'folder:flowers' and noted no data set: call run.uses"):
        start(dataset="folder:/a/flowers").report(runs_of(3))
    assert start().report(runs_of(3)).payload["dataset"]["name"] == "world"


def _calls(page, name: str) -> list[ast.Call]:
    tree = ast.parse("\n".join(hashing.code_cells(page)))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name]


@pytest.mark.parametrize("slug", sorted(PAGES))
def test_a_page_takes_a_folder_or_refuses_it(slug):
    """Either `lab.start` is told the data sets, or `dataset` reaches a call that loads it, and `run.uses` notes data."""
    (begun,) = [call for call in _calls(PAGES[slug], "start") if ast.unparse(call.func) == "lab.start"]
    told = next((k.value.elts for k in begun.keywords if k.arg == "datasets"), ())
    allowed = [ast.literal_eval(name) for name in told if not isinstance(name, ast.Starred)]  # starred: drawings the page names
    tree = ast.parse("\n".join(hashing.code_cells(PAGES[slug])))
    loads = [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and any(isinstance(a, ast.Name) and a.id == "dataset" or ast.unparse(a) == "run.dataset" for a in call.args)
    ]
    if allowed:
        assert not any(":" in name for name in allowed)
    else:
        assert loads, f"{slug} never loads `dataset`: give lab.start datasets=('world',)"
        assert _calls(PAGES[slug], "uses"), f"{slug} never notes the data it used"


@pytest.mark.parametrize("slug", sorted(PAGES))
def test_every_model_a_parameter_names_takes_weights(slug):
    parameters = notebooks.parameters(PAGES[slug])
    bare = [
        ast.unparse(call)
        for call in _calls(PAGES[slug], "load_model")
        if isinstance(call.args[0], ast.Name) and call.args[0].id in parameters and len(call.args) < 2
    ]
    assert not bare, f"{slug}: {bare} cannot be given a tag or a checkpoint; add a parameter for it"


# ---- its row


def test_a_run_on_other_data_has_a_row_and_an_outcome_of_its_own(own_data):
    record(3.0).write()
    (world,) = start().report(runs_of(-3)).cards
    assert [row.outcome for row in world.strips] == ["holds"] and world.on(world.rows[0]).outcome == "reversed"
    for other in ({"dataset": "folder:/a/flowers"}, {"model": "lite"}, {"pretrained": "random"}):
        uses = [Data(other["dataset"])] if "dataset" in other else []
        (card,) = start(uses=uses, **other).report(runs_of(-3)).cards
        assert [(row.outcome, row.record.model) for row in card.strips] == [("holds", "nano")]
        assert card.twin is None and card.live.outcome == "reversed" and card.on(card.rows[0]) is None
        assert "⇄ reversed" in card.text.partition("this run")[2] and "✓ holds, world" in card.text.partition("this run")[0]


def test_random_weights_are_called_untrained(own_data):
    report = start(uses=[Data("folder:x")], dataset="folder:x", model="RN50", pretrained="random").report(runs_of(3))
    assert report.payload["scale"] == "photographs" and "RN50 untrained" in report.text and "random" not in report.text
    assert said_model("RN50", "random") == "RN50 untrained"


# ---- its record


def test_what_differs_stands_beside_and_the_same_overwrites(own_data):
    flowers = {"dataset": "folder:/one/flowers", "model": "lite"}
    made = [
        record(),
        record(seed=7),
        record(n_pool=9),
        record(pretrained="/runs/a/epoch_5.pt", data={"pretrained": "aa"}),
        record(pretrained="/runs/b/epoch_5.pt", data={"pretrained": "bb"}),
        record(**flowers, data={"dataset": "aa"}),
        record(**{**flowers, "dataset": "folder:/two/flowers"}, data={"dataset": "bb"}),
    ]
    names = [press_record.save(one).name for one in made]
    assert len(set(names)) == len(made) == len(load_records("page"))
    again = press_record.save(record(lead=2.0, device="cpu", book=False))
    assert again.name == names[0] and len(load_records("page")) == len(made)
    assert Record.read(again).book, "recorded again, the book's record is still the book's"
    assert record(**flowers, data={"dataset": "aa"}).identity == made[5].identity


def test_a_renewed_record_leaves_none_behind(own_data):
    old = record(n_test=400)
    press_record.save(old)
    press_record.save(record(n_test=512, book=False), old)
    (left,) = load_records("page")
    assert left.parameters["n_test"] == 512 and left.book


def test_own_records_never_take_the_place_of_the_books(own_data):
    book, own = record(3.0), replace(record(-3.0, book=False, seed=5), date="2030-01-01")
    assert counting([book, own]) == [book]
    entry = load_registry().entry("gda_adapter").model_copy(update={"slug": "page", "claims": _claims()})
    rows = judged(entry, [own, book])
    assert [(row.own, row.outcome) for row in rows] == [(False, "holds"), (True, "reversed")]
    assert len({row.row_id for row in rows}) == 2 and "(your record)" in to_text(rows)
    assert [(row.own, row.outcome) for row in judged(entry, [own])] == [(False, "not run"), (True, "reversed")]
    for one in (book, own):
        one.write()
    (card,) = start().report(runs_of(3)).cards
    assert [row.own for row in card.strips] == [False, True] and card.twin is card.rows[0]
    assert card.text.count("your record") == 1


def _claims():
    from clipkit.registry.claims import Claim, checked

    return tuple(checked(Claim, spec, "test") for spec in ENTRY["claims"])


def test_a_record_of_one_seed_does_not_stop_the_page_that_prints_records(own_data):
    """The cell of judging_claims that prints the records' C1, run with a record without an interval."""
    shipped = next(one for one in load_records("judging_claims") if one.book)
    replace(
        shipped, seeds=[0], scores=shipped.scores.join({0: dict.fromkeys(shipped.scores.arms(), 1.0)}), book=False, preset="smoke"
    ).write()
    (cell,) = [source for source in hashing.code_cells(PAGES["judging_claims"]) if "lab.judged(" in source]
    run = type("Run", (), {"entry": load_registry().entry("judging_claims")})
    exec(cell, {"lab": lab, "run": run})
    assert any(row.record and row.low is None for row in judged(run.entry, load_records("judging_claims")))


# ---- what a run depends on, and where it writes


def test_a_run_is_not_up_to_date_when_a_file_it_was_given_changed(tmp_path):
    entry = load_registry().entry("caps_adapter")
    texts = tmp_path / "texts.json"
    texts.write_text("{}")
    given = {**notebooks.parameters(PAGES["caps_adapter"]), "descriptions": str(texts)}
    before = [hashing.run_parts(entry, PAGES["caps_adapter"], given), hashing.record_parts(entry, PAGES["caps_adapter"], given)]
    texts.write_text('{"cat": []}')
    after = [hashing.run_parts(entry, PAGES["caps_adapter"], given), hashing.record_parts(entry, PAGES["caps_adapter"], given)]
    assert [hashing.differences(*pair) for pair in zip(before, after, strict=True)] == [["descriptions"]] * 2
    assert hashing.key(before[0]) != hashing.key(after[0])


def test_strip_writes_utf8_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.ipynb"
    text = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("'é → ✓'", execution_count=3)]))
    path.write_text(text, encoding="utf-8")
    plain = {**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    plain["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "book")))
    done = subprocess.run([sys.executable, "-m", "builder", "strip", str(path)], env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert notebooks.read(path).cells[0].source == "'é → ✓'" and notebooks.read(path).cells[0].execution_count is None
    lone = text.replace("✓", "\\ud800")  # half a character: JSON can say it, UTF-8 cannot
    path.write_text(lone, encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        builder.main(["strip", str(path)])
    assert path.read_text(encoding="utf-8") == lone and list(tmp_path.iterdir()) == [path]


def test_a_sweep_asks_for_its_folder_before_the_work(own_data, monkeypatch, capsys):
    monkeypatch.delenv("CLIPKIT_DATA")
    monkeypatch.setattr("clipkit.press.runner.run_jobs", lambda *_: pytest.fail("it ran"))
    (own_data / "taken").write_text("")
    line = ["sweep", "gda_adapter", "--grid", "seed=0,1", "--grid", "n_test=32,48", "--out", str(own_data / "taken")]
    assert main(line) == 2 and "cannot write in" in capsys.readouterr().err


def test_a_second_grid_adds_its_axes(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("clipkit.press.runner.run_jobs", lambda jobs, *_: seen.extend(jobs) or [])
    monkeypatch.setattr("builder.runs.sweep.write", lambda *_: pd.DataFrame())
    monkeypatch.setattr("builder.runs.sweep.overview", lambda *_: "")
    main(["sweep", "gda_adapter", "--grid", "seed=0,1", "--grid", "n_test=32,48", "--out", str(tmp_path)])
    assert [(job.parameters["seed"], job.parameters["n_test"]) for job in seen] == [(0, 32), (0, 48), (1, 32), (1, 48)]


def test_the_site_shows_own_records_apart_and_counts_none(own_data):
    registry = load_registry()
    book = next(one for one in load_records("gda_adapter") if one.book)
    own = replace(book, book=False, parameters={**book.parameters, "seed": 9})
    rows = judged(registry.entry("gda_adapter"), [own, book])
    table = pages.fill("<!-- clipkit:ledger -->", registry, rows, set(), {})
    counted, _, apart = table.partition("rows of your own records, which are not counted")
    mine = [row.row_id for row in rows if row.own]
    assert mine and all(f'id="{name}"' in apart and f'id="{name}"' not in counted for name in mine)
    for marker in ("counts", "transfer", "gallery", "part few_shot", "ledger_counts"):
        text = f"<!-- clipkit:{marker} -->"
        assert pages.fill(text, registry, rows, set(), {}) == pages.fill(
            text, registry, judged(registry.entry("gda_adapter"), [book]), set(), {}
        )
