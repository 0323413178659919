"""What is printed from the registry: nothing that a user wrote acts as HTML or Markdown, and every name of the reference imports."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date
from html.parser import HTMLParser
from importlib import import_module

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from builder import api, cards, markup, pages, readme
from builder.settings import Site
from clipkit.press import ledger as books
from clipkit.registry.papers import Paper, Registry
from clipkit.registry.records import Record

HOSTILE = [
    "<script>alert(1)</script>",
    "a \"b\" <img src=x onerror=alert(1)> 'c' & d &lt;i&gt;",
    "costs $3 or $x^2$ | a|b | *bold* _it_ `code` [l](http://x) {cite}`y` ~~z~~ \\",
    "🦊 emoji 日本語 e\u0301",
    "שלום עולם \u202eright to left",
    "<!-- clipkit:gallery --> <!-- a comment",
    "</td></tr></table></div> after",
]


class Page(HTMLParser):
    """Tags, attributes and text of rendered Markdown, as a browser would see them."""

    def __init__(self, markdown: str):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin).render(markdown))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_comment(self, data):
        self.tags.append("comment")

    def handle_data(self, data):
        self.text += data


def hostile_registry(text: str) -> tuple[Registry, list[books.Row], dict]:
    """One finished and one planned page, in whose every free field `text` stands."""
    test = {"metric": text, "unit": text, "method": "m", "kind": "above", "null": 0, "margin": 1.0}
    paper = {"value": text, "metric": text, "benchmark": text, "model": text, "source": "paper"}
    change = {"date": date(2024, 1, 1), "what": text, "why": text, "seen": text}
    claims = [
        {"id": "C1", "text": text, "origin": "headline", "paper": paper, "test": test, "changes": [change]},
        {"id": "C2", "text": text, "origin": "paper", "untestable": text},
    ]
    facts = {
        "title": text,
        "part": "video",
        "tags": [],
        "idea": text,
        "authors": [text],
        "year": 2024,
        "venue": text,
        "arxiv": None,
        "code": None,
    }
    entries = (Paper(slug="done", claims=claims, **facts), Paper(slug="later", claims=[], **facts))
    record = Record.__new__(Record)
    said = {"model": text, "pretrained": None, "dataset": {"name": text}, "scale": "photographs"}
    said |= {"preset": "full", "date": "2024-01-01", "book": True}
    for name, value in said.items():
        object.__setattr__(record, name, value)
    first, second = entries[0].claims
    measured = books.Row(entries[0], first, "holds", text, "photographs", record, first.test, 1.5, 1.0, 2.0, 5, stale=True)
    return Registry(entries), [measured, books.Row(entries[0], second, "not testable here", text)], {"done": ("thumbs/done.png", text)}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("marker", ["gallery", "ledger", "part video", "page done", "page later", "counts", "ledger_counts"])
def test_nothing_written_by_a_user_acts_on_a_page(marker, text):
    def made(words: str) -> Page:
        registry, rows, thumbs = hostile_registry(words)
        return Page(pages.fill(f"<!-- clipkit:{marker} -->", registry, rows, {"done"}, thumbs))

    page, plain = made(text), made("plain words")
    assert page.tags == plain.tags and "script" not in page.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in plain.attributes]
    assert page.text.count(text) == plain.text.count("plain words")
    if marker not in ("counts", "ledger_counts"):
        assert text in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_written_by_a_user_acts_on_a_card_or_in_the_readme(text):
    def made(words: str) -> tuple[Page, Page]:
        registry, rows, _ = hostile_registry(words)
        site = Site("T", "A", "https://github.com/me/fork", "main")
        failed = {"seconds": 3.0, "error": {"cell": 2, "error": f"ValueError: {words}\nmore"}, "parts": {"versions": {"torch": words}}}
        entry = registry.entries[0].model_copy(update={"code": 'https://x/"onclick="y', "arxiv": "2401.00001"})
        return Page(cards.header_card(entry, rows, site, failed)), Page(readme.table(registry))

    for page, plain in zip(made(text), made("plain words"), strict=True):
        assert page.tags == plain.tags
        assert [name for name, _ in page.attributes] == [name for name, _ in plain.attributes]
        assert page.text.count(text) == plain.text.count("plain words") > 0


def test_a_value_of_several_lines_does_not_end_its_block():
    registry, rows, thumbs = hostile_registry("one\n\n# two\n\n    three")
    for marker in ("gallery", "ledger", "part video", "page done"):
        text = pages.fill(f"<!-- clipkit:{marker} -->", registry, rows, {"done"}, thumbs)
        assert "one" in text and not re.search(r"^\s*# two", text, re.M)
        for block in re.findall(r"<(?:form|table|div)\b.*?</(?:form|table|div)>", text, re.S):
            assert "\n\n" not in block


def test_markdown_prints_what_it_is_given():
    assert Page(str(markup.markdown("*a* $b$ \\ &amp; &"))).text.strip() == "*a* $b$ \\ &amp; &"


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_and_json_of_the_ledger_say_the_same(text):
    _, rows, _ = hostile_registry(text)
    measured, untested = csv.DictReader(io.StringIO(books.to_csv(rows)))
    assert (measured["text"], measured["dataset"], measured["unit"], untested["untestable"]) == (text,) * 4
    assert (measured["estimate"], measured["seeds"], measured["stale"]) == ("1.5", "5", "True")
    assert (measured["outcome"], measured["origin"], untested["outcome"]) == ("holds", "headline", "not testable here")
    assert measured["changes"] == f"2024-01-01: {text} {text}" and untested["outcome_note"] == text
    assert (untested["estimate"], untested["seeds"], untested["model"], untested["seeds_vary"]) == ("",) * 4
    first, second = json.loads(books.to_json(rows))
    assert list(first) == list(measured) and first["text"] == text and first["estimate"] == 1.5 and first["seeds"] == 5
    assert second["estimate"] is None and second["seeds"] is None and second["stale"] is False


def test_a_ledger_without_claims_has_its_columns():
    assert books.to_csv([]).startswith("slug,claim,text,") and json.loads(books.to_json([])) == []
    assert "0 claims" in books.to_text([])


def test_every_name_of_the_reference_is_imported_from_where_it_stands():
    listed = re.findall(r'<details class="ck-api" id="([\w.]+)"', api.api_page())
    assert len(listed) > 500 and len(set(listed)) == len(listed)
    found = {}
    for dotted in listed:
        module, _, name = dotted.rpartition(".")
        found[dotted] = getattr(import_module(module), name)  # AttributeError, ModuleNotFoundError: it does not
    assert len({id(value) for value in found.values()}) == len(listed)  # and no function stands there under two names
    assert (
        "clipkit.zeroshot.zeroshot_weights" in found and "clipkit.models.nano.load_nano" in found and "clipkit.models.load_model" in found
    )


def test_the_reference_page_is_markdown_that_keeps_its_blocks():
    text = api.api_page()
    page = Page(text)
    assert page.tags.count("details") == text.count("<details") == text.count("</details>")
    assert set(page.tags) <= {"h1", "h2", "p", "code", "details", "summary", "pre"}
