"""Every committed notebook is a page of this book (see anatomy.py); the checks themselves notice what they should."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from builder import scaffold
from clipkit.paths import ROOT, data_dir
from clipkit.press import notebooks
from clipkit.registry.papers import load_registry
from tests.notebooks.anatomy import faults, unchecked

FIXTURES = Path(__file__).parents[1] / "site" / "fixtures"
PAGES = sorted((ROOT / "notebooks").glob("*/*.ipynb"))


def bibliography_keys(registry) -> set[str]:
    background = (ROOT / "book" / "background.bib").read_text(encoding="utf-8")
    return {entry.slug for entry in registry.papers()} | set(re.findall(r"^@\w+\{([^,]+),", background, re.M))


@pytest.mark.skipif(not (data_dir() / "papers.yml").is_file(), reason="needs the registry")
@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_page(path):
    registry = load_registry()
    entry = registry.entry(path.stem)
    assert path.parent.name == entry.part, f"{path.stem} belongs in notebooks/{entry.part}"
    assert faults(entry, notebooks.read(path), bibliography_keys(registry)) == []


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_checked_cells_have_something_to_be_held_against(path):
    notebook = notebooks.read(path)
    assert unchecked(notebook) == []
    first(notebook, "code", "NBVAL_CHECK_OUTPUT").outputs = []
    assert len(unchecked(notebook)) == 1


@pytest.fixture
def fixture():
    registry = load_registry(FIXTURES / "data" / "papers.yml")
    path = FIXTURES / "notebooks" / "few_shot" / "tiny_paper.ipynb"
    return registry.entry("tiny_paper"), nbformat.read(path, as_version=4), bibliography_keys(registry)


def test_the_fixture_is_a_page(fixture):
    assert faults(*fixture) == []


@pytest.mark.parametrize("slug", ["tiny_paper", "planned_paper", "tiny_world"])
def test_a_new_notebook_is_a_page(slug):
    registry = load_registry(FIXTURES / "data" / "papers.yml")
    notebook = scaffold.new_notebook(registry.entry(slug))
    nbformat.validate(notebook)
    assert faults(registry.entry(slug), notebook, bibliography_keys(registry)) == []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            compile(cell.source, slug, "exec")


def first(notebook, kind: str, text: str):
    return next(cell for cell in notebook.cells if cell.cell_type == kind and text in cell.source)


def drop_section(notebook):
    cell = first(notebook, "markdown", "## The claims")
    cell.source = cell.source.replace("## The claims", "Results")


def drop_parameter(notebook):
    cell = first(notebook, "code", 'preset = "quick"')
    cell.source = cell.source.replace("seed = 0  # first seed\n", "")


def commit_picture(notebook):
    cell = first(notebook, "code", "lab.figure")
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})]


def many_cells(notebook):
    notebook.cells += [nbformat.v4.new_code_cell("x = 1") for _ in range(12)]


def text_of(kind: str, before: str, after: str):
    def change(notebook):
        cell = first(notebook, kind, before)
        cell.source = cell.source.replace(before, after)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_section, "section missing or out of order: The claims"),
        (drop_parameter, "parameter seed is missing"),
        (commit_picture, "a picture is committed"),
        (many_cells, "code cells"),
        (text_of("markdown", "## The claims", "## The claims\n\nAs `{glue}`model`` says."), "a role inside of code"),
        (text_of("markdown", "`radford2021clip`", "`nobody1999`"), "cited key 'nobody1999'"),
        (text_of("code", "runs = run.over", "!pip install x\nruns = run.over"), "pip install"),
        (text_of("code", '"n_draws": 400', '"n_draws": 400, "root": "/home/me/data"'), "absolute path"),
        (text_of("code", "# NBVAL_CHECK_OUTPUT\n", ""), "NBVAL_CHECK_OUTPUT"),
        (text_of("code", '"tiny_paper"', '"other"'), "slug 'tiny_paper'"),
        (text_of("markdown", "{solution-start} tiny-paper-2", "{solution-start} nothing"), "tiny-paper-2 has no gated solution"),
        (text_of("markdown", "# Averages and medians", "Averages"), "does not begin with the title"),
    ],
)
def test_departures_are_noticed(fixture, change, message):
    entry, notebook, keys = fixture
    change(notebook)
    assert any(message in fault for fault in faults(entry, notebook, keys)), faults(entry, notebook, keys)
