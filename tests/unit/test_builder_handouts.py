"""Notebooks for students and teachers: no solution leaks, nothing is lost, no role or directive is left."""

import copy
import re

import nbformat.v4 as v4
import pytest

from builder import handouts
from builder.handouts import citations, glued, handout, plain
from clipkit.paths import ROOT
from clipkit.press import notebooks
from clipkit.registry.papers import load_registry

PAGES = list(load_registry().finished())


def solution_code(notebook):
    """Sources of the code cells between a solution's start and end."""
    inside, found = False, []
    for cell in notebook.cells:
        if cell.cell_type == "code" and inside:
            found.append(cell.source)
        inside = ("{solution-start}" in cell.source) or (inside and "{solution-end}" not in cell.source)
    return found


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.slug)
def test_every_page_gives_both(entry):
    source = notebooks.read(entry.notebook_path)
    before = copy.deepcopy(source)
    solutions = solution_code(source)
    assert solutions  # or the test below could not fail
    student, teacher = (handout(entry, source, {}, {}, solutions=taught) for taught in (False, True))
    assert source == before
    code = {kind: [c.source for c in made.cells if c.cell_type == "code"] for kind, made in (("student", student), ("teacher", teacher))}
    assert not set(solutions) & set(code["student"]) and set(solutions) <= set(code["teacher"])
    assert [c.source for c in source.cells if c.cell_type == "code"] == code["teacher"]
    assert set(code["teacher"]) - set(solutions) <= set(code["student"])
    for made in (student, teacher):
        text = "\n".join(c.source for c in made.cells if c.cell_type == "markdown")
        assert not re.search(r"\{(glue|term|cite:[tp]|exercise|solution-start|solution-end|bibliography)\}", text)
        assert [int(n) for n in re.findall(r"^### Exercise (\d+)", text, re.M)] == [1, 2, 3]
        assert all(not c.get("outputs") for c in made.cells)
        assert len({c.id for c in made.cells}) == len(made.cells)
    assert "".join(code["student"]).count("your code") == 3
    assert "Solution to exercise" not in "\n".join(c.source for c in student.cells)
    for made in (student, teacher):  # the table stands after the idea, before anything runs
        kinds = [(c.cell_type, c.id) for c in made.cells]
        assert "## The idea" in "".join(c.source for c in made.cells[: kinds.index(("markdown", "predict"))])
        assert all(kind == "markdown" for kind, _ in kinds[: kinds.index(("markdown", "predict"))])
    guess = next(c.source for c in student.cells if c.source.startswith("## Before you look"))
    assert all(f"| {claim.id} |" in guess for claim in entry.claims)


def test_numbers_of_the_run_are_printed():
    run = v4.new_notebook(cells=[v4.new_code_cell("x")])
    data = {handouts.GLUE: "71.5"}
    run.cells[0].outputs = [v4.new_output("display_data", data=data, metadata={"scrapbook": {"name": "gain"}})]
    assert glued(run) == {"gain": "71.5"}
    assert plain("It gains {glue}`gain` points, {glue}`lost`.", glued(run), {}) == "It gains 71.5 points, …."


def test_a_check_says_the_arguments_of_the_function_it_calls():
    entry = next(entry for entry in PAGES if entry.slug == "gda_adapter")
    student = handout(entry, notebooks.read(entry.notebook_path), {}, {}, solutions=False)
    check = next(c.source for c in student.cells if c.id == "check-2")
    assert "it expects quadratic(F, y, C, test), F, y, test, w" in check


def test_no_name_of_the_book_keeps_a_sign_of_latex():
    texts = [(ROOT / "book" / f"{name}.bib").read_text(encoding="utf-8") for name in ("references", "background")]
    assert [name for name in citations(*texts).values() if set(name) & set("{}\\\\")] == []


def test_names_of_a_citation():
    many = "@misc{a, author={van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol}, year={2018}}"
    assert citations(many, "@misc{b, author={Ann Lee and Bo Ek}, year={2020}}") == {
        "a": "van den Oord and others (2018)",
        "b": "Lee and Ek (2020)",
    }


def test_exercises_and_solutions_keep_their_numbers():
    entry = PAGES[0]
    asked = "```{exercise}\n:label: x-1\n\nOne.\n```\n\nBetween.\n\n```{exercise} (open)\n:label: x-2\n\nTwo.\n```"
    solved = "```{solution-start} x-2\n:class: dropdown\n```\n\nBecause.\n\n```{solution-end}\n```\n\nAfter."
    cells = [v4.new_markdown_cell(asked), v4.new_markdown_cell(solved)]
    student, teacher = (handout(entry, v4.new_notebook(cells=cells), {}, {}, solutions=taught) for taught in (False, True))
    assert [c.source for c in teacher.cells[:2]] == [
        "### Exercise 1\n\nOne.\n\nBetween.\n\n### Exercise 2\n\n(open) Two.",
        "**Solution to exercise 2**\n\nBecause.\n\nAfter.",
    ]
    assert [c.source for c in student.cells[:3]] == [teacher.cells[0].source, "After.", "# Exercise 2: your code"]
