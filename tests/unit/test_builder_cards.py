"""What came out, in two sentences from the records."""

from dataclasses import replace

import pytest

from builder.cards import came_out, header_card
from builder.settings import Site
from clipkit.paths import ROOT
from clipkit.press.ledger import ledger
from clipkit.registry.papers import load_registry


@pytest.fixture(scope="module")
def rows():
    return [row for row in ledger(load_registry()) if row.entry.slug == "gda_adapter" and row.scale == "world" and row.record]


def test_the_headline_with_its_numbers_then_the_others_counted(rows):
    head, *others = sorted(rows, key=lambda row: row.origin != "headline")
    assert head.origin == "headline" and len(others) >= 2
    made = [replace(head, outcome="holds", estimate=3.25, low=2.0, high=4.5)]
    made += [replace(row, outcome=word) for row, word in zip(others, ["reversed", "holds", "holds"], strict=False)]
    first, second = came_out(made)
    assert first.startswith("The headline claim holds in the world: +3.") and first.count(".") >= 2
    n = len(made) - 2
    assert second == f"Of the other claims, in the world {n} {'hold' if n > 1 else 'holds'} and 1 is reversed."


def test_what_was_not_tested_says_why(rows):
    head = next(row for row in rows if row.origin == "headline")
    shut = replace(head, outcome="not testable here", note="headroom 0.4 below 2 δ")
    assert came_out([shut]) == ["The headline claim cannot be tested in the world: headroom 0.4 below 2 δ."]
    waiting = replace(head, outcome="not run", record=None, note="no record yet")
    assert came_out([waiting]) == ["The headline claim was not run here: no record yet."]
    assert came_out([]) == []


def test_pages_of_our_own_have_no_headline(rows):
    own = [replace(row, outcome="open") for row in rows if row.origin != "headline"]
    assert came_out(own) == [f"Of the claims, in the world {len(own)} stay open."]


def test_the_card_leads_to_every_form_of_the_notebook(rows):
    card = header_card(rows[0].entry, rows, Site("a", "b"), None)
    assert "What came out." in card
    for address in (
        "start.html",
        "notebooks/gda_adapter.ipynb",
        "notebooks/student/gda_adapter.ipynb",
        "notebooks/teacher/gda_adapter.ipynb",
    ):
        assert f'href="../{address}"' in card


def test_a_page_built_with_other_versions_than_the_lock_says_so(rows):
    def card(**versions):
        return header_card(rows[0].entry, rows, Site("a", "b"), {"parts": {"versions": {"python": "3.11.7", "clipkit": "9", **versions}}})

    locked = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line)
    assert "other versions" not in card(torch=f"{locked['torch']}+cpu", open_clip_torch=locked["open_clip_torch"])
    said = card(torch="1.0.0+cu1", numpy=locked["numpy"], open_clip_torch="<b>")
    assert f"torch 1.0.0 (locked: {locked['torch']})" in said and "numpy" not in said and "<b>" not in said
