"""Exercises: whose solution is whose, how long they take, and weeks that fit their hours."""

import re

import nbformat.v4 as v4
import pytest
import yaml

from builder.exercises import exercises
from builder.handouts import handout
from builder.pages import lesson, levels
from builder.settings import BOOK
from clipkit.press import notebooks
from clipkit.registry.papers import load_registry

ENTRIES = {entry.slug: entry for entry in load_registry().entries}
CELLS = [
    (
        "markdown",
        "```{exercise}\n:label: p-1\n\n**A sum (warm-up).** Add.\n```\n\n```{exercise}\n:label: p-2\n\n**More? (open)** Go on.\n```",
    ),
    ("markdown", "```{solution-start} p-1\n:class: dropdown\n```\n\n" + "word " * 60),
    ("code", "total = 1 + 2\nfor _ in range(2):\n    total += 0\nprint(total)\nassert total == 3"),
    ("markdown", "```{solution-end}\n```"),
    ("markdown", "```{solution-start} p-2\n:class: dropdown\n```"),
    ("code", "far = 1"),
    ("markdown", "Done.\n\n```{solution-end}\n```"),
    ("code", "after = 2"),
]


@pytest.fixture
def notebook():
    return v4.new_notebook(cells=[getattr(v4, f"new_{kind}_cell")(source) for kind, source in CELLS])


def test_each_solution_goes_with_its_exercise(notebook):
    first, second = exercises(notebook)
    assert (first.number, first.title, first.hardness, first.closed) == (1, "A sum", "warm-up", True)
    assert (second.number, second.title, second.hardness, second.closed) == (2, "More?", "open", False)
    assert first.code == [CELLS[2][1]] and second.code == ["far = 1"] and (first.words, second.words) == (60, 1)
    assert first.checks == ["assert total == 3"] and second.checks == []


def test_minutes_by_hand(notebook):
    first, second = exercises(notebook)
    # 5 to read; 3 statements (total, for, total: print only tells, the assertion is given) of 3; 60 words at 30: 16, so 20
    assert first.minutes == 20
    assert second.minutes == 10  # 5 + 3 + 1/30


@pytest.mark.parametrize("slug", [entry.slug for entry in ENTRIES.values() if entry.has_notebook])
def test_every_page_has_three_of_rising_hardness(slug):
    found = exercises(notebooks.read(ENTRIES[slug].notebook_path))
    assert [one.hardness for one in found] == ["warm-up", "harder", "open"]
    assert all(10 <= one.minutes <= 180 and one.code for one in found)
    assert [bool(one.checks) for one in found[:2]] == [True, True]  # closed exercises assert their answer


def test_a_student_sees_the_assertion_and_the_names_it_expects():
    entry = ENTRIES["gda_adapter"]
    source = notebooks.read(entry.notebook_path)
    cells = {cell.id: cell.source for cell in handout(entry, source, {}, {}, solutions=False).cells}
    head, check = cells["check-1"].split("\n", 1)
    assert head.endswith("it expects guess, test, means_") and check in "\n".join(exercises(source)[0].code)
    assert "check-3" not in cells  # open: no single answer
    assert not [cell for cell in handout(entry, source, {}, {}, solutions=True).cells if cell.id.startswith("check-")]


def test_weeks_fit_their_hours():
    text = (BOOK / "teaching.md").read_text(encoding="utf-8")
    weeks = re.findall(r"^\*\*Week (\d+)\..*?lesson (\w+) .*?exercises ([\d, and]+); (\d) hours", text, re.M | re.S)
    assert [int(number) for number, *_ in weeks] == list(range(1, 13))
    for number, slug, asked, hours in weeks:
        minutes = lesson(ENTRIES[slug])
        total = minutes["reading"] + sum(minutes["exercises"][int(n) - 1].minutes for n in re.findall(r"\d", asked))
        assert total <= 60 * int(hours), f"week {number}: {total} minutes in {hours} hours"


def test_every_page_has_a_level_and_only_one():
    found = [entry.slug for _, pages in levels(load_registry()) for entry, _ in pages]
    assert sorted(found) == sorted(entry.slug for entry in ENTRIES.values() if entry.has_notebook)
    named = [slug for slugs in yaml.safe_load((BOOK / "levels.yml").read_text(encoding="utf-8")).values() for slug in slugs]
    assert set(named) <= set(ENTRIES) and len(set(named)) == len(named)
