"""The words of a judged row: what was found, what was asked, what the paper says. Page, ledger and terminal print these and no others."""

from __future__ import annotations

import math
from collections.abc import Mapping

from clipkit.lab.palette import label
from clipkit.lab.tables import number
from clipkit.registry.claims import Claim, ClaimTest, PaperNumber
from clipkit.registry.gates import Gate
from clipkit.registry.outcomes import Judged, Row
from clipkit.registry.records import said_model
from clipkit.registry.verdict import SYMBOLS

SYMBOL = {**SYMBOLS, "stale": "↻"}
SOURCES = {
    "abstract": "abstract",
    "paper": "paper",
    "official_repository": "official repository",
    "secondary": "secondary source",
    "unverified": "unverified",
}
VARY = {"pictures": "pictures vary", "texts": "texts vary", "models": "models vary", "both": "pictures and models vary"}
GATE = {True: "open", False: "shut", None: "not measured"}


def badge_words(outcome: str, scale: str, lead: str = "") -> str:
    """Symbol, word and scale, so that colour is not needed: "C1 ✓ holds, world".

    >>> badge_words("not testable here", "")
    '– not testable here, any scale'
    """
    return f"{lead} {SYMBOL[outcome]} {outcome}, {scale or 'any scale'}".strip()


def decimals(margin: float) -> int:
    """Decimals that show a tenth of the margin: 1.5 -> 1, 0.05 -> 3, 20 -> 0."""
    return max(0, 1 - math.floor(math.log10(margin)))


def effect(row: Row) -> str:
    """ "+2.9 [+1.8, +4.1] points"; signed so that + favours the claim. Empty where nothing was measured."""
    if row.estimate is None:
        return ""
    return f"{number(row.estimate, decimals(row.margin), True)}{span(row)} {row.unit}"


def span(row: Row) -> str:
    """ " [+1.8, +4.1]", or nothing with too few seeds for an interval."""
    if row.low is None:
        return ""
    return f" [{number(row.low, decimals(row.margin), True)}, {number(row.high, decimals(row.margin), True)}]"


def in_margins(row: Row) -> str:
    """The estimate in units of δ, the only size that compares across claims: "+1.9 δ"."""
    return "" if row.estimate is None else f"{number(row.estimate / row.margin, 1, True)} δ"


def arm(name: str) -> str:
    """An arm as printed.

    >>> arm("tip_adapter"), arm("best_of_many|recall_listener")
    ('tip adapter', 'best of many (recall listener)')
    """
    first, *rest = label(name).split("|")
    return f"{first} ({', '.join(rest)})" if rest else first


def versus(row: Row) -> str:
    """What was held against what: "gda over tip adapter", "share true against 0.5"."""
    if row.test is None:
        return ""
    return f"{arm(row.test.method)} over {arm(row.baseline)}" if row.baseline else _against_null(row.test)


def _against_null(test: ClaimTest) -> str:
    null = 0 if test.null is None else test.null
    return f"{arm(test.method)} against {arm(null) if isinstance(null, str) else number(null, 0 if null == int(null) else 2)}"


def seeds(row: Row) -> str:
    """ "5 seeds, pictures vary"; of one seed nothing varies."""
    count = f"{row.n} seed{'s' * (row.n != 1)}"
    return f"{count}, {VARY[row.seeds_vary]}" if row.seeds_vary and row.n > 1 else count


def question(row: Row) -> str:
    """The kind of sentence and its margin: "better, δ = 1.5 points"."""
    return f"{row.kind.replace('_', ' ')}, δ = {row.margin:g} {row.unit}"


def asked(test: ClaimTest) -> str:
    """Our test in a line: metric, method against its rivals, kind, δ."""
    rivals = ", ".join(arm(name) for name in test.baselines)
    strongest = "the strongest of " if len(test.baselines) > 1 else ""
    contrast = f"{arm(test.method)} over {strongest}{rivals}" if rivals else _against_null(test)
    where = "".join(f", {label(axis)} {value}" for axis, value in test.where.items())
    lower = " (lower is better)" if test.direction == "lower" else ""
    return f"{test.metric}{lower}{where}: {contrast}; {test.kind.replace('_', ' ')}, δ = {test.margin:g} {test.unit}"


