"""Templates of what is printed from the registry, and how the book writes numbers, names and times.

Templates lie in `templates/`. Every value is escaped as HTML; the filter `md` is for values that stand in Markdown
text, where `$`, `*` or `[` would mean something.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clipkit.press.settings import in_repository
from clipkit.registry.papers import Entry
from clipkit.registry.parts import BY_ID
from clipkit.registry.verdict import OUTCOMES, SYMBOLS

SYMBOL = {**SYMBOLS, "stale": "↻"}
ACTIVE = re.compile(r"[\\`*_\[\]{}<>$|~]|&(?=#?\w+;)")  # what Markdown would act on inside a line


def render(template: str, **values: object) -> str:
    """The text of a template; strings among `values` are escaped, and kept on one line, for an empty line ends a block of HTML."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: " ".join(value.splitlines()) if type(value) is str else value,
    )
    made.filters |= {"md": markdown, "dashed": lambda text: text.replace(" ", "-")}
    made.globals |= {"SYMBOL": SYMBOL, "OUTCOMES": OUTCOMES, "parts": BY_ID, "in_repository": in_repository}
    made.globals |= {"number": number, "span": span, "authors": authors, "venue": venue, "duration": duration}
    return made


def markdown(text: object) -> Markup:
    """Text that Markdown prints as it is.

    >>> print(markdown("a_b costs $3 <b>"))
    a\\_b costs \\$3 \\<b\\>
    """
    return Markup(ACTIVE.sub(r"\\\g<0>", " ".join(str(text).split())))


def number(value: float | None, unit: str = "", signed: bool = True) -> str:
    """A number as the book prints it: three significant digits at most, a true minus sign, the unit after it."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 or value == 0 else 3
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−") + (f" {unit}" if unit else "")


def span(low: float | None, high: float | None) -> str:
    """An interval, [low, high]; empty when there is none."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def authors(entry: Entry, most: int = 4) -> str:
    """Names for a header: all up to `most`, else the first three and "and others"."""
    names = [name for name in entry.authors if name.lower() not in ("others", "and others", "et al.")]
    cut = len(names) < len(entry.authors) or len(names) > most
    if cut:
        return ", ".join(names[:3]) + " and others"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def venue(entry: Entry) -> str:
    """Where and when it came out: the venue with its own year if it names one, else with the year of the registry."""
    where = entry.venue or "preprint"
    return where if re.search(r"\b(19|20)\d\d\b", where) or not entry.year else f"{where} {entry.year}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "not measured"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
