"""Gates: could the experiment have come out either way? Where it could not, there is no verdict.

headroom    the best that can be reached lies at least 2 δ above the baseline
stand-in    each helper and each trained rival beats chance and its trivial substitutes at its own task
            (a baseline that is to be matched, too, must be 2 δ better than nothing, or everything matches it)
triviality  no arm that does nothing passes the same test
power       the interval reaches no further than δ from its centre
spread      the seeds do not all give the same number
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.registry.claims import ClaimTest, StandIn
from clipkit.registry.contrast import against, null
from clipkit.registry.scores import Scores
from clipkit.registry.stats import no_spread, student_half_width
from clipkit.registry.verdict import HOLDS, MIN_SEEDS, judge, seeds_needed

BLOCKING = ("headroom", "stand-in", "triviality", "spread")  # a shut one withholds the verdict; power only explains an open one


@dataclass(frozen=True)
class Gate:
    """One gate as measured.

    Attributes:
        name: headroom, stand-in, triviality, power or spread.
        open: whether the experiment passes; None when it could not be measured (the scores lack the arm).
        words: what was found, in a few words.
        numbers: what `open` was decided on.
    """

    name: str
    open: bool | None
    words: str
    numbers: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict:
        return {"name": self.name, "open": self.open, "words": self.words, "numbers": self.numbers}


def measure(test: ClaimTest, scores: Scores) -> list[Gate]:
    """Every gate of a test, as its scores show it.

    Raises ClipkitError when the scores lack an arm of the contrast itself.
    """
    values, baseline = against(test, scores)
    found = []
    if test.gates.ceiling is not None:
        found.append(_or_unmeasured("headroom", _headroom, test, scores, baseline))
    found += [_or_unmeasured("stand-in", _stand_in, test, scores, stand_in) for stand_in in test.gates.stand_ins]
    found += [_or_unmeasured("triviality", _triviality, test, scores, arm) for arm in test.gates.trivial]
    if len(values) >= MIN_SEEDS:
        found += [_spread(test, values, baseline), _power(test, values)]
    return found


def blocked(gates: list[Gate]) -> str | None:
    """Why there can be no verdict: the words of the first shut gate that withholds one; None when all let it through."""
    return next((gate.words for gate in gates if gate.open is False and gate.name in BLOCKING), None)


def _or_unmeasured(name: str, gate, test: ClaimTest, scores: Scores, what: object) -> Gate:
    try:
        return gate(test, scores, what)
    except ClipkitError as error:
        return Gate(name, None, f"{name} not measured: {error}")


def _headroom(test: ClaimTest, scores: Scores, baseline: str | None) -> Gate:
    floor = scores.values(baseline, **test.where) if baseline else null(test, scores)
    top = scores.values(test.gates.ceiling, **test.where) if isinstance(test.gates.ceiling, str) else test.gates.ceiling
    room = float(test.sign * (np.mean(top) - np.mean(floor)))
    words = (
        f"headroom {_short(room)} {test.unit} between {baseline or 'the null'} and {test.gates.ceiling}, 2 δ is {_short(2 * test.margin)}"
    )
    return Gate("headroom", room >= 2 * test.margin, words, {"room": room, "needed": 2 * test.margin})


def _stand_in(test: ClaimTest, scores: Scores, stand_in: StandIn) -> Gate:
    """Judged by the mean: a helper that is no better than chance on average is no helper, however many seeds there are."""
    own = float(scores.values(stand_in.arm, **stand_in.where).mean())
    rivals = {}
    for rival in stand_in.rivals:
        name = rival if isinstance(rival, str) else _short(rival)
        rivals[name] = float(np.mean(scores.values(rival, **stand_in.where) if isinstance(rival, str) else rival))
    hardest = max(rivals, key=rivals.get)
    lead = own - rivals[hardest]
    words = f"{stand_in.arm} {_short(own)} against {hardest}" + (f" {_short(rivals[hardest])}" if hardest in stand_in.rivals else "")
    words += f", {_short(stand_in.by)} ahead is asked" if stand_in.by else ""
    return Gate("stand-in", lead > 0 and lead >= stand_in.by, words, {"own": own, "rival": rivals[hardest], "by": stand_in.by})


def _triviality(test: ClaimTest, scores: Scores, arm: str) -> Gate:
    rivals = [name for name in test.baselines if name != arm]
    if test.baselines and not rivals:
        raise ClipkitError(f"{arm} is the only baseline")
    values, _ = against(test, scores, arm, rivals)
    found = judge(values.tolist(), test.kind, test.margin)
    words = f"{arm} {'passes' if found.verdict == HOLDS else 'does not pass'} the same test ({_short(found.estimate)} {test.unit})"
    return Gate("triviality", found.verdict != HOLDS, words, {"estimate": found.estimate})


def _spread(test: ClaimTest, values: np.ndarray, baseline: str | None) -> Gate:
    if test.kind == "equivalent" and baseline is None and no_spread(values):
        return Gate("spread", True, "an identity: every seed may give the same number", {"deviation": 0.0})
    if not no_spread(values):
        return Gate("spread", True, "the seeds differ", {"deviation": float(values.std(ddof=1))})
    same = baseline is not None and abs(float(values.mean())) < 1e-9
    words = f"the method is {baseline}: the same number in every seed" if same else "every seed gives the same number"
    return Gate("spread", False, words, {"deviation": 0.0})


def _power(test: ClaimTest, values: np.ndarray) -> Gate:
    deviation = float(values.std(ddof=1))
    half = float(student_half_width(deviation, len(values)))
    needed = seeds_needed(deviation, test.margin)
    enough = half <= test.margin
    words = f"the interval reaches {_short(half)} to each side, δ is {_short(test.margin)}"
    return Gate(
        "power", enough, words if enough else f"{words}: would need about {needed} seeds", {"half_width": half, "seeds_needed": needed}
    )


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