def place(row: Row) -> str:
    """Model and data of the record: "nano, world, full", and whether it is the reader's own; empty without one."""
    record = row.record
    if record is None:
        return ""
    return ", ".join(filter(None, (record.said_model, record.dataset["name"], record.preset, "your record" if row.own else "")))


def about_run(run: Mapping) -> str:
    """The run at hand, from its payload: "world, nano, quick; seeds 0, 1"."""
    parts = [run.get("dataset", {}).get("name"), said_model(run.get("model"), run.get("pretrained")), run.get("preset")]
    numbers = run["seeds"]
    plural = "s" * (len(numbers) > 1)
    listed = f"seeds {numbers[0]} to {numbers[-1]}" if len(numbers) > 2 else f"seed{plural} {', '.join(map(str, numbers))}"
    return ", ".join(str(part) for part in parts if part) + "; " + listed


def paper_value(paper: PaperNumber | None) -> str:
    """The paper's number alone, with a true minus; empty when it gives none."""
    value = "" if paper is None or paper.value is None else str(paper.value)
    return value.replace("-", "\N{MINUS SIGN}", 1) if value.startswith("-") else value


def paper_number(paper: PaperNumber | None) -> str:
    """The paper's number with what it is of and where it was read; an unverified one says so."""
    if paper is None:
        return ""
    facts = ", ".join(filter(None, (paper.metric, paper.benchmark, paper.model)))
    if paper.value is None:
        return "no number given" + (f" ({facts})" if facts else "")
    return f"{paper_value(paper)}{' ' + facts if facts else ''} ({SOURCES[paper.source]})"


def beside(row: Row) -> str:
    """The paper's number for the place beside ours: only where both are of the same quantity."""
    paper = row.claim.paper
    return paper_value(paper) if paper and paper.same_quantity and row.estimate is not None else ""


def gate_words(gate: Gate) -> str:
    """ "headroom shut: 3 points between ...": the words already carry the numbers."""
    return f"{gate.name} {GATE[gate.open]}: {gate.words}"


def gates_of(row: Row) -> list[tuple[str, Gate]]:
    """Every gate of the claim with the name of its part ("" for a claim of one)."""
    if row.parts:
        return [(part.test.name, gate) for part in row.parts for gate in part.gates]
    return [("", gate) for gate in row.gates]


def part_words(part: Judged) -> str:
    """A part of a claim of several: name, outcome, numbers."""
    digits, found = decimals(part.test.margin), part.verdict
    ends = "" if found.low is None else f" [{number(found.low, digits, True)}, {number(found.high, digits, True)}]"
    return f"{part.test.name}: {SYMBOL[part.outcome]} {part.outcome}, {number(found.estimate, digits, True)}{ends} {part.test.unit}"


def gates_summary(row: Row) -> str:
    """The line that opens a row's fold: "4 parts; gates: 2 open, 1 shut". Empty when there is nothing under it."""
    gates = [gate.open for _, gate in gates_of(row)]
    states = [f"{gates.count(state)} {word}" for state, word in GATE.items() if state in gates]
    return "; ".join([f"{len(row.parts)} parts"] * bool(row.parts) + ["gates: " + ", ".join(states)] * bool(states))


def claim_summary(claim: Claim) -> str:
    """The line that opens a claim's fold: "note; changed twice". Empty when there is nothing under it."""
    moved = len(claim.changes)
    times = {1: "once", 2: "twice"}.get(moved, f"{moved} times")
    return "; ".join(["note"] * bool(notes(claim)) + [f"changed {times}"] * bool(moved))


def notes(claim: Claim) -> list[str]:
    """What the registry notes about a claim, its paper's number and its tests."""
    of_paper = claim.paper.note if claim.paper else None
    return [note for note in (claim.note, of_paper, *(test.note for test in claim.tests)) if note]
