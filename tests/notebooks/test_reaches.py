"""On every page each table reaches the reader and no conclusion is in the conditional; the checks notice what they should."""

from __future__ import annotations

import pytest
from IPython.utils.capture import capture_output
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

from clipkit.paths import ROOT
from clipkit.press import notebooks
from tests.notebooks.reaches import conditional_conclusions, lost_tables, missing_tables

PAGES = sorted((ROOT / "notebooks").glob("*/*.ipynb"))


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_every_table_reaches_the_reader(path):
    assert missing_tables(notebooks.read(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_no_conclusion_is_in_the_conditional(path):
    assert conditional_conclusions(notebooks.read(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "lab.table(a)",
        "x = 1\nlab.table(a, caption='c')",
        "t = lab.table(a)\nt",
        "for a in b:\n    display(lab.table(a))",
        "t = lab.table(a)\ndisplay(t)",
        "def make(a):\n    return lab.table(a)\n\n\nmake(a)",
        "lab.figure(a)",
    ],
)
def test_tables_that_are_shown(source):
    assert lost_tables(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "lab.table(a)\nlab.glue('x', 1)",
        "lab.table(a);",
        "for a in b:\n    lab.table(a)",
        "if a:\n    lab.table(a)",
        "t = lab.table(a)",
        "t = lab.table(a)\nt\nprint(1)",
    ],
)
def test_tables_that_are_lost(source):
    assert lost_tables(source) == ["lab.table(a)"]


def small(*cells: str):
    """A notebook of these sources: code, unless it begins with #."""
    return new_notebook(cells=[(new_markdown_cell if text.startswith("#") else new_code_cell)(text) for text in cells])


def test_words_about_a_table_need_one():
    told, later = "# Numbers\nThe table has them.", "# Numbers\nThe next table has them."
    assert missing_tables(small(told, "x = 1", "lab.table(a)")) == missing_tables(small("lab.table(a)", told)) == []
    assert missing_tables(small("# |\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nThe table has them.")) == []
    assert missing_tables(small(told, "x = 1", "run.claims(runs)")) == ["cell 0 speaks of 'The table' and there is none"]
    assert missing_tables(small(later, "# More", "lab.table(a)")) == []
    assert missing_tables(small("lab.table(a)", later, "x = 1", "lab.table(a)")) == ["cell 1 speaks of 'The next table' and there is none"]
    assert len(missing_tables(small(told, "lab.table(a)\nx = 1"))) == 2


def test_tables_of_a_study_count():
    """`study.table_by_task` of one page gives back a table; the name of another function does not make one."""
    assert lost_tables("study.table_by_task(runs)\nx = 1") == ["study.table_by_task(runs)"]
    assert lost_tables("study.table_by_task(runs)") == lost_tables("study.anything(runs)\nx = 1") == []


@pytest.fixture
def shell():
    """The interpreter of the pages, without a history file."""
    from IPython.core.interactiveshell import InteractiveShell

    yield InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    InteractiveShell.clear_instance()


def test_the_interpreter_shows_what_the_check_says(shell):
    """Held against what runs the pages: a table that is called lost leaves no output."""
    shell.run_cell(
        "import pandas\nfrom clipkit import lab\nfrom IPython.display import display\na = pandas.DataFrame({'x': [1.0]})\nb = [a, a]"
    )
    for source, tables in (
        ("lab.table(a)", 1), ("lab.table(a)\nx = 1", 0), ("lab.table(a);", 0),
        ("for a in b:\n    lab.table(a)", 0), ("for a in b:\n    display(lab.table(a))", 2),
    ):  # fmt: skip
        with capture_output() as got:
            shell.run_cell(source, store_history=True)
        seen = len(got.outputs) + got.stdout.count("Out[")
        assert (seen == 0) == bool(lost_tables(source)) and seen == tables, source


@pytest.mark.parametrize(
    "said",
    [
        "If C2 holds, the mean is worth its cost.",
        "C1 would be reversed there.",
        "First this; if C10 holds, then that.",
        "If the claim holds, take the mean.",
        "C3 should come out the same.",
        "Whenever C4 holds, so does the rest.",
    ],
)
def test_conclusions_in_the_conditional_are_noticed(said):
    assert conditional_conclusions(small(f"# Page\nA sentence before. {said} And one after.")) == [
        f"cell 0: {part}" for part in said.split("; ")[-1:]
    ]


@pytest.mark.parametrize(
    "said",
    [
        "C2 holds. If you wish, go on.",
        "C3 asks whether it should.",
        "C1 is reversed in the record.",
        "**Sums (C5).** If it rains, they grow.",
    ],
)
def test_what_came_out_may_stand_beside_other_sentences(said):
    assert conditional_conclusions(small(f"# Page\n{said}")) == []
