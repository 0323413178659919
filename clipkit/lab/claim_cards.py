"""One card a claim: its sentence, a strip for each record and for the run at hand, and what was asked.

The templates in `lab/templates` are shared with the press: a strip on a page, a row of the ledger and a badge are made
by the same macros from the same `Row`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clipkit.lab import claim_words, interval_line
from clipkit.registry.claims import Claim
from clipkit.registry.outcomes import Row

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Card:
    """A claim with its rows.

    Attributes:
        claim: its sentence, origin, paper's number, tests.
        rows: one for each record that counts, or the one that says why there is none.
        live: the run at hand, if it tested the claim.
        twin: the row of the same model and data as the run at hand; the run is then a mark on its line, not a strip.
        skipped: why the run at hand does not test the claim.
    """

    claim: Claim
    rows: tuple[Row, ...]
    live: Row | None = None
    twin: Row | None = None
    skipped: str = ""

    @property
    def strips(self) -> tuple[Row, ...]:
        """The rows to show: one without a record gives way to the run at hand."""
        return tuple(row for row in self.rows if row.record or not self.live)

    def on(self, row: Row) -> Row | None:
        """The run at hand where it is drawn as a mark on the line of `row`."""
        return self.live if self.twin is not None and row is self.twin else None

    @property
    def text(self) -> str:
        """The card for a terminal."""
        claim, lines = self.claim, []

        def add(head: str, words: str) -> None:
            if words:
                lines.append(textwrap.fill(words, 110, initial_indent=f"    {head:11}", subsequent_indent=" " * 15))

        lines.append(textwrap.fill(f"{claim.id}  ({claim.origin}) {claim.text}", 110, subsequent_indent="    "))
        for row in self.strips:
            add("", claim_words.badge_words(row.outcome, row.scale) + (f" ({claim_words.place(row)})" if row.record else ""))
            add("recorded", _found(row))
            add("", row.note)
            add("this run", _found(self.on(row)) if self.on(row) else "")
        if self.live and self.twin is None:
            add("this run", claim_words.badge_words(self.live.outcome, self.live.scale))
            add("", _found(self.live))
            add("", self.live.note)
        add("", f"Not tested in this run: {self.skipped}" if self.skipped else "")
        add("the paper", claim_words.paper_number(claim.paper))
        for test in claim.tests:
            add("our test", claim_words.asked(test))
        return "\n".join(lines)


def _found(row: Row) -> str:
    """The numbers of a measured row in a line."""
    if row.estimate is None:
        return ""
    return f"{claim_words.effect(row)}, {claim_words.versus(row)}, {claim_words.seeds(row)}"


def cards_html(cards: Sequence[Card], run: Mapping) -> str:
    """The cards of a page as HTML with its style: in the book, and in a notebook that knows nothing of the book.

    Arguments:
        run: the payload of the run at hand (its seeds, model, data, notes).
    """
    return environment(TEMPLATES).get_template("cards.html").render(cards=cards, run=run)


@cache
def environment(*folders: Path):
    """A jinja2 environment over folders of templates, with the words of a row at hand.

    What is printed is escaped, and kept on one line: an empty line ends a block of HTML in Markdown.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: " ".join(value.splitlines()) if type(value) is str else value,
    )
    made.filters["dashed"] = lambda text: text.replace(" ", "-")
    made.globals |= {"say": claim_words, "line": interval_line.line, "WIDTH": interval_line.WIDTH, "REACH": interval_line.REACH}
    return made
