"""How many: claims and what became of them, outcomes by scale, and what carries from the world to real pictures.

A claim measured on two data sets has two rows. Sentences count claims, tables count rows; either adds up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from clipkit.press.ledger import TESTED, claims, count, standing, whose
from clipkit.registry.claims import PROPERTY
from clipkit.registry.outcomes import Row
from clipkit.registry.records import SCALES
from clipkit.registry.verdict import HOLDS, NO_EFFECT, NOT_RUN, NOT_TESTABLE, OUTCOMES, worst

__all__ = ["by_scale", "claims", "count", "headlines", "standing", "together", "transfer", "transfer_lines", "transfer_words", "whose"]
NO_RECORD = "no record"
REAL = ("photographs", "real CLIP", "full")  # pictures that nobody drew for the purpose


def headlines(rows: Iterable[Row]) -> dict[str, int]:
    """Of the tested headline claims: "tested", and "everywhere", "somewhere", "nowhere" by where they hold, which add up to it."""
    found = Counter()
    for group in claims(row for row in rows if row.origin == "headline"):
        if standing(group) == TESTED:
            holding = {row.outcome == HOLDS for row in group if row.outcome not in (NOT_TESTABLE, NOT_RUN)}
            found["somewhere" if len(holding) == 2 else "everywhere" if True in holding else "nowhere"] += 1
    return {"tested": found.total(), **{name: found[name] for name in ("everywhere", "somewhere", "nowhere")}}


def together(rows: Iterable[Row]) -> list[list[list[Row]]]:
    """Rows that a badge says alike (reader's own or not, scale, outcome), the world first; within a group, those of each claim."""
    ranks = {scale: rank for rank, scale in enumerate(SCALES)}
    groups: dict[tuple, dict[str, list[Row]]] = {}
    for row in sorted(rows, key=lambda row: (row.own, ranks.get(row.scale, len(ranks)), OUTCOMES.index(row.outcome))):
        groups.setdefault((row.own, row.scale, row.outcome), {}).setdefault(row.claim.id, []).append(row)
    return [list(group.values()) for group in groups.values()]


@dataclass(frozen=True)
class Grid:
    """Rows counted by outcome and scale.

    Attributes:
        columns: the scales that have a record, then "no record" if some rows have none.
        lines: (outcome, a number a column, their sum), for the outcomes there are.
        totals: a number a column; `total`, of all rows.
    """

    columns: list[str]
    lines: list[tuple[str, list[int], int]]
    totals: list[int]
    total: int


def by_scale(rows: Iterable[Row]) -> Grid:
    """The table of outcomes by scale, without checked properties."""
    cells = Counter((row.outcome, row.scale if row.record else NO_RECORD) for row in rows if row.origin != PROPERTY)
    columns = [scale for scale in (*SCALES, NO_RECORD) if any(place == scale for _, place in cells)]
    table = [(word, [cells[word, scale] for scale in columns]) for word in OUTCOMES]
    lines = [(word, numbers, sum(numbers)) for word, numbers in table if any(numbers)]
    return Grid(columns, lines, [sum(cells[word, scale] for word in OUTCOMES) for scale in columns], cells.total())


@dataclass(frozen=True)
class Carried:
    """A claim that holds in the world and was tried on real pictures: its rows there, and the worst of their outcomes."""

    rows: tuple[Row, ...]
    outcome: str


def scales(found: Iterable[Carried]) -> str:
    """Where they were tried: "photographs and real CLIP"."""
    return " and ".join(sorted({row.scale for one in found for row in one.rows}))


def transfer(rows: Iterable[Row]) -> list[Carried]:
    """Claims that hold on every world they were recorded on, and have a verdict (or a shut gate) on real pictures.

    On several data sets a claim is as good as the worst outcome; one that is `not run` there was not tried.
    """
    found = []
    for group in claims(row for row in rows if row.record and row.outcome != NOT_RUN and row.origin != PROPERTY):
        world = [row.outcome for row in group if row.scale == "world"]
        real = tuple(row for row in group if row.scale in REAL)
        if real and set(world) == {HOLDS}:
            words = [row.outcome for row in real]
            found.append(Carried(real, words[worst(words)]))
    return found


def transfer_lines(found: list[Carried]) -> list[tuple[str, list[Carried]]]:
    """The same by outcome, in the order of the outcomes."""
    return [(word, mine) for word in OUTCOMES if (mine := [one for one in found if one.outcome == word])]


def transfer_words(found: list[Carried]) -> str:
    """The sentence above the table."""
    if not found:
        return "No claim that holds in the world has been tried on real pictures yet."
    n = len(found)
    holding = sum(one.outcome == HOLDS for one in found)
    start = f"{n} claims that hold in the world were" if n > 1 else "1 claim that holds in the world was"
    parts = [f"{len(mine)} {_there(word, len(mine))}" for word, mine in transfer_lines(found) if word != HOLDS]
    return f"{start} tried on real pictures too: " + ", ".join([f"{holding} hold{'s' * (holding == 1)} there", *parts]) + "."


def _there(word: str, n: int) -> str:
    if word == NOT_TESTABLE:
        return "cannot be tested there"
    if word == NO_EFFECT:
        return "shows no effect" if n == 1 else "show no effect"
    return f"{'is' if n == 1 else 'are'} {word}"
