"""The builder's commands: which there are, a new notebook, a stripped one; and the generated pages' markers."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from builder import api, cards, markup, pages
from builder.cli import main
from builder.settings import load_site
from clipkit.errors import ClipkitError
from clipkit.paths import ROOT
from clipkit.press.ledger import ledger
from clipkit.registry.papers import load_registry

FIXTURES = Path(__file__).parents[1] / "site" / "fixtures"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path / "data"))
    return tmp_path


def test_what_the_caller_can_mend_is_one_line_and_exit_code_2(desk, capsys):
    assert main(["new", "tiny_paper"]) == 2 and capsys.readouterr().err.startswith("builder: tiny_paper.ipynb exists already")
    with pytest.raises(SystemExit, match="2"):
        main(["new"])
    assert capsys.readouterr().err == "builder: Missing argument 'SLUG'; see: builder --help\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_finds_it(tmp_path):
    """Every target that calls the builder names a command that it has, and the folder it lies in."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\$\(BUILDER\) (\w+)", text))
    assert named == {"strip", "new", "check", "book", "page", "pdf", "pretrain", "readme", "size"}
    line = subprocess.run(["make", "-n", "--silent", "-o", ".venv/.installed", "size"], cwd=ROOT, capture_output=True, text=True).stdout
    assert line.strip() == "PYTHONPATH=book .venv/bin/python -m builder size"


def test_it_counts_what_is_written(capsys):
    assert main(["size"]) == 0
    said = capsys.readouterr().out
    written = lambda *place: sum(path.read_text(encoding="utf-8").count("\n") for path in ROOT.joinpath(*place).rglob("*.py"))  # noqa: E731
    made = {"clipkit": written("clipkit")} | {part: written("book", "builder", part) for part in ("recipes", "runs")}
    made["book/builder"] = written("book", "builder") - made["recipes"] - made["runs"]
    for name, lines in made.items():
        assert re.search(rf"^(book/builder/)?{name}\b.* {lines}  of ", said, re.M), name


def test_new_writes_a_notebook_that_parses(desk, capsys):
    assert main(["new", "planned_paper"]) == 0
    notebook = nbformat.read(desk / "notebooks" / "video" / "planned_paper.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)


def test_markers_are_filled_and_unknown_ones_refused(desk):
    registry = load_registry()
    rows = ledger(registry)
    text = pages.fill("<!-- clipkit:part few_shot -->", registry, rows, {"tiny_paper"}, {})
    assert "[Averages & Medians" in text and "(../few_shot/tiny_paper.ipynb)" in text
    unbuilt = pages.fill("<!-- clipkit:part few_shot -->", registry, rows, set(), {})
    assert "ipynb" not in unbuilt and ">Averages &amp; Medians" in unbuilt
    with pytest.raises(ClipkitError, match="unknown marker"):
        pages.fill("<!-- clipkit:galery -->", registry, rows, set(), {})


def test_card_of_a_foundation_page_has_no_paper(desk):
    registry = load_registry()
    entry = registry.entry("tiny_world")
    card = cards.header_card(entry, [], load_site(), None)
    assert "arXiv" not in card and "papermill notebooks/foundations/tiny_world.ipynb" in card and "not measured" in card


def test_names_and_times():
    registry = load_registry(FIXTURES / "data" / "papers.yml")
    assert markup.authors(registry.entry("tiny_paper")) == "Ada Example, Bert Sample and others"
    assert markup.authors(registry.entry("planned_paper")) == "Carl Later"
    assert markup.duration(75) == "75 s" and markup.duration(240) == "4 min"


def test_reference_page_lists_public_functions():
    text = api.api_page()
    assert "## clipkit.zeroshot" in text and "zeroshot_weights(" in text and "## clipkit.press" not in text


def test_strip_keeps_only_checked_text(tmp_path):
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    text = new_output("stream", name="stdout", text="3\n")
    picture = new_output("display_data", data={"image/png": "AAAA"})
    cells = [
        new_code_cell(
            "# NBVAL_CHECK_OUTPUT\nprint(3)", outputs=[text, picture], execution_count=4, metadata={"papermill": {}, "tags": ["x"]}
        ),
        new_code_cell("print(4)", outputs=[text], execution_count=5),
    ]
    path = tmp_path / "page.ipynb"
    versions = {
        "language_info": {"name": "python", "version": "3.11.7"},
        "papermill": {},
        "kernelspec": {"name": "python3", "display_name": "P"},
    }
    nbformat.write(new_notebook(cells=cells, metadata=versions), path)
    assert main(["strip", str(path)]) == 0
    assert nbformat.read(path, 4).metadata == {"language_info": {"name": "python"}, "kernelspec": versions["kernelspec"]}
    checked, plain = nbformat.read(path, 4).cells
    assert [o.text for o in checked.outputs] == ["3\n"] and plain.outputs == []
    assert checked.execution_count == 1 and plain.execution_count is None and checked.metadata == {"tags": ["x"]}
    once = path.read_text()
    assert main(["strip", str(path)]) == 0 and path.read_text() == once
