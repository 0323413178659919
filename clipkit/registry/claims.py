"""A claim of the registry, and what a table of runs says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.registry.verdict import Verdict, judge


@dataclass(frozen=True)
class Judged:
    """A claim's verdict with the baseline it was measured against (None: against 0) and its per-seed values."""

    verdict: Verdict
    baseline: str | None
    values: tuple[float, ...]

    def to_dict(self) -> dict:
        return {**self.verdict.to_dict(), "baseline": self.baseline, "values": list(self.values)}


@dataclass(frozen=True)
class Claim:
    """One claim, fixed before any run.

    Attributes:
        id, text: "C1" and our words.
        paper: the paper's number: value, metric, benchmark, model, source, where; may be empty.
        test: metric, unit, method, baseline (None, a name, or a list of names), kind, margin, and
            optionally `direction: lower` (or `lower_is_better: true`); None for a claim not tested here.
        untestable: why not, when `test` is None.
    """

    id: str
    text: str
    paper: Mapping = field(default_factory=dict)
    test: Mapping | None = None
    untestable: str | None = None

    @classmethod
    def of(cls, spec: object) -> Claim:
        """From a registry row (mapping) or an object with the same names as attributes."""
        if isinstance(spec, cls):
            return spec
        get = spec.get if isinstance(spec, Mapping) else lambda name, default=None: getattr(spec, name, default)
        claim = cls(get("id"), get("text"), get("paper") or {}, get("test"), get("untestable"))
        if claim.test is None and not claim.untestable:
            raise ClipkitError(f"claim {claim.id}: the registry entry needs `test`, or `untestable` with the reason")
        return claim

    @property
    def unit(self) -> str:
        return (self.test or {}).get("unit", "")

    @property
    def lower_is_better(self) -> bool:
        test = self.test or {}
        return bool(test.get("lower_is_better", test.get("direction") == "lower"))

    @property
    def baselines(self) -> list[str]:
        given = (self.test or {}).get("baseline")
        return [] if given is None else [given] if isinstance(given, str) else list(given)

    def contrast(self, runs: object) -> tuple[np.ndarray, str | None]:
        """Method minus the strongest baseline, seed by seed, signed so that larger favours the claim.

        The strongest of several baselines is the one with the best mean over the seeds: a choice that can only
        work against the method.

        Arguments:
            runs: DataFrame (seeds x arms), list of rows, or mapping arm -> (n,) numbers.

        Returns:
            values (n,) float64, and the baseline's name (None: compared with 0).

        Raises ClipkitError when an arm the claim needs is not in the table.
        """
        if self.test is None:
            raise ClipkitError(f"claim {self.id} is not tested: {self.untestable}")
        arms = columns(runs)
        for name in (self.test["method"], *self.baselines):
            if name not in arms:
                raise ClipkitError(
                    f"claim {self.id} needs the arm {name!r}, and the experiment returned: {', '.join(arms) or 'nothing'}. "
                    "Return it from the experiment, or mend `method` / `baseline` in the registry"
                )
        sign = -1.0 if self.lower_is_better else 1.0
        method = sign * arms[self.test["method"]]
        if not self.baselines:
            return method, None
        strongest = max(self.baselines, key=lambda name: float(sign * arms[name].mean()))
        return method - sign * arms[strongest], strongest

    def judge(self, runs: object) -> Judged:
        """The verdict of the verdict rule on this claim's contrast."""
        values, baseline = self.contrast(runs)
        try:
            verdict = judge(values.tolist(), self.test["kind"], self.test["margin"])
        except ClipkitError as error:
            raise ClipkitError(f"claim {self.id}: {error}") from None
        return Judged(verdict, baseline, tuple(values.tolist()))


def claims_of(entry: object) -> list[Claim]:
    """The claims of a registry entry (mapping or object)."""
    specs = entry["claims"] if isinstance(entry, Mapping) else entry.claims
    return [Claim.of(spec) for spec in specs]


def columns(runs: object) -> dict[str, np.ndarray]:
    """Arm -> (n,) float64 in the order of the seeds, from a DataFrame, a list of rows or a mapping; `seed` is left out."""
    if isinstance(runs, Mapping):
        table = runs
    elif hasattr(runs, "columns"):
        table = {str(name): runs[name].to_numpy() for name in runs.columns}
    elif isinstance(runs, Sequence):
        names = list(runs[0]) if runs else []
        if any(set(row) != set(names) for row in runs):
            raise ClipkitError("every seed must have the same arms; the rows differ")
        table = {name: [row[name] for row in runs] for name in names}
    else:
        raise ClipkitError(f"a table of runs is a DataFrame or a list of rows, not {type(runs).__name__}")
    return {name: np.asarray(values, dtype=np.float64) for name, values in table.items() if name != "seed"}
