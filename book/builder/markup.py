"""Templates of what is printed from the registry, and how the book writes names and times.

Templates lie in `templates/`; those of claims are the lab's. Every value is escaped as HTML; the filter `md` is for
values that stand in Markdown text, where `$`, `*` or `[` would mean something.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from builder import counts
from builder.settings import in_repository
from clipkit.lab.claim_cards import TEMPLATES, environment
from clipkit.registry.papers import Entry
from clipkit.registry.parts import BY_ID
from clipkit.registry.verdict import OUTCOMES

ACTIVE = re.compile(r"[\\`*_\[\]{}<>$|~]|&(?=#?\w+;)")  # what Markdown would act on inside a line


def render(template: str, **values: object) -> str:
    """The text of a template; strings among `values` are escaped, and kept on one line, for an empty line ends a block of HTML."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    made = environment(Path(__file__).with_name("templates"), TEMPLATES)
    made.filters |= {"md": markdown, "breaks": lambda slug: Markup("_<wbr>").join(slug.split("_"))}
    made.globals |= {"OUTCOMES": OUTCOMES, "parts": BY_ID, "in_repository": in_repository, "counts": counts}
    made.globals |= {"authors": authors, "venue": venue, "duration": duration}
    return made


def markdown(text: object) -> Markup:
    """Text that Markdown prints as it is.

    >>> print(markdown("a_b costs $3 <b>"))
    a\\_b costs \\$3 \\<b\\>
    """
    return Markup(ACTIVE.sub(r"\\\g<0>", " ".join(str(text).split())))


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
