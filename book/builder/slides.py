"""A deck of slides a page, made from what the site shows: the idea's picture, the method, the evidence, the claims, three questions.

One HTML file that needs no network: CSS makes it snap from slide to slide, arrow keys and the space bar turn it, and it prints.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin

from builder.exercises import Exercise, with_solutions
from builder.markup import render
from clipkit.press.ledger import Row, claims
from clipkit.registry.papers import Entry

SENTENCE = re.compile(r"(?<=[.?!:])\s+(?=[A-Z*$`])")
EQUATION = re.compile(r"\$\$.*?\$\$", re.S)
DIRECTIVE = re.compile(r"^(?:```|:::).*?^(?:```|:::)\s*$", re.M | re.S)
PAGE_SECTIONS = ("The claims", "What to make of it", "Going to full scale", "Exercises", "References")  # no evidence below these
A_SLIDE = 4  # claims on one slide


@dataclass
class Section:
    """What stands under a heading: paragraphs of Markdown, code, and figures with the paragraph after each."""

    paragraphs: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    figures: list[list] = field(default_factory=list)  # [PNG bytes, alternative text, paragraph after it]


def slides(entry: Entry, page, asked: list[Exercise], rows: list[Row], figure_of: Callable, plain: Callable[[str], str]) -> str:
    """The deck of a page as HTML.

    Arguments:
        page: the notebook the site shows (nbformat node with outputs).
        asked: its exercises.
        rows: the page's in the ledger.
        figure_of: the picture among a cell's outputs, as (PNG bytes, alternative text), or None.
        plain: Markdown without roles and directives.
    """
    found = _sections(page, figure_of, plain)
    idea, method = found.get("The idea", Section()), found.get("The method", Section())
    shown = [section for name, section in found.items() if name not in (*PAGE_SECTIONS, "The idea", "The method")]
    evidence = [figure for section in shown for figure in section.figures]
    first = next((figure for section in found.values() for figure in section.figures), None)
    grouped = claims(rows)
    told = [_html(f"{short(text, 60, last=True)}\n\n{equation}") for text, equation in _equations(method)]
    told = told or [_html(short(" ".join(method.paragraphs[:3]), 120))]
    questions = [(one.title, one.hardness, one.minutes, _html(short(plain(_untitled(one.text)), 45))) for one in asked[:3]]
    return render(
        "slides.html",
        entry=entry,
        idea=_html(short(" ".join(idea.paragraphs[:2]), 90)),
        picture=_image(*first[:2]) if first else "",
        method=told,
        formulas=any(sign in "".join([*told, *(text for *_, text in questions)]) for sign in ("\\(", "\\[")),
        code=Markup(html.escape(next((code for code in method.code if code.count("\n") < 24), ""))),
        evidence=[(_image(png, alt), _html(short(after, 50))) for png, alt, after in evidence if first is None or png != first[0]][:3],
        claims=[grouped[i : i + A_SLIDE] for i in range(0, len(grouped), A_SLIDE)],
        questions=questions,
    )


def short(text: str, words: int, last: bool = False) -> str:
    """Whole sentences of a text up to a number of words, at least one; from its beginning, or its last ones.

    >>> short("One two. Three four five. Six.", 5), short("One two. Three four. Six.", 3, last=True)
    ('One two. Three four five.', 'Three four. Six.')
    """
    sentences = SENTENCE.split(" ".join(text.split()))
    sentences = sentences[::-1] if last else sentences
    kept = sentences[:1]
    for sentence in sentences[1:]:
        if sum(len(one.split()) for one in [*kept, sentence]) > words:
            break
        kept.append(sentence)
    return " ".join(kept[::-1] if last else kept)


def _untitled(text: str) -> str:
    return re.sub(r"\A(?:\*\*.+?\*\*\.?\s*|\((?:warm-up|harder|open)\)\s*)+", "", text)


def _equations(section: Section) -> list[tuple[str, str]]:
    """The displayed equations with the paragraph before each."""
    found, before = [], ""
    for paragraph in section.paragraphs:
        if EQUATION.match(paragraph):
            found.append((before, paragraph))
        before = paragraph
    return found


def _sections(page, figure_of: Callable, plain: Callable[[str], str]) -> dict[str, Section]:
    found: dict[str, Section] = {}
    section = last = None
    for cell, solution in with_solutions(page):
        if solution:
            continue
        if cell.cell_type == "code":
            if section and cell.source:
                section.code.append(cell.source)
            if section and (figure := figure_of(cell)):
                last = [*figure, ""]
                section.figures.append(last)
            continue
        text = plain(DIRECTIVE.sub("", cell.source))
        for paragraph in re.split(r"\n\s*\n", text):
            if paragraph.startswith("## "):
                section = found.setdefault(paragraph.splitlines()[0][3:].strip(), Section())
                paragraph = paragraph.partition("\n")[2]
            paragraph = paragraph.strip()
            if section is None or not paragraph or paragraph.startswith(("#", "<", "|")):
                continue
            section.paragraphs.append(paragraph)
            if last is not None and not last[2]:
                last[2] = paragraph
    return found


@cache
def _markdown() -> MarkdownIt:
    def shown(tex: str, options: dict) -> str:
        return html.escape(rf"\[{tex}\]" if options.get("display_mode") else rf"\({tex}\)")

    return MarkdownIt("commonmark", {"html": False}).use(dollarmath_plugin, renderer=shown)


def _html(text: str) -> Markup:
    return Markup(_markdown().render(text))


def _image(png: bytes, alt: str, size: tuple[int, int] = (1400, 900)) -> Markup:
    """A figure inside of the file: at most `size` pixels, 128 colours."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail(size, Image.Resampling.LANCZOS)
    picture.quantize(128).save(buffer, "PNG", optimize=True)
    return Markup(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">')
