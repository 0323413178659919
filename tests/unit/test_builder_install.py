"""The cell that installs the package: where it stands, that it is in no hash, and what it does with and without the package."""

from __future__ import annotations

import subprocess
import sys

import nbformat.v4 as v4
import pytest

from builder import install
from clipkit.errors import DISTRIBUTION
from clipkit.paths import ROOT
from clipkit.press import hashing, notebooks


def page():
    parameters = v4.new_code_cell("seed = 0  # first seed", metadata={"tags": ["parameters"]})
    return v4.new_notebook(cells=[v4.new_markdown_cell("# Title"), parameters, v4.new_code_cell("x = 1")])


def test_it_is_the_first_code_once_and_hidden_from_site_and_nbval():
    notebook = install.with_install(install.with_install(page()))
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code", "code"]
    assert [install.is_install(cell) for cell in notebook.cells] == [False, True, False, False]
    assert {"remove-cell", "nbval-skip"} <= set(notebook.cells[1].metadata.tags)
    assert notebooks.parameters(notebook) == {"seed": 0}


def test_an_older_text_is_renewed_and_other_notebooks_are_left_alone():
    notebook = install.with_install(page())
    notebook.cells[1].source = "old"
    assert install.stripped(notebook).cells[1].source == install.SOURCE
    plain = v4.new_notebook(cells=[v4.new_code_cell("x = 1")])
    assert len(install.stripped(plain).cells) == 1


def test_no_hash_counts_it():
    before = hashing.code_cells(page())
    assert hashing.code_cells(install.with_install(page())) == before == ["seed = 0  # first seed", "x = 1"]


def test_its_text_is_plain_and_the_formatter_leaves_it():
    compile(install.SOURCE, "cell", "exec")
    assert max(map(len, install.SOURCE.splitlines())) <= 88
    command = [sys.executable, "-m", "ruff", "format", "--config", str(ROOT / "pyproject.toml"), "-"]
    assert subprocess.run(command, input=install.SOURCE + "\n", capture_output=True, text=True).stdout == install.SOURCE + "\n"


STUB = """
class Shell:
    def run_line_magic(self, name, line):
        print(name, line)
get_ipython = Shell
"""


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"clipkit/__init__.py": "", "clipkit/lab/__init__.py": "raise RuntimeError('imported')"}, ""),
        ({}, f"pip install --quiet {DISTRIBUTION}[pages]"),
        ({"clipkit/__init__.py": ""}, "ImportError: another clipkit is installed: pip uninstall clipkit, restart"),
    ],
    ids=["there", "missing", "another"],
)
def test_what_it_does(tmp_path, there, said):
    for name, text in there.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run([sys.executable, "-S", "-c", STUB + install.SOURCE], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert (done.stdout + "\n".join(done.stderr.splitlines()[-1:])).strip() == said
