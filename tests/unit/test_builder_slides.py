"""A deck of slides: what it takes from a page, that it asks nothing of the network, and that text cannot act as HTML."""

import base64
import io
import re

import nbformat.v4 as v4
import pytest
from PIL import Image

from builder.assemble import picture
from builder.exercises import exercises
from builder.slides import short, slides
from clipkit.press.ledger import entry_rows
from clipkit.registry.papers import load_registry

ENTRY = load_registry().entry("gda_adapter")


def png(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 100), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def deck() -> str:
    def drawn(colour, alt):
        data, meta = {"image/png": png(colour)}, {"image/png": {"alt": alt}}
        return v4.new_code_cell("draw()", outputs=[v4.new_output("display_data", data=data, metadata=meta)])

    cells = [
        v4.new_markdown_cell("# Title\n\n<div>card</div>\n\n## The idea\n\nOne cloud <script>alert(1)</script> a class."),
        drawn("red", 'The "idea"'),
        v4.new_markdown_cell("## The method\n\nFirst. The mean is\n\n$$m = \\frac{1}{n}\\sum_i x_i$$\n\nand that is all."),
        v4.new_code_cell("m = x.mean(0)"),
        v4.new_markdown_cell("## The experiment\n\nTwo arms."),
        drawn("blue", "Bars"),
        v4.new_markdown_cell("The left bar is higher. " + "And so on it goes. " * 30),
        v4.new_markdown_cell("## The claims"),
        drawn("green", "Not evidence"),
        v4.new_markdown_cell("## Exercises\n\n```{exercise}\n:label: g-1\n\n**Shape (warm-up).** Show it for $d = 1$.\n```"),
        v4.new_markdown_cell("```{solution-start} g-1\n```\n\nThe secret."),
        v4.new_code_cell("secret = 1"),
        v4.new_markdown_cell("```{solution-end}\n```"),
    ]
    page = v4.new_notebook(cells=cells)
    return slides(ENTRY, page, exercises(page), entry_rows(ENTRY, []), picture, lambda text: text)


def test_what_is_on_the_slides(deck):
    heads = re.findall(r"<h[12]>([^<]*)</h[12]>", deck)
    assert heads[:6] == [ENTRY.title, "The idea", "Before we look", "The method", "The method in code", "The evidence"]
    assert heads[-1] == "Three questions" and any(head.startswith("What came out") for head in heads)
    assert r"\[m = \frac{1}{n}\sum_i x_i\]" in deck and "m = x.mean(0)" in deck and r"\(d = 1\)" in deck
    assert deck.count("<img ") == 2 and 'alt="The &quot;idea&quot;"' in deck and "Not evidence" not in deck
    assert "The left bar is higher." in deck and deck.count("And so on it goes.") <= 10
    assert "secret" not in deck and "about 10 minutes" in deck
    assert all(f"<strong>{claim.id}</strong>" in deck for claim in ENTRY.claims)


def test_nothing_acts_and_nothing_is_fetched_from_elsewhere(deck):
    assert "<script>alert" not in deck and "&lt;script&gt;alert" in deck
    loads = re.findall(r'(?:src|href)="([^"]*)"', deck)
    assert {load.partition(",")[0] for load in loads} == {
        "data:image/png;base64",
        "../mathjax/tex-mml-chtml.js",
        "../few_shot/gda_adapter.html",
    }


def test_a_deck_without_a_formula_loads_no_mathematics():
    page = v4.new_notebook(cells=[v4.new_markdown_cell("# T\n\n## The idea\n\nPlain.\n\n## The method\n\nIt costs 3 dollars.")])
    deck = slides(ENTRY, page, [], [], picture, lambda text: text)
    assert "mathjax" not in deck.lower() and "It costs 3 dollars." in deck


def test_short_keeps_whole_sentences():
    assert short("A. B c. D e f.", 3) == "A. B c." and short("A. B c. D e f.", 5, last=True) == "B c. D e f."
    assert short("Longer than allowed all the same.", 2) == "Longer than allowed all the same."
