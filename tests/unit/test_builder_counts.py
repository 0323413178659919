"""Counts add up: claims, rows, headlines, and what carries from the world to real pictures, each recounted another way."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import counts, pages
from clipkit.press.ledger import ledger, to_json
from clipkit.registry.claims import PROPERTY
from clipkit.registry.outcomes import Row
from clipkit.registry.papers import load_registry
from clipkit.registry.verdict import OUTCOMES

REGISTRY = load_registry()
ROWS = ledger(REGISTRY)
RECORD = next(row.record for row in ROWS if row.record)
PLACES = ("world", "photographs", "full")


@st.composite
def some_rows(draw) -> list[Row]:
    """Made-up outcomes for real claims: with and without records, on several data sets."""
    found = []
    for entry in draw(st.lists(st.sampled_from(REGISTRY.entries), max_size=5, unique_by=lambda entry: entry.slug)):
        for claim in entry.claims:
            places = draw(st.lists(st.sampled_from(PLACES), max_size=4))
            found += [Row(entry, claim, draw(st.sampled_from(OUTCOMES)), "", place, RECORD) for place in places]
            if not places:
                found.append(Row(entry, claim, draw(st.sampled_from(OUTCOMES[-2:])), "", draw(st.sampled_from(("", "world")))))
    return found


@settings(max_examples=60, deadline=None)
@given(rows=some_rows())
def test_made_up_counts_add_up(rows):
    check(rows)


def test_the_counts_of_the_book_add_up():
    check(ROWS)
    papers, own = (counts.count(counts.whose(ROWS, paper)) for paper in (True, False))
    assert papers["claims"] == sum(len(entry.claims) for entry in REGISTRY.papers())
    assert own["claims"] == sum(len(entry.claims) for entry in REGISTRY.foundations())


def check(rows: list[Row]) -> None:
    total = counts.count(rows)
    assert total["tested"] + total["not testable here"] + total["not run"] + total[PROPERTY] == total["claims"]
    judged = [row for row in rows if row.origin != PROPERTY]  # a checked property is in no count but its own
    assert total["claims"] - total[PROPERTY] == len({(row.entry.slug, row.claim.id) for row in judged})
    assert 0 <= total["tested"] <= total["claims"] == len({(row.entry.slug, row.claim.id) for row in rows})
    halves = [counts.count(counts.whose(rows, paper)) for paper in (True, False)]
    assert {name: sum(half[name] for half in halves) for name in total} == total
    heads = counts.headlines(rows)
    assert heads["everywhere"] + heads["somewhere"] + heads["nowhere"] == heads["tested"] <= total["tested"]
    grid = counts.by_scale(rows)
    assert grid.total == sum(grid.totals) == sum(number for _, _, number in grid.lines) == len(judged)
    assert all(sum(numbers) == line for _, numbers, line in grid.lines)
    assert {word: line for word, _, line in grid.lines} == dict(Counter(row.outcome for row in judged))
    assert {(one.rows[0].entry.slug, one.rows[0].claim.id): one.outcome for one in counts.transfer(rows)} == carried(rows)


def carried(rows: list[Row]) -> dict:
    """The transfer table from the published JSON alone, by its definition."""
    order = ("reversed", "below", "above", "no effect", "weaker", "not testable here", "open", "holds")
    world, real = defaultdict(set), defaultdict(set)
    for line in json.loads(to_json(rows)):
        if line["date"] and line["outcome"] != "not run" and line["origin"] != PROPERTY:
            side = world if line["scale"] == "world" else real if line["scale"] in ("photographs", "real CLIP", "full") else {}
            side.setdefault((line["slug"], line["claim"]), set()).add(line["outcome"])
    return {claim: min(real[claim], key=order.index) for claim, words in world.items() if words == {"holds"} and claim in real}


def test_the_sentence_and_the_table_of_the_landing_page_say_the_same():
    found = carried(ROWS)
    assert found  # else there is nothing to look at
    text = pages.fill("<!-- clipkit:transfer -->", REGISTRY, ROWS, set(), {})
    sentence = counts.transfer_words(counts.transfer(ROWS))
    assert sentence in text and sentence.startswith(f"{len(found)} claim")
    assert int(re.search(r"(\d+) holds? there", sentence)[1]) == list(found.values()).count("holds")
    numbers = [int(number) for number in re.findall(r"(?:: |, )(\d+) ", sentence)]
    assert sum(numbers) == len(found)
    assert [int(number) for number in re.findall(r"<td>(\d+)</td>", text)] == [
        n for word in OUTCOMES if (n := list(found.values()).count(word))
    ]
    linked = re.findall(r'href="ledger.html#([\w.-]+)"', text)
    assert len(linked) == len(found) and set(linked) <= {row.row_id for row in ROWS}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "No claim that holds in the world has been tried on real pictures yet."),
        (["holds"], "1 claim that holds in the world was tried on real pictures too: 1 holds there."),
        (["reversed"], "1 claim that holds in the world was tried on real pictures too: 0 hold there, 1 is reversed."),
        (
            ["holds", "holds", "open", "no effect", "no effect", "not testable here"],
            "6 claims that hold in the world were tried on real pictures too: "
            "2 hold there, 2 show no effect, 1 is open, 1 cannot be tested there.",
        ),
    ],
)
def test_the_sentence_is_grammatical(words, said):
    claims, entry = max(
        (([c for c in entry.claims if c.origin != "checked property"], entry) for entry in REGISTRY.entries), key=lambda pair: len(pair[0])
    )
    rows = [Row(entry, claim, "holds", "", "world", RECORD) for claim, _ in zip(claims, words, strict=False)]
    rows += [Row(entry, claim, word, "", "photographs", RECORD) for claim, word in zip(claims, words, strict=False)]
    assert len(rows) == 2 * len(words)
    assert counts.transfer_words(counts.transfer(rows)) == said


def test_the_ledger_says_the_counts():
    text = pages.fill("<!-- clipkit:ledger_counts -->", REGISTRY, ROWS, set(), {})
    for name, paper in (("The papers", True), ("Our own pages", False)):
        total = counts.count(counts.whose(ROWS, paper))
        line = next(line for line in text.splitlines() if line.startswith(f"**{name}**"))
        told = [f"{total[name]} {name}" for name in ("claims", "tested", "not testable here", "not run")]
        assert ", ".join(told) in line and (f", {total[PROPERTY]} checked propert" in line) == (total[PROPERTY] > 0)
    cells = [int(number) for number in re.findall(r"<td>(\d+)</td>", text)]
    papers, own = (sum(row.origin != PROPERTY for row in counts.whose(ROWS, paper)) for paper in (True, False))
    assert cells.count(papers) >= 1 and cells[-1] == own
