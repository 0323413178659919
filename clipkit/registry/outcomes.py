"""Outcomes: one row for each claim and each record that counts. Page, ledger, badges, CSV and JSON are made from these rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.registry.claims import Change, Claim, ClaimTest, claims_of
from clipkit.registry.contrast import against, scores_of
from clipkit.registry.gates import Gate, blocked, measure
from clipkit.registry.records import Record
from clipkit.registry.scores import Scores
from clipkit.registry.verdict import MIN_SEEDS, NOT_RUN, NOT_TESTABLE, OPEN, Verdict, judge, worst

if TYPE_CHECKING:
    from clipkit.registry.papers import Entry


@dataclass(frozen=True)
class Judged:
    """A test, the verdict of the rule, and what the gates make of it.

    Attributes:
        test: what was asked (of a claim of several parts: the part that decides).
        verdict: the rule's, whatever the gates say.
        outcome: what is printed, one of `verdict.OUTCOMES`.
        note: why, in a few words; may be empty.
        baseline: the strongest (None: held against the null).
        values: the contrast of each seed.
        gates: as measured.
        parts: the parts of a claim of several, each judged.
    """

    test: ClaimTest
    verdict: Verdict
    outcome: str
    note: str
    baseline: str | None
    values: tuple[float, ...]
    gates: tuple[Gate, ...] = ()
    parts: tuple[Judged, ...] = ()

    def to_dict(self) -> dict:
        """For a record: numbers, outcome, gates."""
        gates = [gate.to_dict() for gate in self.gates]
        numbers = {**self.verdict.to_dict(), "verdict": self.outcome, "baseline": self.baseline, "values": list(self.values)}
        return {**numbers, "unit": self.test.unit, "note": self.note, "gates": gates}


@dataclass(frozen=True)
class Row:
    """One claim at one scale, as page and ledger print it.

    `estimate` to `baseline` are None where nothing was measured; `stale` is known to the press only.
    """

    entry: Entry
    claim: Claim
    outcome: str
    note: str = ""
    scale: str = ""
    record: Record | None = None
    test: ClaimTest | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    baseline: str | None = None
    gates: tuple[Gate, ...] = ()
    parts: tuple[Judged, ...] = ()
    stale: bool = False

    @property
    def origin(self) -> str:
        return self.claim.origin

    @property
    def kind(self) -> str | None:
        return self.test.kind if self.test else None

    @property
    def margin(self) -> float | None:
        return self.test.margin if self.test else None

    @property
    def unit(self) -> str:
        return self.test.unit if self.test else ""

    @property
    def seeds_vary(self) -> str | None:
        return self.claim.seeds_vary

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.claim.changes

    @property
    def own(self) -> bool:
        """A reader's record, not one of the book's: it stands apart and is not counted."""
        return self.record is not None and not self.record.book

    @property
    def row_id(self) -> str:
        """Where the row stands in the site's ledger: ledger.html#row_id."""
        data = self.record.dataset["name"] if self.record and self.record.dataset["name"] not in (None, "world") else None
        pieces = (self.entry.slug, self.claim.id, self.scale or "none", data, f"own-{self.record.identity}" if self.own else None)
        return "-".join(filter(None, pieces)).lower().replace("_", "-").replace(":", "-").replace(" ", "-")


def judge_test(test: ClaimTest, scores: Scores) -> Judged:
    """One test: the contrast, the rule, the gates. Raises ClipkitError when the scores lack an arm of the contrast."""
    values, baseline = against(test, scores)
    verdict = judge(values.tolist(), test.kind, test.margin)
    gates = tuple(measure(test, scores))
    outcome, note = verdict.verdict, ""
    if outcome == NOT_RUN:
        note = f"{verdict.n} seed{'s' * (verdict.n != 1)}; a verdict needs {MIN_SEEDS}"
    elif why := blocked(list(gates)):
        outcome, note = NOT_TESTABLE, why
    elif outcome == OPEN:
        note = next((gate.words for gate in gates if gate.name == "power" and not gate.open), "")
    elif test.kind == "no_worse" and verdict.low > 0:
        note = "and better"
    return Judged(test, verdict, outcome, note, baseline, tuple(values.tolist()), gates)


def judge_claim(claim: Claim, runs: object) -> Judged:
    """A claim on a table of runs: of several parts the one that decides, its name in the note.

    Arguments:
        runs: Scores, a DataFrame (seeds x arms), or a list of rows.

    Raises ClipkitError, naming the claim: it has no test, or an arm is missing.
    """
    if not claim.tests:
        raise ClipkitError(f"claim {claim.id} is not tested: {claim.untestable}")
    try:
        scores = scores_of(runs)
        parts = tuple(judge_test(test, scores) for test in claim.tests)
    except ClipkitError as error:
        raise ClipkitError(f"claim {claim.id}: {error}. Return the arm from the experiment, or mend the registry's test") from None
    deciding = parts[worst([part.outcome for part in parts])]
    if len(parts) == 1:
        return deciding
    others = "; ".join(f"{part.test.name}: {part.outcome}" for part in parts)
    return replace(deciding, note=f"{others}. {deciding.note}" if deciding.note else others, parts=parts)


def counting(records: Iterable[Record]) -> list[Record]:
    """The book's records that count: of those of one model on one data set that with the most seeds, the newest of equals; order kept."""
    best: dict[tuple, Record] = {}
    for record in (one for one in records if one.book):
        key = (record.scale, record.dataset["name"], record.model, record.pretrained)
        if key not in best or (len(record.seeds), record.date) >= (len(best[key].seeds), best[key].date):
            best[key] = record
    return list(best.values())


def judged(entry: object, records: Sequence[Record]) -> list[Row]:
    """The rows of a page: each claim on each record that counts, judged by today's rule and registry.

    A reader's own records follow the book's, each a row of its own (`Row.own`); they never take the place of one.
    A claim that no record measured has one row: `not testable here` with the registry's reason, or `not run`.
    """
    rows, shown = [], [*counting(records), *(record for record in records if not record.book)]
    for claim in claims_of(entry):
        if not claim.tests:
            rows.append(Row(entry, claim, NOT_TESTABLE, claim.untestable))
            continue
        mine = [_recorded(entry, claim, record) for record in shown if claim.id not in record.skipped]
        if all(row.own for row in mine):
            mine = [Row(entry, claim, NOT_RUN, "no record yet", claim.tests[0].scale, test=claim.tests[0]), *mine]
        rows += mine
    return rows


def row_of(entry: object, claim: Claim, found: Judged, scale: str = "", record: Record | None = None) -> Row:
    """A judged claim as a row: of a record, or of the run at hand."""
    verdict = found.verdict
    numbers = {"estimate": verdict.estimate, "low": verdict.low, "high": verdict.high, "n": verdict.n, "baseline": found.baseline}
    return Row(entry, claim, found.outcome, found.note, scale, record, found.test, **numbers, gates=found.gates, parts=found.parts)


def _recorded(entry: object, claim: Claim, record: Record) -> Row:
    try:
        return row_of(entry, claim, judge_claim(claim, record.scores), record.scale, record)
    except ClipkitError as error:
        note = f"the record does not fit the claim any more ({error}); record the page again"
        return Row(entry, claim, NOT_RUN, note, record.scale, record, claim.tests[0])
