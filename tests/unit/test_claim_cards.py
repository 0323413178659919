"""A card, a row of the ledger and a badge say what the judged row says, whatever words stand in it; lines are where the numbers are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import counts, pages
from builder.cards import header_card
from builder.settings import Site
from clipkit.lab import claim_words, interval_line
from clipkit.lab.claim_cards import Card, cards_html
from clipkit.lab.palette import luminance
from clipkit.paths import ROOT
from clipkit.press.ledger import ledger
from clipkit.registry.claims import Claim, checked
from clipkit.registry.outcomes import Row, judge_claim, row_of
from clipkit.registry.papers import load_registry
from clipkit.registry.verdict import KINDS, OUTCOMES

REGISTRY = load_registry()
ROWS = ledger(REGISTRY)
MEASURED = [row for row in ROWS if row.low is not None]
RUN = {"dataset": {"name": "world"}, "model": "nano", "preset": "quick", "seeds": [0, 1], "notes": []}
SCALES = ("world", "digits", "text", "photographs", "real CLIP", "full", "any scale")
NUMBER = r"[+−]?\d+(?:\.\d+)?"


class Element(HTMLParser):
    """Elements of a class, each as (tag, attributes, text of all that is inside)."""

    VOID = {"br", "img", "input", "wbr", "line", "circle", "path"}

    def __init__(self, markup: str, wanted: str):
        super().__init__()
        self.wanted, self.open, self.found, self.tags = wanted, [], [], []
        self.feed(markup)
        assert self.open == []  # every element is closed

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(sorted(name for name, _ in attributes))))
        element = [tag, dict(attributes), ""]
        if self.wanted in (element[1].get("class") or "").split():
            self.found.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, tuple(sorted(name for name, _ in attributes))))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data


def texts(markup: str, wanted: str) -> list[str]:
    return [" ".join(text.split()) for _, _, text in Element(markup, wanted).found]


def value(text: str) -> float:
    return float(text.replace("−", "-"))


def close(shown: str, true: float, margin: float) -> bool:
    """A printed number is the true one to half of its last digit, which is a tenth of the margin or finer."""
    digits = len(shown.partition(".")[2])
    return abs(value(shown) - true) <= 0.5001 * 10**-digits and 10**-digits <= margin / 10 * 10.001


def measured(values, kind="better", margin=1.0, **more) -> Row:
    test = {"metric": "accuracy", "unit": "points", "method": "a", "kind": kind, "margin": margin}
    test |= {"null": 0} if kind == "above" else {"baselines": ["b"]}
    claim = checked(Claim, {"id": "C1", "text": "A beats B.", "origin": "paper", "test": test, **more}, "test")
    found = judge_claim(claim, [{"seed": seed, "a": number, "b": 0.0} for seed, number in enumerate(values)])
    return row_of(REGISTRY.entry("gda_adapter"), claim, found, "world")


def card(row: Row, **more) -> str:
    return cards_html([Card(row.claim, (row,), **more)], RUN)


# ---- what stands on a card


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.row_id)
def test_a_card_says_what_the_row_says(row):
    made = card(row)
    assert texts(made, "ck-badge") == [claim_words.badge_words(row.outcome, row.scale)]
    assert row.outcome in texts(made, "ck-badge")[0] and row.scale in texts(made, "ck-badge")[0]
    (found,) = texts(made, "ck-found")
    estimate, low, high = re.search(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]", found).groups()
    for shown, true in ((estimate, row.estimate), (low, row.low), (high, row.high)):
        assert close(shown, true, row.margin)
    assert float(re.search(r"δ = ([\d.e-]+)", found)[1]) == row.margin
    assert f"{row.n} seeds" in found and row.unit in found and row.kind.replace("_", " ") in found
    assert claim_words.arm(row.test.method) in found and (row.baseline is None or claim_words.arm(row.baseline) in found)
    assert " ".join(row.claim.text.split()) in texts(made, "ck-said")[0] and row.origin in texts(made, "ck-origin")
    folded = " ".join(texts(made, "ck-fold"))
    for _, gate in claim_words.gates_of(row):
        assert " ".join(gate.words.split()) in folded
    assert folded.count("Changed 2") == len(row.changes)
    assert " ".join(row.note.split()) in " ".join(texts(made, "ck-why"))


def test_the_papers_number_stands_beside_ours_only_where_it_is_the_same_quantity():
    for same in (True, False):
        paper = {"value": "-5.7", "source": "abstract", "metric": "accuracy", "same_quantity": same}
        made = card(measured([2, 2.5, 3, 2, 2.5], paper=paper))
        assert texts(made, "ck-beside") == (["the paper: −5.7"] if same else [])
        assert "−5.7 accuracy (abstract)" in texts(made, "ck-fact")[0]
        assert ("another quantity" in texts(made, "ck-fact")[0]) is not same


def test_a_claim_of_several_parts_shows_each_with_its_gates():
    row = next(row for row in MEASURED if row.parts)
    made = card(row)
    folded = " ".join(texts(made, "ck-fold"))
    for part in row.parts:
        assert f"{part.test.name}: {claim_words.SYMBOL[part.outcome]} {part.outcome}" in folded
    assert len([fact for fact in texts(made, "ck-fact") if fact.startswith("our test")]) == len(row.parts)


def test_a_run_of_the_recorded_model_and_data_is_a_mark_and_any_other_a_strip():
    row, live = measured([2, 2.5, 3, 2, 2.5]), measured([1.0, 2.0])
    row = replace(row, record=MEASURED[0].record)
    marked, apart = card(row, live=live, twin=row), card(row, live=live)
    assert len(texts(marked, "ck-strip")) == 1 and len(texts(apart, "ck-strip")) == 2 and len(texts(apart, "ck-thin")) == 1
    assert "this run ◇ +1.5 points, a over b, 2 seeds" in texts(marked, "ck-found")[0]
    assert texts(apart, "ck-badge")[1] == "this run · not run, world"
    text = Card(row.claim, (row,), live, row).text
    assert "this run   +1.5 points" in text and "✓ holds, world" in text and "our test   accuracy: a over b; better, δ = 1 points" in text
    without = replace(row, outcome="not run", record=None, estimate=None, low=None, high=None)
    assert len(texts(card(without, live=live), "ck-strip")) == 1  # the row that says "no record" gives way


@pytest.mark.parametrize("word", ["<script>alert(1)</script>", '"><img src=x onerror=a> &amp;', "a\n\nb", "</div></article>", "{{ 1 }}"])
def test_no_word_of_the_registry_acts_on_a_card(word):
    def made(words: str) -> str:
        paper = {"value": words, "metric": words, "source": "paper", "note": words}
        change = {"date": date(2024, 1, 1), "what": words, "why": words, "seen": words}
        row = measured([2, 2.5, 3, 2, 2.5], paper=paper, note=words, changes=[change])
        test = row.test.model_copy(update={"metric": words, "unit": words, "method": words, "note": words})
        claim = row.claim.model_copy(update={"text": words, "test": test})
        return cards_html(
            [Card(claim, (replace(row, claim=claim, test=test, note=words, baseline=words),), skipped=words)], {**RUN, "notes": [words]}
        )

    assert Element(made(word), "").tags == Element(made("plain"), "").tags
    strip = Element(made(word), "ck-claims").found[0][2]
    assert " ".join(strip.split()).count(" ".join(word.split())) == strip_count(made("plain"))


def strip_count(markup: str) -> int:
    return Element(markup, "ck-claims").found[0][2].count("plain")


# ---- the line


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    margin=st.floats(0.01, 50),
    values=st.lists(st.floats(-20, 20), min_size=5, max_size=8),
)
def test_a_line_is_where_its_numbers_are_and_says_them(kind, margin, values):
    row = measured([round(v * margin / 4, 6) for v in values], kind, margin)
    at = interval_line.line(row)
    unit = (interval_line.WIDTH / 2 - 12) / interval_line.REACH  # pixels of one δ
    for x, true in ((at.low, row.low), (at.high, row.high), (at.estimate, row.estimate)):
        if x is not None and abs(true) < interval_line.REACH * margin:
            assert (x - at.zero) / unit == pytest.approx(true / margin, abs=0.01)
    assert [(round((x - at.zero) / unit), name) for x, name in at.bounds] == {
        "no_worse": [(-1, "−δ")],
        "equivalent": [(-1, "−δ"), (1, "δ")],
    }.get(kind, [(1, "δ")])
    assert (at.left, at.right) == (row.low < -interval_line.REACH * margin, row.high > interval_line.REACH * margin)
    assert at.left or at.right or at.low <= at.estimate <= at.high
    numbers = re.findall(NUMBER, at.words.replace("95 %", "").replace(" 0 and", ""))
    said = [row.estimate, row.low, row.high, *((x - at.zero) / unit * margin for x, _ in at.bounds)]
    for shown, true in zip(numbers, said, strict=False):
        assert abs(value(shown) - true) <= 0.51 * 10 ** -interval_line.decimals(margin) + 0.01 * margin
    assert len(numbers) == len(said) + (at.estimate is None)


def test_every_line_has_its_words():
    made = "".join(card(row) for row in MEASURED)
    lines = Element(made, "ck-line").found
    assert len(lines) == len(MEASURED)
    for (tag, attributes, _), row in zip(lines, MEASURED, strict=True):
        assert (tag, attributes["role"]) == ("svg", "img") and attributes["aria-label"] == interval_line.line(row).words
        assert f"Estimate {claim_words.effect(row).split(' [')[0]}" in attributes["aria-label"]


def test_too_few_seeds_are_drawn_without_an_interval():
    at = interval_line.line(measured([1.0, 2.0]))
    assert at.low is None and at.high is None and at.estimate is not None and "interval" not in at.words
    assert interval_line.line(replace(measured([1.0] * 5), estimate=None)) is None


# ---- badges


@pytest.mark.parametrize("marker", ["gallery", "ledger", "transfer", "part few_shot", "part zero_shot"])
def test_every_badge_of_the_book_says_its_scale_in_a_few_words(marker):
    built = {entry.slug for entry in REGISTRY.finished()}
    badges = texts(pages.fill(f"<!-- clipkit:{marker} -->", REGISTRY, ROWS, built, {}), "ck-badge")
    assert badges
    for badge in badges:
        assert badge.endswith(SCALES) and len(badge.split()) <= 8, badge
        assert any(f" {word}, " in f" {badge}" for word in OUTCOMES)


@pytest.mark.parametrize("slug", [entry.slug for entry in REGISTRY.finished()])
def test_the_head_of_a_page_has_a_badge_an_outcome_and_scale_with_the_claims_it_is_of(slug):
    entry = REGISTRY.entry(slug)
    mine = [row for row in ROWS if row.entry.slug == slug]
    made = header_card(entry, mine, Site("T", "A", None, "main"), None)
    badges = texts(made, "ck-badge")
    assert len(badges) == len(set(badges)) and set(badges) == {claim_words.badge_words(row.outcome, row.scale) for row in mine}
    for group in texts(made, "ck-group"):  # every row is counted once, the claims in the order of the registry
        badge = next(one for one in badges if group.startswith(one))
        own = [row.claim.id for row in mine if claim_words.badge_words(row.outcome, row.scale) == badge]
        found = re.findall(r"(C\d+\w*)(?:\s×(\d+))?", group.removeprefix(badge))
        assert found == [(name, str(own.count(name)) if own.count(name) > 1 else "") for name in dict.fromkeys(own)], group


def test_a_readers_own_records_have_a_badge_of_their_own():
    row = next(row for row in ROWS if row.record and row.outcome == "holds")
    own = replace(row, record=replace(row.record, book=False))
    assert [len(group) for group in counts.together([row, own])] == [1, 1]


# ---- colours


def test_the_words_of_an_outcome_can_be_read_in_light_and_dark():
    css = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    light, dark = re.findall(r"(?::root|html\[data-theme=\"dark\"\]) \{\n((?:  --ck-.*\n)+)\}", css)
    for block, ground in ((light, 1.0), (dark, luminance((0x12, 0x12, 0x12)))):  # the theme's two grounds
        colours = re.findall(r"--ck-([\w-]+): #([0-9a-f]{6})", block)
        assert {name for name, _ in colours} == {"holds", "weaker", "no-effect", "reversed", "open"}
        for name, colour in colours:
            ink = luminance([int(colour[i : i + 2], 16) for i in (0, 2, 4)])
            lighter, darker = np.sort([ink, ground])[::-1]
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name
