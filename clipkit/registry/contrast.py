"""From scores to the numbers that are judged: the method minus its strongest rival, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.registry.claims import ClaimTest
from clipkit.registry.scores import Scores


def scores_of(runs: object) -> Scores:
    """Scores as they are, or from a table without further axes: a DataFrame (seeds x arms), a list of rows, a mapping arm -> numbers.

    A column `seed` holds the seeds; without one they count from 0. Raises ClipkitError: rows that differ, NaN, another type.
    """
    if isinstance(runs, Scores):
        return runs
    if isinstance(runs, Mapping):
        table = dict(runs)
    elif hasattr(runs, "columns"):
        table = {"seed": runs.index.tolist(), **{str(name): runs[name].tolist() for name in runs.columns}}
    elif isinstance(runs, Sequence):
        names = list(runs[0]) if runs else []
        if any(set(row) != set(names) for row in runs):
            raise ClipkitError("every seed must have the same arms; the rows differ")
        table = {name: [row[name] for row in runs] for name in names}
    else:
        raise ClipkitError(f"a table of runs is Scores, a DataFrame or a list of rows, not {type(runs).__name__}")
    length = len(next(iter(table.values()), ()))
    scores = Scores(table.pop("seed", range(length)))
    for arm, values in table.items():
        scores.add(arm, values if length != 1 else values[0])
    return scores


def against(
    test: ClaimTest, scores: Scores, method: str | None = None, baselines: Sequence[str] | None = None
) -> tuple[np.ndarray, str | None]:
    """Method minus the strongest baseline (or minus the null), signed so that larger favours the claim.

    The strongest of several baselines is the one with the best mean over the seeds: a choice that can only work
    against the method.

    Arguments:
        method, baselines: other arms in the place of the test's own (a gate asks how a trivial arm would do).

    Returns:
        values (n_seeds,) float64, and the baseline's name (None: held against the null).

    Raises ClipkitError when an arm is not among the scores.
    """
    values = test.sign * scores.values(method or test.method, **test.where)
    baselines = test.baselines if baselines is None else baselines
    if not baselines:
        return values - test.sign * null(test, scores), None
    rivals = {name: test.sign * scores.values(name, **test.where) for name in baselines}
    strongest = max(rivals, key=lambda name: float(rivals[name].mean()))
    return values - rivals[strongest], strongest


def null(test: ClaimTest, scores: Scores) -> np.ndarray | float:
    """What a test without baselines is held against; 0 for a trend that states nothing else."""
    if isinstance(test.null, str):
        return scores.values(test.null, **test.where)
    return 0.0 if test.null is None else float(test.null)
